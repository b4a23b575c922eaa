//! Workers that are killed in the middle of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use pe_fleet::lb::Lb;
use pe_fleet::workers::Workers;
use tokio::task::JoinSet;
use tokio::time::timeout;

const JOBS: usize = 1000;
/// As many as there are slots: more would wait, and after each kill be told that they wait too long.
const AT_A_TIME: usize = 24;

/// Every client gets the answer to its own job, once; no result was taken twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_or_doubled_when_workers_are_killed_in_the_middle_of_1000()
-> anyhow::Result<()> {
    let lb = Lb::start("[queue]\nwait_ms = 60000\n").await?;
    let mut workers = VecDeque::new();
    for number in 0..4 {
        workers.push_back(lb.with_workers(&format!("w{number}"), 1, 6).await?);
    }
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..AT_A_TIME {
        let connection = lb.client().await?;
        let answered = Arc::clone(&answered);
        clients.spawn(async move {
            for number in (client..JOBS).step_by(AT_A_TIME) {
                let script = format!("sleep-ms {} echo job-{number}", 5 + number % 60);
                let reply = connection.run(&script).await.with_context(|| script)?;
                anyhow::ensure!(reply.stdout()? == format!("job-{number}"), "job {number}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let mut killed = Vec::new();
    // By what was done and not by the clock: so many kills, on a fast machine and on a slow one.
    for next in (JOBS / 20..JOBS).step_by(JOBS / 10) {
        while answered.load(Ordering::Relaxed) < next && !clients.is_empty() {
            if let Ok(Some(done)) = timeout(Duration::from_millis(2), clients.join_next()).await {
                done??;
            }
        }
        let mut victim: Workers = workers.pop_front().context("a worker")?;
        victim.process.kill();
        let name = format!("heir-{}", killed.len());
        killed.push(victim);
        workers.push_back(lb.with_workers(&name, 1, 6).await?);
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    assert_eq!(answered.load(Ordering::Relaxed), JOBS);
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut leases = 0;
    for workers in killed.iter().chain(&workers) {
        for entry in workers.journal()? {
            match (entry.event.as_str(), entry.detail.as_slice()) {
                ("lease", _) => leases += 1,
                ("done", [_, request, status, ..]) if status == "204" => {
                    *taken.entry(request.clone()).or_default() += 1;
                }
                _ => {}
            }
        }
    }
    let doubled = taken.iter().find(|(_, times)| **times > 1);
    assert_eq!(doubled, None, "a result was taken twice");
    assert!(leases > JOBS, "no job was leased again: the kills hit nothing");
    Ok(())
}
