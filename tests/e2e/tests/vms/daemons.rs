//! What operators and monitors see of the daemons.

use std::time::Duration;

use anyhow::ensure;
use nix::sys::signal::Signal;
use pe_e2e::client::{self, Job, Reply};
use pe_e2e::lab::{Lab, metric};

use crate::labs::Labs;

crate::scenarios![
    readiness_is_a_real_job,
    metrics_count_what_happened,
    bad_requests_get_a_problem_that_names_the_field,
    a_load_balancer_told_to_end_finishes_what_runs,
];

fn readiness_is_a_real_job(labs: &Labs) -> anyhow::Result<()> {
    let alone = Lab::without_workers()?;
    ensure!(alone.client.status("/healthz")? == 200);
    ensure!(alone.client.status("/readyz")? == 503, "ready without a worker");
    ensure!(labs.common()?.client.status("/readyz")? == 200);
    Ok(())
}

fn metrics_count_what_happened(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let url = format!("{}/metrics", lab.admin_url);
    let series = "pe_lb_jobs_total{outcome=\"exited\"}";
    let before = metric(&client::get(&url)?, series).unwrap_or(0.0);
    lab.client.run(Job::shell("true"))?;
    let text = client::get(&url)?;
    ensure!(metric(&text, series).unwrap_or(0.0) >= before + 1.0, "{text}");
    ensure!(metric(&text, "pe_lb_workers").is_some_and(|workers| workers >= 1.0), "{text}");
    Ok(())
}

fn bad_requests_get_a_problem_that_names_the_field(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let jobs = [
        (Job::shell("true").with(|job| job.limits.wall_ms = Some(0)), "/limits/wall_ms"),
        (Job::shell("true").with(|job| job.limits.wall_ms = Some(u64::MAX)), "/limits/wall_ms"),
        (Job::shell("true").file("../escape", b""), "/files/..~1escape"),
        (Job::shell("true").with(|job| job.cwd = Some("relative".to_owned())), "/cwd"),
        (Job::shell("true").env("A=B", "x"), "/env/A=B"),
    ];
    for (job, pointer) in jobs {
        let Reply::Problem(problem) = lab.client.post(job)? else {
            anyhow::bail!("{pointer}: was run");
        };
        ensure!(
            problem.status == 400 && problem.pointer.as_deref() == Some(pointer),
            "{problem:?}"
        );
    }
    Ok(())
}

fn a_load_balancer_told_to_end_finishes_what_runs(_: &Labs) -> anyhow::Result<()> {
    let mut lab = Lab::with_workers(&[1])?;
    let client = lab.client.clone();
    let job = std::thread::spawn(move || client.run(Job::shell("sleep 2; echo finished")));
    let worker = lab.worker()?;
    pe_e2e::wait::until("the job to be leased", Duration::from_secs(30), || {
        (worker.slots("leased")? >= 1.0).then_some(())
    })?;
    lab.lb.signal(Signal::SIGTERM);
    let answer = job.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    ensure!(client::stdout_text(&answer)? == "finished\n", "{answer:?}");
    let status = lab.lb.ended(Duration::from_secs(30))?;
    ensure!(status.success(), "{status}: {}", lab.lb.log());
    Ok(())
}
