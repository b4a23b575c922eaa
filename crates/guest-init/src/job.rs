//! One job, from its header to its answer.
//!
//! ```text
//!  config ─► fresh randomness, clock ─► stage: pack, user, input, cwd ─► container ─► its end
//!     └───────────────┴──────────── any of these may refuse ─┴───────────────┘          │
//!                                          │                                            ▼
//!                                          └───────────► answer ◄── collect ◄── verdict ┘
//! ```
//! Whatever happens, there is an answer with an outcome and, if the job was not run, with whose
//! fault that is. Only a device that cannot be written leaves the host without one.

mod stage;

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use pe_proto::codec;
use pe_proto::guest_config::GuestConfig;
use pe_proto::io_file::InHeader;
use pe_proto::outcome::{GuestPhases, ResultMeta, Truncated, Usage};

use crate::answer;
use crate::blame::{Doing, Refusal};
use crate::collect::{self, Captured, Collected, Sources};
use crate::fresh;
use crate::pages::{Device, DeviceError, PageReader};
use crate::runtime::Stdio;
use crate::streams::Streams;
use crate::verdict::{self, Seen};
use crate::waiting::{Ready, Rung};
use crate::watch::{self, NotStarted, Over};
use stage::Stage;

/// Does the job that woke us and writes its answer.
pub fn run(ready: &mut Ready, rung: &Rung) -> Result<(), DeviceError> {
    let mut phases = GuestPhases::default();
    let (device, header) = (&rung.device, &rung.header);
    match attempt(ready, rung, &mut phases) {
        Ok((meta, collected)) => answer::write(device, header, meta, &collected),
        Err(Failed::Refused(refusal)) => {
            let collected = collect::nothing(device, header)?;
            let meta = answer::metadata(refusal.into_outcome());
            answer::write(device, header, ResultMeta { phases, ..meta }, &collected)
        }
        Err(Failed::Device(error)) => Err(error),
    }
}

/// Why there is no result.
enum Failed {
    Refused(Refusal),
    Device(DeviceError),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<DeviceError> for Failed {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

/// Everything up to the answer; the phases are filled in as they pass.
fn attempt(
    ready: &mut Ready,
    rung: &Rung,
    phases: &mut GuestPhases,
) -> Result<(ResultMeta, Collected), Failed> {
    let config = read_config(&rung.device, &rung.header)?;
    ready.port().say_job(&config.request_id);
    fresh::begin_anew(&config)?;
    let stage = Stage::set(ready, rung, &config, phases)?;
    let (over, streams) = perform(ready, rung, &stage, phases)?;

    let since = Instant::now();
    let sources = Sources {
        config: &config,
        header: rung.header,
        patterns: &stage.patterns,
        layer: &stage.root.changes,
        cwd: &stage.cwd,
        captured: Captured { stdout: streams.stdout.captured(), stderr: streams.stderr.captured() },
    };
    let collected = collect::collect(&rung.device, &sources)?;
    phases.collect_us = micros(since.elapsed());

    let mut meta = describe(&over, *phases);
    for (cut, what) in [
        (streams.stdout.truncated(), Truncated::Stdout),
        (streams.stderr.truncated(), Truncated::Stderr),
        (collected.truncated, Truncated::Files),
    ] {
        meta.truncated.extend(cut.then_some(what));
    }
    meta.notes.extend(collected.notes.iter().cloned());
    Ok((meta, collected))
}

fn read_config(device: &Device, header: &InHeader) -> Result<GuestConfig, Refusal> {
    let mut reader = PageReader::new(device, header.plan.config());
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        bytes.extend_from_slice(piece);
    }
    let config: GuestConfig = codec::decode(&bytes)
        .map_err(|bad| Refusal::ours(format!("the guest cannot read its config: {bad}")))?;
    let checked = config.spec.check();
    checked.map_err(|bad| Refusal::ours(format!("the guest got a bad job: {bad}")))?;
    Ok(config)
}

/// Runs the container to its end.
fn perform<'rung>(
    ready: &Ready,
    rung: &'rung Rung,
    stage: &Stage<'_>,
    phases: &mut GuestPhases,
) -> Result<(Over, Streams<'rung>), Failed> {
    let since = Instant::now();
    let container = stage.container(ready).config(&ready.filter).to_string();
    let (stdout_read, stdout) = pipe()?;
    let (stderr_read, stderr) = pipe()?;
    let mut streams = Streams::new(&rung.device, rung.header, stdout_read, stderr_read);
    // Before the runtime begins: from here on the host cannot know that nothing ran.
    streams.mark_started()?;
    let stdio =
        Stdio { stdin: stage.stdin.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() };
    let runtime = ready
        .runtime
        .start(container.as_bytes(), &stdio, &ready.cgroup)
        .doing("starting the container runtime")?;
    // Or the pipes would never end.
    drop((stdout, stderr));
    let refuse = |not: NotStarted| not.refusal(stage.program(), &stage.config.spec.cwd);
    let running = watch::starting(runtime, &mut streams, &ready.cgroup).map_err(refuse)?;
    phases.start_us = micros(since.elapsed());

    let wall = Duration::from_millis(stage.config.spec.limits.wall_ms);
    let over = running.to_end(wall, &mut streams, &ready.cgroup)?;
    phases.run_us = micros(over.wall);
    // A program that was killed for time before it began has still run out of time.
    if !over.executed && !over.out_of_time {
        let words = first_words(&rung.device, streams.stderr.captured())?;
        return Err(refuse(NotStarted::Complained(words)).into());
    }
    Ok((over, streams))
}

/// A pipe whose reading end, which comes first, does not block.
fn pipe() -> Result<(OwnedFd, OwnedFd), Refusal> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).doing("making a pipe")?;
    fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing("making a pipe")?;
    Ok((reading, writing))
}

/// What the runtime said instead of the program.
fn first_words(device: &Device, captured: Range<u64>) -> Result<String, DeviceError> {
    const BYTES_MAX: u64 = 4096;
    let end = captured.end.min(captured.start + BYTES_MAX);
    let mut reader = PageReader::new(device, captured.start..end);
    let words = reader.next_piece()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(words).trim().to_owned())
}

fn describe(over: &Over, phases: GuestPhases) -> ResultMeta {
    let oom_kills = over.used.oom_kills;
    let (ended, out_of_time) = (over.ended, over.out_of_time);
    let outcome = verdict::judge(Seen { ended, out_of_time, oom_kills });
    ResultMeta {
        usage: Usage {
            wall_us: micros(over.wall),
            user_us: over.used.user_us,
            system_us: over.used.system_us,
            max_rss_bytes: over.used.memory_peak,
            oom_kills,
        },
        phases,
        ..answer::metadata(outcome)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
