"""Threat cases 7 and 21, from inside a container on x86_64: prints a line `BAD ...` for each thing that it
can do and must not, and how many things were tried.

Where a call would be refused without the filter too, that says nothing of the filter. So most
calls are made in a way that gives another error, or works, when only the filter is missing.
"""
import ctypes, errno, mmap, os, signal, socket

libc = ctypes.CDLL(None, use_errno=True)
tried = 0


def bad(*words):
    print("BAD", *words)


def call(name, expected, number, *arguments):
    """A system call that must fail with just this error."""
    global tried
    tried += 1
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(each) for each in arguments])
    found = ctypes.get_errno()
    if result != -1 or found != expected:
        bad("call", name, result, errno.errorcode.get(found, found))


def in_child(what, fatal, action):
    """What a child does must end it with one of these signals."""
    global tried
    tried += 1
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) not in fatal:
        bad("child", what, status)


def refused(what, action):
    """Something that must raise an OSError."""
    global tried
    tried += 1
    try:
        action()
    except OSError:
        return
    bad("could", what)


EPERM, ENOSYS = errno.EPERM, errno.ENOSYS

# Refused by the filter, and told apart from what the kernel alone would say (in brackets).
call("userfaultfd user mode [a descriptor]", EPERM, 323, 1)
call("keyctl get session [a key]", EPERM, 250, 0, -3, 1)
call("add_key [EFAULT]", EPERM, 248, 0, 0, 0, 0, -3)
call("request_key [EFAULT]", EPERM, 249, 0, 0, 0, 0)
call("io_uring_setup [EFAULT]", EPERM, 425, 1, 0)
call("unshare user [works]", EPERM, 272, 0x10000000)
call("unshare files [works]", EPERM, 272, 0x400)
call("setns [EBADF]", EPERM, 308, -1, 0)
call("mount [EFAULT]", EPERM, 165, 0, 0, 0, 0, 0)
call("open_tree [EBADF]", EPERM, 428, -1, 0, 0)
call("chroot [EFAULT]", EPERM, 161, 0)
call("perf_event_open [EFAULT]", EPERM, 298, 0, 0, -1, -1, 0)
call("kcmp self [0]", EPERM, 312, os.getpid(), os.getpid(), 1, 0, 0)
call("pidfd_getfd [EBADF]", EPERM, 438, -1, 0, 0)
call("process_madvise [EBADF]", EPERM, 440, -1, 0, 0, 0, 0)
call("name_to_handle_at [EFAULT]", EPERM, 303, -100, 0, 0, 0, 0)
call("modify_ldt read [0]", EPERM, 154, 0, 0, 0)
call("memfd_secret [ENOSYS or a descriptor]", EPERM, 447, 0)
call("quotactl sync [0]", EPERM, 179, 0x800001 << 8, 0, 0, 0)
call("mbind [0]", EPERM, 237, 0, 0, 0, 0, 0, 0)
call("clone3 [EINVAL]", ENOSYS, 435, 0, 0)
call("clone of a user namespace [a child]", EPERM, 56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
call("personality of another age [works]", ENOSYS, 135, 0x0400000)
call("an unknown call [ENOSYS]", ENOSYS, 999)
call("socket vsock [EAFNOSUPPORT]", errno.EAFNOSUPPORT, 41, 40, 1, 0)
call("socket alg [a descriptor]", errno.EAFNOSUPPORT, 41, 38, 5, 0)
call("socket packet [EPERM]", errno.EAFNOSUPPORT, 41, 17, 3, 0)
call("socket netlink audit [a descriptor]", errno.EPROTONOSUPPORT, 41, 16, 3, 9)
# Refused by the kernel as well.
call("bpf", EPERM, 321, 0, 0, 0)
call("init_module", EPERM, 175, 0, 0, 0)
call("finit_module", EPERM, 313, -1, 0, 0)
call("delete_module", EPERM, 176, 0, 0)
call("kexec_load", EPERM, 246, 0, 0, 0, 0)
call("open_by_handle_at", EPERM, 304, -1, 0, 0)
call("pivot_root", EPERM, 155, 0, 0)
call("umount", EPERM, 166, 0, 0)
call("fsopen", EPERM, 430, 0, 0)
call("reboot", EPERM, 169, 0, 0, 0, 0)
call("swapon", EPERM, 167, 0, 0)
call("sethostname", EPERM, 170, 0, 0)
call("settimeofday", EPERM, 164, 0, 0)
call("iopl", EPERM, 172, 3)
call("ioperm", EPERM, 173, 0, 1, 1)
call("syslog", EPERM, 103, 10, 0, 0)
call("acct", EPERM, 163, 0)
# No capability for these; the filter lets them by.
call("raw socket", EPERM, 41, 2, 3, 1)
call("setuid of nobody's", errno.EINVAL, 105, 1 << 20)
call("nice", errno.EACCES, 141, 0, 0, -5)


def other_word_size():
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, getpid; int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    ctypes.CFUNCTYPE(ctypes.c_long)(address)()


in_child("a 32-bit call", [signal.SIGSYS, signal.SIGSEGV], other_word_size)
in_child("an x32 call", [signal.SIGSYS], lambda: libc.syscall(0x40000000 + 39) == -1 and os.kill(os.getpid(), signal.SIGSYS))

# Devices: none can be made, and none but the harmless ones is there.
for name, kind, major, minor in [
    ("pmem0", 0o60666, 259, 0), ("pmem1", 0o60666, 259, 1), ("mem", 0o20666, 1, 1),
    ("kmsg", 0o20666, 1, 11), ("ttyS0", 0o20666, 4, 64), ("loop", 0o60666, 7, 0),
    ("overlay whiteout", 0o20666, 0, 0),
]:
    for directory in ["/tmp", "/dev", "/dev/shm", "/output"]:
        path = f"{directory}/node"
        try:
            os.mknod(path, kind, os.makedev(major, minor))
        except OSError:
            tried += 1
            continue
        # Where a node can be made it must not open (a whiteout is no device).
        refused(f"open a node of {name} in {directory}", lambda: os.close(os.open(path, os.O_RDWR)))
        os.unlink(path)
harmless = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm",
            "fd", "stdin", "stdout", "stderr", "mqueue", "core"}
