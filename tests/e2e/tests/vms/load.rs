//! Harm done while several clients are served: no client goes without its answer, no process or
//! place is left over, and every slot comes back.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use pe_e2e::client::{self, Job};
use pe_e2e::daemon::signal_pid;
use pe_e2e::lab::Lab;
use pe_e2e::{procfs, wait};
use pe_proto::Outcome;
use pe_proto::outcome::Clock;

use crate::journal;
use crate::labs::Labs;

crate::scenarios![
    vmms_killed_under_load_lose_no_job,
    vmms_stopped_under_load_cost_their_own_job_only,
    workers_killed_and_stopped_under_load_lose_no_job_and_leave_nothing,
];

const CLIENTS: u32 = 4;

/// Several clients that run one job after the other until they are told to stop.
struct Load<'a> {
    lab: &'a Lab,
    next: AtomicU32,
    answered: AtomicU32,
    stop: AtomicBool,
}

impl<'a> Load<'a> {
    fn new(lab: &'a Lab) -> Self {
        let (next, answered) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { lab, next, answered, stop: AtomicBool::new(false) }
    }

    /// Runs the clients while `harm` is done; every job must end as it should.
    fn while_harmed(&self, harm: impl FnOnce(&Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let result = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| self.serve())).collect();
            let harmed = harm(self);
            self.stop.store(true, Ordering::Relaxed);
            for client in clients {
                client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            }
            harmed
        });
        println!("\n   {} jobs answered", self.answered());
        result
    }

    fn serve(&self) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let code = u8::try_from(number % 256)?;
            let job = Job::shell(&format!("echo job {number}; sleep 0.2; exit {code}"));
            let answer = self.lab.client.run(job).with_context(|| format!("job {number}"))?;
            ensure!(answer.head.outcome == Outcome::Exited { code }, "job {number}: {answer:?}");
            let text = client::stdout_text(&answer)?;
            ensure!(text == format!("job {number}\n"), "job {number}: {text}");
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn answered(&self) -> u32 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more jobs were answered.
    fn wait_answered(&self, more: u32) -> anyhow::Result<()> {
        let goal = self.answered() + more;
        let done = || (self.answered() >= goal).then_some(());
        wait::until("jobs to be answered", Duration::from_secs(120), done)
    }
}

fn vmms_killed_under_load_lose_no_job(_: &Labs) -> anyhow::Result<()> {
    let lab = Lab::with_workers(&[2])?;
    let check = || -> anyhow::Result<()> {
        let worker = lab.worker()?;
        Load::new(&lab).while_harmed(|load| {
            for _ in 0..8 {
                // A job whose VM was lost twice is given up, so none is to be harmed twice: it is
                // first in line, and as many others as there are slots and clients end after it.
                load.wait_answered(CLIENTS + 2)?;
                let vm = wait::until("a job that runs", Duration::from_secs(60), || {
                    journal::vms_that_said(worker, 6).into_iter().next()
                })?;
                signal_pid(vm, Signal::SIGKILL);
            }
            load.wait_answered(CLIENTS + 2)
        })?;
        all_as_at_the_start(&lab, 2)
    };
    check().context(lab.logs())
}

fn vmms_stopped_under_load_cost_their_own_job_only(_: &Labs) -> anyhow::Result<()> {
    let lab = Lab::with_workers(&[2])?;
    let check = || -> anyhow::Result<()> {
        let worker = lab.worker()?;
        // One that runs a job: its client gets what there was, when the worker's clock is up.
        let client = lab.client.clone();
        let hung = thread::spawn(move || {
            client.run(Job::shell("echo stopped; sleep 1000").with(|job| {
                job.limits.wall_ms = Some(1_000);
            }))
        });
        let vm = journal::vm_that_said(&lab, 8)?;
        signal_pid(vm, Signal::SIGSTOP);
        Load::new(&lab).while_harmed(|load| {
            load.wait_answered(4)?;
            // One that waits for a job: found out when a job comes, which then goes elsewhere. Or
            // one that still starts, which has a time limit for that.
            for _ in 0..2 {
                let idle = wait::until("a vm without a job", Duration::from_secs(60), || {
                    let busy = journal::vms_that_said(worker, 0);
                    worker.vms().into_iter().find(|vm| !busy.contains(vm))
                })?;
                signal_pid(idle, Signal::SIGSTOP);
                load.wait_answered(CLIENTS + 2)?;
                wait::until("a stopped vm to be found out", Duration::from_secs(10), || {
                    (!procfs::is_alive(idle)).then_some(())
                })?;
            }
            while !hung.is_finished() {
                load.wait_answered(1)?;
            }
            Ok(())
        })?;
        let answer = hung.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
        ensure!(answer.head.outcome == Outcome::TimedOut { clock: Clock::Worker }, "{answer:?}");
        ensure!(client::stdout_text(&answer)? == "stopped\n", "{answer:?}");
        all_as_at_the_start(&lab, 2)
    };
    check().context(lab.logs())
}

