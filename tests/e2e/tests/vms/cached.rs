//! Results that were there already, and runs that are shared: what real VMs have to do with it.

use std::thread;

use anyhow::{Context as _, ensure};
use pe_e2e::client::{self, Job};
use pe_proto::api::{CachePolicy, CacheStatus};

use crate::labs::Labs;

crate::scenarios![
    a_job_that_ran_is_answered_again_without_a_vm,
    equal_jobs_at_a_time_share_one_vm,
    a_job_that_timed_out_is_run_again,
];

/// A job whose result tells which VM made it: the boot id is made once per kernel.
fn telling(script: &str) -> Job {
    let script = format!("{script} cat /proc/sys/kernel/random/boot_id | tee /output/which");
    Job::shell(&script).with(|job| job.cache = CachePolicy::Use)
}

fn a_job_that_ran_is_answered_again_without_a_vm(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let job = || telling("");
    let first = lab.client.run(job())?;
    ensure!(first.head.cache == CacheStatus::Miss, "{first:?}");
    let again = lab.client.run(job())?;
    ensure!(again.head.cache == CacheStatus::Hit && again.head.job == first.head.job, "{again:?}");
    ensure!((&again.stdout, &again.files) == (&first.stdout, &first.files), "{again:?}");
    // By its name, with no upload at all, and to the byte what the upload was answered with.
    let url = format!("{}/api/v1/results/{}", lab.client.url, first.head.job);
    let named: pe_proto::api::Answer = serde_json::from_str(&client::get(&url)?)?;
    ensure!(named == again, "{named:?}");
    let refreshed = lab.client.run(job().with(|job| job.cache = CachePolicy::Refresh))?;
    ensure!(refreshed.head.cache == CacheStatus::Miss, "{refreshed:?}");
    ensure!(refreshed.stdout != first.stdout, "it was not run: {refreshed:?}");
    Ok(())
}

fn equal_jobs_at_a_time_share_one_vm(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let client = lab.client.clone();
            thread::spawn(move || client.run(telling("sleep 2;")))
        })
        .collect();
    let mut answers = Vec::new();
    for client in clients {
        answers.push(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
    }
    let first = answers.first().context("answers")?;
    ensure!(client::stdout_text(first)?.trim().len() == 36, "{first:?}");
    for answer in &answers {
        ensure!((&answer.stdout, &answer.files) == (&first.stdout, &first.files), "{answers:?}");
    }
    let misses = answers.iter().filter(|answer| answer.head.cache == CacheStatus::Miss).count();
    ensure!(misses == 1, "{answers:?}");
    Ok(())
}

fn a_job_that_timed_out_is_run_again(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let job = || telling("echo so far; sleep 100;").with(|job| job.limits.wall_ms = Some(1_000));
    for _ in 0..2 {
        let answer = lab.client.run(job())?;
        ensure!(answer.head.cache == CacheStatus::Miss, "{answer:?}");
        ensure!(answer.head.outcome.kind() == "timed_out", "{answer:?}");
        ensure!(client::stdout_text(&answer)? == "so far\n", "{answer:?}");
    }
    Ok(())
}