strange = set(os.listdir("/dev")) - harmless
if strange:
    bad("devices", *strange)

# Nothing of the machine can be opened for writing.
for path in [
    "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/overcommit_memory", "/proc/sys/net/ipv4/ip_forward", "/sys/kernel/uevent_helper",
    "/sys/power/state", "/proc/1/mem", "/proc/1/oom_score_adj", "/proc/acpi", "/proc/irq",
]:
    refused("write " + path, lambda: os.close(os.open(path, os.O_WRONLY)))
for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/kmsg"]:
    tried += 1
    try:
        with open(path, "rb") as file:
            if file.read(1):
                bad("read", path)
    except OSError:
        pass
for root, _, files in os.walk("/sys/fs/cgroup"):
    for name in files:
        refused(f"write {root}/{name}", lambda: os.close(os.open(f"{root}/{name}", os.O_WRONLY)))

# Nobody else's processes: none but our own can be seen or traced, init's keeper least of all.
PTRACE_SEIZE = 0x4206
tried += 1
if libc.ptrace(PTRACE_SEIZE, 1, 0, 0) == 0:
    bad("ptrace of process 1")
for link in ["root", "exe", "cwd", "fd", "ns/mnt"]:
    refused("read /proc/1/" + link, lambda: os.readlink("/proc/1/" + link) if link != "fd" else os.listdir("/proc/1/fd"))
tried += 1
mine = {os.getpid(), os.getppid()}
others = {int(name) for name in os.listdir("/proc") if name.isdigit()} - mine - {1}
if others:
    bad("processes", *others)

status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
for name in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"]:
    if int(status[name], 16):
        bad(name, status[name])
if (status["NoNewPrivs"], status["Seccomp"]) != ("1", "2"):
    bad("no_new_privs and seccomp", status["NoNewPrivs"], status["Seccomp"])
first = open("/proc/self/uid_map").read().split()
if first[1] == "0":
    bad("the container's root is the VM's root", *first)

# The network: a loopback and nothing else, whichever way one looks.
names = [name for _, name in socket.if_nameindex()]
lines = [line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]]
if set(names) - {"lo"} or set(lines) - {"lo"}:
    bad("interfaces", *names, *lines)
if len(open("/proc/net/route").read().splitlines()) > 1:
    bad("routes")
for family, address in [
    (socket.AF_INET, ("169.254.169.254", 80)), (socket.AF_INET, ("10.0.2.2", 80)),
    (socket.AF_INET, ("10.0.2.3", 53)), (socket.AF_INET, ("8.8.8.8", 53)),
    (socket.AF_INET, ("192.168.0.1", 80)), (socket.AF_INET6, ("fd00:ec2::254", 80)),
]:
    for kind in [socket.SOCK_STREAM, socket.SOCK_DGRAM]:
        with socket.socket(family, kind) as each:
            each.settimeout(2)
            refused(f"connect to {address}", lambda: each.connect(address))
refused("look up a name", lambda: socket.getaddrinfo("metadata.google.internal", 80))
print("tried", tried)
