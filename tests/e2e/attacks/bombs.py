"""Threat case 20: takes as much as it gets of one thing, and prints how much that was and what
said no."""
import errno, os, resource, signal, sys


def processes():
    children = []
    try:
        while True:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError as error:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
        return len(children), error


def descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard * 2, hard * 2))
        print("BAD raised its limit")
    except (OSError, ValueError):
        pass
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return len(opened), error


def inodes():
    os.mkdir("/tmp/many")
    made = 0
    try:
        while True:
            os.close(os.open(f"/tmp/many/{made}", os.O_CREAT))
            made += 1
    except OSError as error:
        return made, error


def gigabyte():
    """Of each place that can be written to, in one process that keeps them all."""
    total, last = 0, None
    for place in ["/dev/shm", "/tmp", "/output", "/"]:
        file = os.open(os.path.join(place, "fill"), os.O_CREAT | os.O_WRONLY)
        written = 0
        try:
            while written < 1 << 30:
                written += os.write(file, b"\xaa" * (1 << 20))
            print("BAD a gigabyte in", place)
        except OSError as error:
            last = error
        total += written
    return total, last


count, error = {"processes": processes, "descriptors": descriptors, "inodes": inodes,
                "gigabyte": gigabyte}[sys.argv[1]]()
print(count, errno.errorcode[error.errno])