fn workers_killed_and_stopped_under_load_lose_no_job_and_leave_nothing(
    _: &Labs,
) -> anyhow::Result<()> {
    let mut lab = Lab::with_workers(&[1, 1])?;
    let harmed = lab.workers.pop().context("two workers")?;
    let mut pids = vec![lab.worker()?.daemon.pid(), harmed.daemon.pid()];
    ensure!(!places(&pids).is_empty(), "workers keep nothing where it is looked for");
    let check = || -> anyhow::Result<()> {
        Load::new(&lab).while_harmed(|load| {
            load.wait_answered(CLIENTS)?;
            // Stopped: its link goes quiet, the load balancer gives up on it, and what it had is
            // run by the other. It wakes up to find out, and serves again.
            harmed.daemon.signal(Signal::SIGSTOP);
            load.wait_answered(3 * CLIENTS)?;
            thread::park_timeout(Duration::from_secs(40));
            harmed.daemon.signal(Signal::SIGCONT);
            harmed.wait_ready(1)?;
            load.wait_answered(3 * CLIENTS)?;
            // Killed: its VMs go with it, at once.
            let vms = wait::until("a vm to be there", Duration::from_secs(60), || {
                Some(harmed.vms()).filter(|vms| !vms.is_empty())
            })?;
            harmed.daemon.signal(Signal::SIGKILL);
            let start = Instant::now();
            wait::until("the vms of a killed worker to be gone", Duration::from_secs(10), || {
                vms.iter().all(|vm| !procfs::is_alive(*vm)).then_some(())
            })?;
            println!("\n   {} VMs gone {:?} after their worker", vms.len(), start.elapsed());
            load.wait_answered(3 * CLIENTS)
        })
    };
    check().with_context(|| lab.logs())?;
    let name = harmed.name.clone();
    drop(harmed);
    // The same worker again: it sweeps what its former self left.
    lab.start_worker(&name, 1)?;
    lab.workers.last().context("a worker")?.wait_ready(1)?;
    let swept = places(pids.get(1..).unwrap_or_default());
    ensure!(swept.is_empty(), "the next start left {swept:?}");
    pids.extend(lab.workers.last().map(|worker| worker.daemon.pid()));
    let check = || -> anyhow::Result<()> {
        Load::new(&lab).while_harmed(|load| load.wait_answered(3 * CLIENTS))?;
        all_as_at_the_start(&lab, 1)
    };
    check().with_context(|| lab.logs())?;
    drop(lab);
    let left = places(&pids);
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// All slots are ready, and there is no process beside their VMs.
fn all_as_at_the_start(lab: &Lab, slots: u32) -> anyhow::Result<()> {
    for worker in &lab.workers {
        worker.wait_ready(slots)?;
        let children = procfs::children(worker.daemon.pid());
        let count = usize::try_from(slots)?;
        ensure!(children.len() == count && worker.vms().len() == count, "{children:?}");
        let url = format!("http://127.0.0.1:{}/metrics", worker.metrics_port);
        let metrics = client::get(&url)?;
        let unexpected = pe_e2e::lab::metric(&metrics, "pe_worker_unexpected_vmm_processes");
        ensure!(unexpected == Some(0.0), "unexpected VMs: {unexpected:?}");
    }
    Ok(())
}

/// What is there of these workers: directories for temporary files, their runtime directories, and
/// their control groups, all of which have the worker's process id in their names.
fn places(pids: &[u32]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (root, depth) in
        [("/run/pe-worker", 0), ("/sys/fs/cgroup", 4), ("/tmp", 0), ("/dev/shm", 0)]
    {
        walk(root.as_ref(), depth, &mut |name, path| {
            let name = name.strip_prefix("pe-worker-").unwrap_or(name);
            let pid = name.split_once('-').and_then(|(pid, _)| pid.parse().ok());
            if pid.is_some_and(|pid| pids.contains(&pid)) {
                found.insert(path.display().to_string());
            }
        });
    }
    found
}

fn walk(dir: &Path, depth: u32, see: &mut impl FnMut(&str, &Path)) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            see(&entry.file_name().to_string_lossy(), &entry.path());
            if depth > 0 {
                walk(&entry.path(), depth - 1, see);
            }
        }
    }
}
