//! Guests that lie: an init of our own making in place of the real one.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pe_e2e::circumstances::scaled;
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_e2e::{paths, procfs};
use pe_proto::Outcome;
use pe_proto::outcome::Clock;

use crate::labs::Labs;

crate::scenarios![
    no_lie_of_a_guest_is_taken_for_an_answer,
    a_guest_that_says_nothing_is_ended_by_the_workers_clock,
    a_guest_that_floods_its_serial_port_costs_no_memory,
];

/// Starts a worker whose guests misbehave in this mode.
fn lab_of(mode: &str) -> anyhow::Result<Lab> {
    let mut lab = Lab::without_workers()?;
    let assets = lab.scratch().join("vm");
    fs::create_dir(&assets)?;
    let real = paths::vm_assets()?;
    for name in ["vmlinuz", "manifest.json"] {
        fs::copy(real.join(name), assets.join(name))?;
    }
    // The kernel unpacks one archive after the other; a later /init wins.
    let mut initramfs = fs::read(real.join("initramfs.cpio"))?;
    initramfs.extend(archive_with(mode)?);
    fs::write(assets.join("initramfs.cpio"), initramfs)?;
    lab.start_worker_with(mode, 1, &assets)?;
    lab.worker()?.wait_ready(1)?;
    Ok(lab)
}

fn archive_with(mode: &str) -> anyhow::Result<Vec<u8>> {
    let dir = tempfile::tempdir()?;
    let init: PathBuf =
        paths::repository().join("target/guest-build/x86_64-unknown-linux-gnu/guest/pe-rogue-init");
    fs::copy(&init, dir.path().join("init")).with_context(|| format!("{}", init.display()))?;
    fs::write(dir.path().join("mode"), mode)?;
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc", "-R", "0:0"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cpio")?;
    cpio.stdin.take().context("stdin")?.write_all(b"init\nmode\n")?;
    Ok(cpio.wait_with_output()?.stdout)
}

fn slot_is_back(lab: &Lab) -> anyhow::Result<()> {
    let start = Instant::now();
    lab.worker()?.wait_ready(1)?;
    ensure!(start.elapsed() < scaled(Duration::from_secs(1)), "only after {:?}", start.elapsed());
    Ok(())
}

fn short_job() -> Job {
    Job::shell("true").with(|job| job.limits.wall_ms = Some(1_000))
}

fn no_lie_of_a_guest_is_taken_for_an_answer(_: &Labs) -> anyhow::Result<()> {
    let lies = [
        "done-without-answer",
        "input-as-answer",
        "another-nonce",
        "huge-lengths",
        "escaping-names",
        "cut-archive",
        "garbage-metadata",
    ];
    for lie in lies {
        let lab = lab_of(lie)?;
        let answer = lab.client.run(short_job()).context(lie).context(lab.logs())?;
        let lost = matches!(answer.head.outcome, Outcome::Lost { .. });
        ensure!(lost, "{lie}: {answer:?}\n{}", lab.logs());
        ensure!(client::stdout(&answer)?.is_empty(), "{lie}: {answer:?}");
        // The worker lives, and its slot is back.
        slot_is_back(&lab).context(lie)?;
    }
    Ok(())
}

fn a_guest_that_says_nothing_is_ended_by_the_workers_clock(_: &Labs) -> anyhow::Result<()> {
    for mode in ["silent", "power-off", "reboot"] {
        let lab = lab_of(mode)?;
        let answer = lab.client.run(short_job()).context(mode).context(lab.logs())?;
        // QEMU 7.2 lets a guest that was booted end itself, but hangs with one that was restored:
        // either is noticed, and neither is an answer.
        let by_clock = answer.head.outcome == Outcome::TimedOut { clock: Clock::Worker };
        let gone = matches!(answer.head.outcome, Outcome::Lost { .. });
        ensure!(by_clock || (mode != "silent" && gone), "{mode}: {answer:?}\n{}", lab.logs());
        let kept = if mode == "power-off" { "" } else { "so far" };
        ensure!(client::stdout_text(&answer)? == kept, "{mode}: {answer:?}");
        slot_is_back(&lab).context(mode)?;
    }
    Ok(())
}

fn a_guest_that_floods_its_serial_port_costs_no_memory(_: &Labs) -> anyhow::Result<()> {
    let lab = lab_of("serial-flood")?;
    let worker = lab.worker()?.daemon.pid();
    let (memory, log) = (procfs::resident_kib(worker), lab.worker()?.daemon.log().len());
    let answer = lab.client.run(short_job())?;
    let by_clock = answer.head.outcome == Outcome::TimedOut { clock: Clock::Worker };
    ensure!(by_clock, "{answer:?}\n{}", lab.logs());
    ensure!(client::stdout_text(&answer)? == "so far", "{answer:?}");
    let grown = procfs::resident_kib(worker).saturating_sub(memory);
    ensure!(grown < 16 * 1024, "the worker grew by {grown} KiB");
    let written = lab.worker()?.daemon.log().len().saturating_sub(log);
    ensure!(written < 64 * 1024, "the log grew by {written} bytes");
    Ok(())
}
