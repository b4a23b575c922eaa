//! Two VMs of one zygote share nothing, and no VM is used twice.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use anyhow::ensure;
use pe_e2e::client::{self, Job};
use pe_proto::Outcome;

use super::container::python;
use crate::fleet::in_parallel;
use crate::labs::Labs;
use crate::rogue::told;

crate::scenarios![
    case_17_vms_of_one_zygote_differ_in_all_that_is_random,
    case_18_no_job_finds_the_mark_of_another,
    case_40_flags_on_the_host_and_in_other_vms_cannot_be_read,
];

const RUNS: usize = 6;

fn case_17_vms_of_one_zygote_differ_in_all_that_is_random(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let identity = || python(include_str!("../../../attacks/identity.py"), &[]);
    // The address of `main`: compiled as every program is by default, position-independent.
    let source = b"#include <stdio.h>\n#include <stdlib.h>\nint main(void) { int on_stack; \
        printf(\"main %p\\nstack %p\\nmalloc %p\\n\", (void *)main, (void *)&on_stack, malloc(1)); }";
    let program = || Job::new("gcc", &["sh", "-c", "gcc a.c -o a && ./a"]).file("a.c", source);
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // Two at a time, so that VMs restored at the same moment are among them.
    for _ in 0..RUNS / 2 {
        let jobs = vec![identity(), identity()];
        let programs = vec![program(), program()];
        let mut answers = in_parallel(&lab.client, jobs)?;
        answers.extend(in_parallel(&lab.client, programs)?);
        for answer in answers {
            ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
            for line in client::stdout_text(&answer)?.lines() {
                let (what, value) = line.split_once(' ').unwrap_or((line, ""));
                let is_new = seen.entry(what.to_owned()).or_default().insert(value.to_owned());
                ensure!(is_new, "{what} {value} was there before");
            }
        }
    }
    let kinds: Vec<&str> = seen.keys().map(String::as_str).collect();
    let all = "[heap] [stack] [vdso] boot_id libc main malloc random stack urandom uuid";
    ensure!(kinds.join(" ") == all, "{kinds:?}");
    ensure!(seen.values().all(|values| values.len() == RUNS), "{seen:?}");
    Ok(())
}

fn case_18_no_job_finds_the_mark_of_another(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    // The boot id is made once per kernel: a VM that ran two jobs would show one twice. Files,
    // shared memory, message queues and names outlive a process, but no VM.
    let script = "import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for place in ['/', '/tmp', '/input', '/output', '/dev/shm', '/root', '/var', '/dev']:
    try:
        if 'marker' in os.listdir(place): print('USED', place)
        open(os.path.join(place, 'marker'), 'w').write('mark')
    except OSError: pass
if libc.shmget(0x5045, 4096, 0o1000 | 0o2000 | 0o666) == -1: print('USED shm', ctypes.get_errno())
if libc.semget(0x5045, 1, 0o1000 | 0o2000 | 0o666) == -1: print('USED sem', ctypes.get_errno())
if libc.msgget(0x5045, 0o1000 | 0o2000 | 0o666) == -1: print('USED msg', ctypes.get_errno())
print(open('/proc/sys/kernel/random/boot_id').read().strip())";
    let mut boots = BTreeSet::new();
    for job in 0..8 {
        let text = client::stdout_text(&lab.client.run(python(script, &[]))?)?;
        ensure!(!text.contains("USED"), "job {job}: {text}");
        ensure!(boots.insert(text.trim().to_owned()), "job {job} had the VM of another: {text}");
    }
    Ok(())
}

fn case_40_flags_on_the_host_and_in_other_vms_cannot_be_read(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let secret = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().replace('-', "");
    let flag = format!("PE-FLAG-{secret}");
    // On the host: a file that the worker itself could read, beside its own logs and images.
    let planted = lab.scratch().join("flag");
    std::fs::write(&planted, &flag)?;
    // In a sibling: in its memory, its files and its command line, while the search goes on.
    let sibling = format!(
        "echo {flag} > /tmp/flag; echo {flag} > /dev/shm/flag; cp /tmp/flag /output/; sleep 12; echo {flag}"
    );
    let client = lab.client.clone();
    let holder = thread::spawn(move || client.run(Job::shell(&sibling)));
    // In two halves, or the search finds itself.
    let search = "import os, sys
flag = ''.join(sys.argv[1:3]).encode()
found, read = [], 0
for root, dirs, files in os.walk('/'):
    if root == '/': dirs[:] = [each for each in dirs if each != 'sys']
    for name in files:
        path = os.path.join(root, name)
        try:
            if not (os.path.isfile(path) and os.access(path, os.R_OK)): continue
            if path.startswith('/proc/') and name in ('kmsg', 'pagemap', 'clear_refs', 'mem'): continue
            with open(path, 'rb') as file: data = file.read(1 << 22)
        except OSError: continue
        read += 1
        if flag in data: found.append(path)
for path in sys.argv[3:]:
    for each in [path, '/proc/1/root' + path, '/proc/self/root/..' + path]:
        if os.path.exists(each): found.append(each)
print('found', found); print('read', read)";
    let path = planted.display().to_string();
    let job = python(search, &["PE-FLAG-", &secret, &path, "/etc/hostname-of-the-host"]);
    let text = client::stdout_text(&lab.client.run(job)?)?;
    ensure!(text.starts_with("found []\nread "), "{text}");
    let held = holder.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    ensure!(client::stdout_text(&held)?.trim() == flag, "{held:?}");
    drop(lab);

    // A guest that owns its kernel: its io device, and the memory it was restored with.
    let lab = labs.rogue()?;
    lab.client.run(told("well", &[]).stdin(flag.as_bytes()))?;
    let answer = lab.client.run(told("search", &["PE-FLAG-", &secret]).with(|job| {
        job.limits.wall_ms = Some(60_000);
    }))?;
    let text = client::stdout_text(&answer)?;
    ensure!(text.starts_with("found 0 in "), "{text} {answer:?}");
    Ok(())
}
