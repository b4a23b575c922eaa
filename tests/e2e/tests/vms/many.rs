//! Many jobs through one worker: no VM twice, every exit code exact, nothing left behind.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::ensure;
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_e2e::procfs;
use pe_proto::Outcome;

use crate::labs::Labs;

crate::scenarios![two_hundred_and_fifty_six_jobs_each_get_a_vm_of_their_own_and_leave_nothing];

/// Fails if any place that a job can write to shows that a job was there before; then marks them
/// all, and exits with the code it was given.
const MARK: &str = "for dir in / /tmp /input /output /dev/shm /var /root; do \
    if [ -e $dir/marker ]; then echo USED $dir; fi; echo mark > $dir/marker 2>/dev/null; done; \
    cat /proc/sys/kernel/random/uuid; exit $0";

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Holdings {
    children: usize,
    fds: usize,
    memfds: usize,
    mappings: usize,
    resident_kib: u64,
}

fn two_hundred_and_fifty_six_jobs_each_get_a_vm_of_their_own_and_leave_nothing(
    labs: &Labs,
) -> anyhow::Result<()> {
    let lab = labs.common()?;
    // The first jobs warm up what is allocated once.
    run_codes(&lab, 0..8)?;
    let before = holdings(&lab)?;
    let started_before = started_vms(&lab)?;
    let temporary_before = temporary_files();
    run_codes(&lab, 0..256)?;
    let after = holdings(&lab)?;
    println!("\n   before {before:?}\n   after  {after:?}");
    for (before, after) in before.iter().zip(&after) {
        ensure!(before.children == after.children, "processes: {before:?} {after:?}");
        ensure!(after.fds <= before.fds + 4, "file descriptors: {before:?} {after:?}");
        ensure!(after.memfds <= before.memfds, "memfds: {before:?} {after:?}");
        ensure!(after.mappings <= before.mappings + 16, "mappings: {before:?} {after:?}");
        ensure!(after.resident_kib <= before.resident_kib + 32 * 1024, "{before:?} {after:?}");
    }
    let started = started_vms(&lab)? - started_before;
    ensure!(started >= 256.0, "{started} VMs were started for 256 jobs");
    let left: Vec<_> = temporary_files().difference(&temporary_before).cloned().collect();
    ensure!(left.iter().all(|name| !name.contains("pe-") && !name.contains("qemu")), "{left:?}");
    let metrics = client::get(&format!("http://127.0.0.1:{}/metrics", lab.worker()?.metrics_port))?;
    let unexpected = pe_e2e::lab::metric(&metrics, "pe_worker_unexpected_vmm_processes");
    ensure!(unexpected == Some(0.0), "unexpected VMs: {unexpected:?}");
    Ok(())
}

/// Runs a job for each exit code, two at a time.
fn run_codes(lab: &Lab, codes: std::ops::Range<u32>) -> anyhow::Result<()> {
    let next = AtomicU32::new(codes.start);
    let uuids = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    loop {
                        let code = next.fetch_add(1, Ordering::Relaxed);
                        if code >= codes.end {
                            return Ok(());
                        }
                        let uuid = run_code(lab, u8::try_from(code)?)?;
                        let is_new = uuids.lock().is_ok_and(|mut uuids| uuids.insert(uuid.clone()));
                        ensure!(is_new, "two jobs drew the same random uuid {uuid}");
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}

fn run_code(lab: &Lab, code: u8) -> anyhow::Result<String> {
    let job = Job::new("busybox", &["sh", "-c", MARK, &code.to_string()]);
    let answer = lab.client.run(job)?;
    ensure!(answer.head.outcome == Outcome::Exited { code }, "{code}: {answer:?}");
    let text = client::stdout_text(&answer)?;
    ensure!(!text.contains("USED"), "job {code} found the marks of another: {text}");
    Ok(text.trim().to_owned())
}

/// VMs that the worker ever started, whichever way.
fn started_vms(lab: &Lab) -> anyhow::Result<f64> {
    let url = format!("http://127.0.0.1:{}/metrics", lab.worker()?.metrics_port);
    let text = client::get(&url)?;
    let counts = text.lines().filter(|line| line.starts_with("pe_worker_vm_start_seconds_count"));
    Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Of the worker and of the load balancer, once all VMs are ready again.
fn holdings(lab: &Lab) -> anyhow::Result<Vec<Holdings>> {
    let worker = lab.worker()?;
    worker.wait_ready(2)?;
    let of = |pid: u32| Holdings {
        children: procfs::children(pid).len(),
        fds: procfs::open_fds(pid),
        memfds: procfs::memfds(pid),
        mappings: procfs::mappings(pid),
        resident_kib: procfs::resident_kib(pid),
    };
    Ok(vec![of(worker.daemon.pid()), of(lab.lb.pid())])
}

fn temporary_files() -> BTreeSet<String> {
    let names = |dir: &str| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>()
    };
    ["/tmp", "/dev/shm", "/run", "/var/tmp"].into_iter().flat_map(names).collect()
}
