//! A limit ends a job, and loses nothing that came before it.

use std::time::{Duration, Instant};

use anyhow::ensure;
use pe_e2e::circumstances::scaled;
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_proto::Outcome;
use pe_proto::outcome::{Clock, Truncated};

use crate::labs::Labs;

crate::scenarios![
    a_timeout_keeps_all_output_up_to_then,
    a_memory_bomb_is_out_of_memory,
    a_fork_bomb_ends_and_the_next_job_is_clean,
    an_output_flood_is_cut_at_its_limit_and_the_exit_code_kept,
    a_full_disk_is_an_error_the_program_sees,
    an_inode_bomb_is_an_error_the_program_sees,
    too_many_output_bytes_leave_out_files_and_say_so,
    a_million_names_in_output_do_not_hurt,
    a_sparse_terabyte_is_left_out,
    what_a_container_may_not_do_it_cannot,
];

fn a_timeout_keeps_all_output_up_to_then(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "echo before; echo warned >&2; echo kept > /output/file; sleep 1000; echo after";
    let job = Job::shell(script).with(|job| job.limits.wall_ms = Some(3_000));
    let answer = lab.client.run(job)?;
    ensure!(answer.head.outcome == Outcome::TimedOut { clock: Clock::Guest }, "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "before\n", "{answer:?}");
    ensure!(answer.stderr.clone().into_bytes()? == b"warned\n");
    ensure!(client::file(&answer, "file")? == b"kept\n");
    ensure!(answer.head.usage.wall_us >= 3_000_000, "{:?}", answer.head.usage);
    next_job_is_clean(&lab)
}

fn a_memory_bomb_is_out_of_memory(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let bomb = "import sys\nprint('first', flush=True)\nblocks = []\nwhile True: blocks.append(b'x' * (8 << 20))";
    let answer = lab.client.run(Job::new("python", &["python3", "-c", bomb]))?;
    ensure!(answer.head.outcome == Outcome::OutOfMemory, "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "first\n", "{answer:?}");
    ensure!(answer.head.usage.oom_kills > 0, "{:?}", answer.head.usage);
    next_job_is_clean(&lab)
}

fn a_fork_bomb_ends_and_the_next_job_is_clean(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "echo first; bomb() { bomb | bomb & }; bomb; sleep 1000";
    let job = Job::shell(script).with(|job| {
        job.limits.wall_ms = Some(5_000);
        job.limits.stderr_bytes = Some(10_000);
    });
    let answer = lab.client.run(job)?;
    // Which limit ends it is a matter of luck; that one does, and that nothing is lost, is not.
    let ended = matches!(
        answer.head.outcome,
        Outcome::TimedOut { .. } | Outcome::Exited { .. } | Outcome::OutOfMemory
    );
    ensure!(ended, "{answer:?}");
    ensure!(client::stdout_text(&answer)?.starts_with("first\n"), "{answer:?}");
    next_job_is_clean(&lab)
}

fn an_output_flood_is_cut_at_its_limit_and_the_exit_code_kept(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "head -c 3000000 /dev/zero | tr '\\0' A; echo B >&2; exit 9";
    let job = Job::shell(script).with(|job| job.limits.stdout_bytes = Some(100_001));
    let answer = lab.client.run(job)?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 9 }, "{:?}", answer.head);
    let stdout = client::stdout(&answer)?;
    ensure!(stdout.len() == 100_001 && stdout.iter().all(|byte| *byte == b'A'));
    ensure!(answer.head.truncated == [Truncated::Stdout], "{:?}", answer.head.truncated);
    ensure!(answer.stderr.clone().into_bytes()? == b"B\n");
    next_job_is_clean(&lab)
}

fn a_full_disk_is_an_error_the_program_sees(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "for dir in / /tmp /input /output /dev/shm; do \
                  dd if=/dev/zero of=$dir/fill bs=1M count=4000 2>&1 | grep -c 'No space'; rm -f $dir/fill; done; \
                  echo still here > /output/note";
    let answer = lab.client.run(Job::shell(script))?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    let full = client::stdout_text(&answer)?.lines().filter(|line| *line == "1").count();
    ensure!(full == 5, "{answer:?}");
    ensure!(client::file(&answer, "note")? == b"still here\n");
    next_job_is_clean(&lab)
}

fn an_inode_bomb_is_an_error_the_program_sees(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "import os
n = 0
os.mkdir('/tmp/many')
try:
    while n < 2_000_000:
        os.close(os.open(f'/tmp/many/{n}', os.O_CREAT)); n += 1
except OSError as error:
    print(error.strerror)";
    let answer = lab.client.run(Job::new("python", &["python3", "-c", script]))?;
    let text = client::stdout_text(&answer)?;
    let limited = text.contains("No space left") || answer.head.outcome == Outcome::OutOfMemory;
    ensure!(limited, "{answer:?}");
    next_job_is_clean(&lab)
}

fn too_many_output_bytes_leave_out_files_and_say_so(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script =
        "cd /output; head -c 900000 /dev/zero > a; head -c 900000 /dev/zero > b; echo small > c";
    let job = Job::shell(script).with(|job| job.limits.output_bytes = Some(1_000_000));
    let answer = lab.client.run(job)?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{:?}", answer.head);
    ensure!(answer.head.truncated == [Truncated::Files], "{:?}", answer.head);
    ensure!(client::file(&answer, "a")?.len() == 900_000);
    ensure!(!answer.files.contains_key("b"));
    ensure!(client::file(&answer, "c")? == b"small\n");
    ensure!(answer.head.notes.iter().any(|note| note.ends_with(": b")), "{:?}", answer.head.notes);
    Ok(())
}

