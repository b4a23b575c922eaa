//! Several workers of one load balancer: capacity is what is connected, no more and no less.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use nix::sys::signal::Signal;
use pe_e2e::client::{Client, Job};
use pe_e2e::lab::Lab;
use pe_e2e::wait;
use pe_proto::Outcome;
use pe_proto::api::Answer;

use crate::labs::Labs;

crate::scenarios![two_workers_share_jobs_and_come_and_go];

/// Runs jobs at the same time; the answers in the jobs' order.
pub(crate) fn in_parallel(client: &Client, jobs: Vec<Job>) -> anyhow::Result<Vec<Answer>> {
    let running: Vec<_> = jobs
        .into_iter()
        .map(|job| {
            let client = client.clone();
            thread::spawn(move || client.run(job))
        })
        .collect();
    running
        .into_iter()
        .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
        .collect()
}

/// How many each worker ran.
fn by_worker(answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for answer in answers {
        let worker = answer.head.ran_on.as_ref().map(|ran_on| ran_on.worker.clone());
        *count.entry(worker.unwrap_or_default()).or_default() += 1;
    }
    count
}

fn two_workers_share_jobs_and_come_and_go(_: &Labs) -> anyhow::Result<()> {
    let mut lab = Lab::with_workers(&[1])?;
    let check = |lab: &mut Lab| -> anyhow::Result<()> {
        // A worker that starts late is used as soon as it is there.
        lab.start_worker("late", 1)?;
        lab.workers.last().ok_or_else(|| anyhow::anyhow!("no worker"))?.wait_ready(1)?;
        let jobs = (0..6).map(|_| Job::shell("sleep 1; echo done")).collect();
        let answers = in_parallel(&lab.client, jobs)?;
        let count = by_worker(&answers);
        ensure!(count.get("worker-0") >= Some(&2) && count.get("late") >= Some(&2), "{count:?}");

        // A worker killed in the middle of a job: the job runs again on the other one.
        let client = lab.client.clone();
        let both: Vec<_> = (0..2)
            .map(|_| {
                let client = client.clone();
                thread::spawn(move || client.run(Job::shell("sleep 4; echo done")))
            })
            .collect();
        wait_leased(lab, 2)?;
        let late = lab.workers.pop().ok_or_else(|| anyhow::anyhow!("no worker"))?;
        late.daemon.signal(Signal::SIGKILL);
        for job in both {
            let answer = job.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
            ensure!(by_worker(&[answer]).contains_key("worker-0"));
        }

        // It is forgotten at once: a job waits for nobody but the worker that is left.
        let answer = lab.client.run(Job::shell("true"))?;
        ensure!(answer.head.phases.queue_us < 1_000_000, "{:?}", answer.head.phases);

        // A worker told to end finishes what it runs, and only then ends.
        let client = lab.client.clone();
        let last = thread::spawn(move || client.run(Job::shell("sleep 2; echo finished")));
        wait_leased(lab, 1)?;
        let mut worker = lab.workers.pop().ok_or_else(|| anyhow::anyhow!("no worker"))?;
        worker.daemon.signal(Signal::SIGTERM);
        let answer = last.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
        let status = worker.daemon.ended(Duration::from_secs(30))?;
        ensure!(status.success(), "drained worker ended with {status}: {}", worker.daemon.log());
        Ok(())
    };
    check(&mut lab).map_err(|error| error.context(lab.logs()))
}

/// Waits until so many jobs are leased, over all workers of the lab.
fn wait_leased(lab: &Lab, jobs: u32) -> anyhow::Result<()> {
    wait::until("jobs to be leased", Duration::from_secs(60), || {
        let mut leased = 0.0;
        for worker in &lab.workers {
            leased += worker.slots("leased")?;
        }
        (leased >= f64::from(jobs)).then_some(())
    })
}
