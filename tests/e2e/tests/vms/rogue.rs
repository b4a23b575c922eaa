//! Guests that lie: an init of our own making in place of the real one (`tests/rogue-init`).

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pe_e2e::circumstances::scaled;
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_e2e::{procfs, wait};
use pe_proto::Outcome;
use pe_proto::api::Answer;
use pe_proto::outcome::Clock;

use crate::fleet::in_parallel;
use crate::journal;
use crate::labs::{Labs, ROGUE_SLOTS};

crate::scenarios![
    no_lie_of_a_guest_is_taken_for_an_answer,
    a_guest_that_says_nothing_is_ended_by_the_workers_clock,
    floods_cost_no_memory_no_log_and_no_disk,
    names_that_no_archive_may_have_are_no_answer,
    a_guest_that_goes_on_writing_after_its_answer_changes_nothing,
];

/// All slots are back at once.
pub(crate) fn slots_are_back(lab: &Lab) -> anyhow::Result<()> {
    let start = Instant::now();
    lab.worker()?.wait_ready(ROGUE_SLOTS)?;
    ensure!(start.elapsed() < scaled(Duration::from_secs(3)), "only after {:?}", start.elapsed());
    Ok(())
}

/// A job that has the guest do this.
pub(crate) fn told(mode: &str, arguments: &[&str]) -> Job {
    let args: Vec<&str> = [mode].iter().chain(arguments).copied().collect();
    Job::new("busybox", &args).with(|job| job.limits.wall_ms = Some(1_000))
}

fn is_lost(lab: &Lab, job: Job) -> anyhow::Result<Answer> {
    let answer = lab.client.run(job)?;
    ensure!(matches!(answer.head.outcome, Outcome::Lost { .. }), "{answer:?}");
    ensure!(client::stdout(&answer)?.is_empty() && answer.files.is_empty(), "{answer:?}");
    Ok(answer)
}

fn no_lie_of_a_guest_is_taken_for_an_answer(labs: &Labs) -> anyhow::Result<()> {
    let lies = [
        "done-without-answer",
        "input-as-answer",
        "another-nonce",
        "huge-lengths",
        "overlapping-parts",
        "shorter-than-its-frame",
        "longer-than-its-frame",
        "entry-beyond-archive",
        "another-count",
        "cut-archive",
        "garbage-metadata",
    ];
    let lab = labs.rogue()?;
    let worker = lab.worker()?.daemon.pid();
    for lie in lies {
        is_lost(&lab, told(lie, &[])).context(lie)?;
        // The worker lives, is the same, and its slot is back.
        slots_are_back(&lab).context(lie)?;
        ensure!(procfs::is_alive(worker), "{lie} ended the worker");
    }
    // The same guest is believed when it tells no lie.
    let answer = lab.client.run(told("well", &[]))?;
    ensure!(client::stdout_text(&answer)? == "done\n", "{answer:?}");
    Ok(())
}

fn names_that_no_archive_may_have_are_no_answer(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.rogue()?;
    let long = format!("output/{}", "n".repeat(4096));
    let names: [&[&[u8]]; 10] = [
        &[b"output/../x"],
        &[b"/etc/x"],
        &[b"output//b"],
        &[b"output/a\0b"],
        &[b"output/./b"],
        &[b"output/\xff\xfe"],
        &[b"../../etc/x"],
        &[b"output/a", b"output/a"],
        &[b"output/b", b"output/a"],
        &[long.as_bytes()],
    ];
    let hex = |name: &&[u8]| name.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for names in names {
        let hex: Vec<String> = names.iter().map(hex).collect();
        let hex: Vec<&str> = hex.iter().map(String::as_str).collect();
        is_lost(&lab, told("names", &hex)).with_context(|| format!("{names:?}"))?;
    }
    // Odd, but names: they come back as they are, in a map and not in a file system.
    let odd = ["output/CON", "output/a\\..\\b", "output/con"];
    let hex: Vec<String> = odd.iter().map(|name| hex(&name.as_bytes())).collect();
    let hex: Vec<&str> = hex.iter().map(String::as_str).collect();
    let answer = lab.client.run(told("names", &hex))?;
    let names: Vec<&str> = answer.files.keys().map(String::as_str).collect();
    ensure!(names == ["CON", "a\\..\\b", "con"], "{names:?}");
    slots_are_back(&lab)
}