fn a_million_names_in_output_do_not_hurt(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    // As many as the disk's inodes allow.
    let script = "import os
n = 0
try:
    while n < 1_000_000:
        os.close(os.open(f'/output/{n:07}', os.O_CREAT)); n += 1
except OSError:
    pass
print(n)";
    let answer = lab.client.run(Job::new("python", &["python3", "-c", script]))?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{:?}", answer.head);
    let most = usize::try_from(pe_proto::limits::ARCHIVE_ENTRIES_MAX)?;
    let made: usize = client::stdout_text(&answer)?.trim().parse()?;
    ensure!(made > most, "only {made} files could be made");
    ensure!(answer.files.len() + 2 == most || answer.files.len() == most, "{}", answer.files.len());
    ensure!(answer.head.truncated == [Truncated::Files], "{:?}", answer.head.truncated);
    next_job_is_clean(&lab)
}

fn a_sparse_terabyte_is_left_out(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "truncate -s 1T /output/huge || truncate -s 4G /output/huge; echo x > /output/ok";
    let answer = lab.client.run(Job::shell(script))?;
    ensure!(answer.head.truncated == [Truncated::Files], "{:?}", answer.head);
    ensure!(client::file(&answer, "ok")? == b"x\n");
    ensure!(!answer.files.contains_key("huge"));
    Ok(())
}

/// Each line tries something; what succeeds is printed.
const FORBIDDEN: &str = "import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def tried(what, action):
    try:
        if action() in (0, None) or what.startswith('file'): print('CAN', what)
    except OSError: pass
tried('mknod pmem', lambda: os.mknod('/tmp/pmem', 0o60666, os.makedev(259, 0)))
tried('mknod mem', lambda: os.mknod('/tmp/mem', 0o20666, os.makedev(1, 1)))
tried('mount', lambda: libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))
tried('unshare user', lambda: libc.unshare(0x10000000))
tried('bpf', lambda: min(0, libc.syscall(321, 0, 0, 0)))
tried('init_module', lambda: min(0, libc.syscall(175, 0, 0, b'')))
tried('ptrace init', lambda: min(0, libc.ptrace(16, 1, 0, 0)))
tried('keyctl', lambda: min(0, libc.syscall(250, 0, -3, 0)))
tried('sethostname', lambda: os.sethostname(b'x') if hasattr(os, 'sethostname') else libc.sethostname(b'x', 1))
tried('chroot', lambda: libc.chroot(b'/tmp'))
for path in ['/dev/mem', '/dev/kmsg', '/dev/pmem0', '/dev/pmem1', '/dev/ttyS0', '/proc/sysrq-trigger']:
    tried('file ' + path, lambda: os.close(os.open(path, os.O_RDWR)))
for path in ['/proc/kcore', '/proc/keys', '/proc/timer_list']:
    # Masked by an empty file, where the kernel has them at all.
    try:
        if open(path, 'rb').read(1): print('CAN read', path)
    except OSError: pass
for path in ['/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/sys/kernel/uevent_helper']:
    tried('file ' + path, lambda: os.close(os.open(path, os.O_WRONLY)))
print(sorted(name for _, name in socket.if_nameindex()))
status = open('/proc/self/status').read()
print([line.split()[1] for line in status.splitlines() if line.startswith(('CapEff', 'CapBnd', 'CapPrm', 'CapAmb'))])
print([line.split()[1] for line in status.splitlines() if line.startswith(('NoNewPrivs', 'Seccomp:'))])
print(open('/proc/cmdline').read().strip())
";

fn what_a_container_may_not_do_it_cannot(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let answer = lab.client.run(Job::new("python", &["python3", "-c", FORBIDDEN]))?;
    let text = client::stdout_text(&answer)?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    ensure!(!text.contains("CAN "), "{text}");
    ensure!(text.contains("['lo']") || text.contains("[]"), "{text}");
    let none = "0000000000000000";
    ensure!(text.contains(&format!("['{none}', '{none}', '{none}', '{none}']")), "{text}");
    ensure!(text.contains("['1', '2']"), "no_new_privs and a seccomp filter: {text}");
    next_job_is_clean(&lab)
}

/// The slot is back, and the job after finds nothing of the one before.
pub(crate) fn next_job_is_clean(lab: &Lab) -> anyhow::Result<()> {
    let start = Instant::now();
    let script = "ls -A /output /input /tmp /dev/shm | grep -v : | tr -d '\\n'; ps | wc -l";
    let answer = lab.client.run(Job::shell(script))?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    let text = client::stdout_text(&answer)?;
    let processes: u32 = text.trim().parse().map_err(|_| anyhow::anyhow!("leftovers: {text}"))?;
    ensure!(processes < 9, "{processes} processes");
    let queued = Duration::from_micros(answer.head.phases.queue_us);
    println!("\n   slot back after {queued:?}, next job took {:?}", start.elapsed());
    ensure!(queued < scaled(Duration::from_secs(1)), "the slot came back only after {queued:?}");
    Ok(())
}
