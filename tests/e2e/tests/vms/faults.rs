//! Things that break under a running job: the right outcome, partial output kept, the slot back.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use pe_e2e::client::{self, Job};
use pe_e2e::daemon::signal_pid;
use pe_e2e::lab::Lab;
use pe_e2e::{procfs, wait};
use pe_proto::Outcome;
use pe_proto::api::Answer;
use pe_proto::outcome::Clock;

use crate::journal;
use crate::labs::Labs;
use crate::limits::next_job_is_clean;

crate::scenarios![
    a_killed_vmm_is_a_lost_job_with_its_output_kept,
    a_hung_vmm_is_ended_by_the_workers_clock,
    a_vmm_that_ends_by_itself_is_not_an_answer,
    a_ready_vm_that_dies_is_replaced_before_anyone_notices,
    a_client_that_hangs_up_frees_the_vm,
];

/// Runs a job that says `first` and then waits, does `harm` to its VM, and returns the answer.
fn with_harm(lab: &Lab, wall_ms: u64, signal: Signal) -> anyhow::Result<Answer> {
    let job = Job::shell("echo second >&2; echo first; sleep 1000")
        .with(|job| job.limits.wall_ms = Some(wall_ms));
    let client = lab.client.clone();
    let running = thread::spawn(move || client.run(job));
    harm_after_output(lab, signal)?;
    let answer = running.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    Ok(answer)
}

/// Waits until what the job has said is in its VM's journal, then sends the VMM a signal. A job of
/// which the worker loses its VM is leased once more, so harm is done as often as there are
/// attempts.
fn harm_after_output(lab: &Lab, signal: Signal) -> anyhow::Result<()> {
    let attempts = if signal == Signal::SIGSTOP { 1 } else { 2 };
    for _ in 0..attempts {
        let vm = journal::vm_that_said(lab, 6).context("waiting to do harm")?;
        signal_pid(vm, signal);
        if signal != Signal::SIGSTOP {
            let gone = || (!procfs::is_alive(vm)).then_some(());
            wait::until("the VM to be gone", Duration::from_secs(10), gone)?;
        }
    }
    Ok(())
}

fn a_killed_vmm_is_a_lost_job_with_its_output_kept(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let answer = with_harm(&lab, 120_000, Signal::SIGKILL)?;
    ensure!(matches!(answer.head.outcome, Outcome::Lost { .. }), "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "first\n", "{answer:?}");
    ensure!(answer.stderr.clone().into_bytes()? == b"second\n", "{answer:?}");
    next_job_is_clean(&lab)
}

fn a_hung_vmm_is_ended_by_the_workers_clock(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let answer = with_harm(&lab, 15_000, Signal::SIGSTOP)?;
    ensure!(answer.head.outcome == Outcome::TimedOut { clock: Clock::Worker }, "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "first\n", "{answer:?}");
    one_id_goes_from_client_to_guest(&lab, &answer.head.request_id)?;
    next_job_is_clean(&lab)
}

/// The id that the client was told is in the log of the load balancer, names the worker's span, and
/// was said by the guest itself on its console.
fn one_id_goes_from_client_to_guest(lab: &Lab, id: &str) -> anyhow::Result<()> {
    let balancer = lab.lb.log();
    ensure!(balancer.lines().any(|line| line.contains(id)), "{id} in {balancer}");
    let worker = lab.worker()?.daemon.log();
    // Other scenarios' guests ended badly on the same worker.
    let of_this = |line: &&str| line.contains("guest ended badly") && line.contains(id);
    let ended = worker.lines().find(of_this);
    let ended = ended.with_context(|| format!("no bad end of {id} in {worker}"))?;
    let span = ended.split("guest ended badly").next().unwrap_or_default();
    ensure!(span.contains("request_id") && span.contains(id), "{ended}");
    ensure!(ended.contains(&format!("pe:job {id}")), "{ended}");
    Ok(())
}

fn a_vmm_that_ends_by_itself_is_not_an_answer(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    // QEMU takes SIGTERM as a request to end, and exits with status 0.
    let answer = with_harm(&lab, 120_000, Signal::SIGTERM)?;
    ensure!(matches!(answer.head.outcome, Outcome::Lost { .. }), "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "first\n", "{answer:?}");
    next_job_is_clean(&lab)
}

fn a_ready_vm_that_dies_is_replaced_before_anyone_notices(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let worker = lab.worker()?;
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        worker.wait_ready(1)?;
        let vms = worker.vms();
        ensure!(vms.len() == 1, "{vms:?}");
        vms.iter().for_each(|vm| signal_pid(*vm, signal));
        wait::until("another VM", Duration::from_secs(20), || {
            let now = worker.vms();
            (now.len() == 1 && now != vms).then_some(())
        })?;
        next_job_is_clean(&lab)?;
    }
    Ok(())
}

fn a_client_that_hangs_up_frees_the_vm(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let worker = lab.worker()?;
    let body = serde_json::to_string(&Job::shell("echo first; sleep 1000").0)?;
    let url = format!("{}/api/v1/run", lab.client.url);
    let mut curl = std::process::Command::new("curl")
        .args(["-s", "-H", "content-type: application/json", "-d", &body, &url])
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let vm = journal::vm_that_said(&lab, 6)?;
    curl.kill()?;
    curl.wait()?;
    wait::until("the VM of an abandoned job to be gone", Duration::from_secs(10), || {
        (!worker.vms().contains(&vm)).then_some(())
    })?;
    next_job_is_clean(&lab)
}