fn a_guest_that_says_nothing_is_ended_by_the_workers_clock(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.rogue()?;
    let modes = ["silent", "power-off", "reboot"];
    let jobs = modes.map(|mode| told(mode, &[])).to_vec();
    let answers = in_parallel(&lab.client, jobs)?;
    for (mode, answer) in modes.into_iter().zip(answers) {
        // QEMU 7.2 lets a guest that was booted end itself, but hangs with one that was restored:
        // either is noticed, and neither is an answer.
        let by_clock = answer.head.outcome == Outcome::TimedOut { clock: Clock::Worker };
        let gone = matches!(answer.head.outcome, Outcome::Lost { .. });
        ensure!(by_clock || (mode != "silent" && gone), "{mode}: {answer:?}");
        let kept = if mode == "power-off" { "" } else { "so far" };
        ensure!(client::stdout_text(&answer)? == kept, "{mode}: {answer:?}");
    }
    slots_are_back(&lab)
}

/// The worker's clock in emulation is 46 s for a job of 1 s: long enough for floods to show.
fn floods_cost_no_memory_no_log_and_no_disk(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.rogue()?;
    let worker = lab.worker()?;
    let pid = worker.daemon.pid();
    let (memory, log, disk) =
        (procfs::resident_kib(pid), worker.daemon.log().len(), written_to_disk(pid));
    let client = lab.client.clone();
    let start = Instant::now();
    let jobs = vec![told("serial-flood", &[]), told("flush-flood", &[])];
    let running = std::thread::spawn(move || in_parallel(&client, jobs));
    let vms = wait::until("the jobs' VMs", Duration::from_secs(30), || {
        Some(journal::vms_that_said(worker, 6)).filter(|vms| vms.len() == 2)
    })?;
    let resident = |vm: &u32| procfs::resident_kib(*vm);
    let first: Vec<u64> = vms.iter().map(resident).collect();
    let (mut most, mut vms_most, mut vms_disk) = (0, first.clone(), 0);
    while !running.is_finished() {
        most = most.max(procfs::resident_kib(pid));
        for (most, vm) in vms_most.iter_mut().zip(&vms) {
            *most = resident(vm).max(*most);
            vms_disk = written_to_disk(*vm).max(vms_disk);
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
    let flooded = start.elapsed();
    ensure!(flooded > Duration::from_secs(10), "the floods ended after {flooded:?}");
    let answers = running.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    for answer in answers {
        let by_clock = answer.head.outcome == Outcome::TimedOut { clock: Clock::Worker };
        ensure!(by_clock && client::stdout_text(&answer)? == "so far", "{answer:?}");
    }
    let grown = most.saturating_sub(memory);
    let logged = worker.daemon.log().len().saturating_sub(log);
    let written = written_to_disk(pid) - disk;
    println!("\n   {flooded:?}: worker {memory} to {most} KiB, VMMs {first:?} to {vms_most:?} KiB");
    println!("   log {logged} bytes, disk {written} and {vms_disk} bytes");
    ensure!(grown < 8 * 1024, "the worker grew by {grown} KiB");
    for (first, most) in first.iter().zip(vms_most) {
        ensure!(most < first + 128 * 1024, "a vmm grew from {first} to {most} KiB");
    }
    ensure!(logged < 32 * 1024, "the log grew by {logged} bytes");
    ensure!(written < 1 << 20 && vms_disk < 1 << 20, "disk: {written} {vms_disk} bytes");
    slots_are_back(&lab)
}

fn a_guest_that_goes_on_writing_after_its_answer_changes_nothing(
    labs: &Labs,
) -> anyhow::Result<()> {
    let lab = labs.rogue()?;
    let (mut whole, mut lost) = (0, 0);
    for _ in 0..8 {
        let answer = lab.client.run(told("scribble", &[]))?;
        match answer.head.outcome {
            // Killed when the good answer was there: that, and nothing of the bad one.
            Outcome::Exited { code: 0 } => {
                ensure!(client::stdout_text(&answer)? == "believable", "{answer:?}");
                ensure!(answer.files.is_empty(), "{answer:?}");
                whole += 1;
            }
            Outcome::Lost { .. } => {
                ensure!(client::stdout(&answer)?.is_empty(), "{answer:?}");
                lost += 1;
            }
            Outcome::Exited { .. }
            | Outcome::Signaled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::OutOfMemory
            | Outcome::Refused { .. } => anyhow::bail!("{answer:?}"),
        }
        slots_are_back(&lab)?;
    }
    println!("\n   {whole} good answers, {lost} lost");
    Ok(())
}

/// Bytes that a process had written to storage; memory files do not count.
fn written_to_disk(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
