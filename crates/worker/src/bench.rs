//! `pe-worker bench`: how fast VMs become ready on this host, each way that there is, and, for an
//! image, what a job costs in a ready one.
//!
//! All ways take turns, round by round, so that what else the host does meanwhile falls on all of
//! them. Nothing is measured twice at a time.

use std::sync::Arc;
use std::time::Duration;

use pe_proto::archive::Encoder;
use pe_proto::{JobLimits, JobSpec, Outcome};
use tokio::time::{Instant, timeout};

use crate::cli::BenchFlags;
use crate::config::{Config, RestoreChoice};
use crate::core::ending::Ending;
use crate::core::pool::How;
use crate::images::Place;
use crate::iofile::collect;
use crate::iofile::job::{BadJob, JobWriter};
use crate::vm::{Backend, ReadyVm, StartError, VmError};
use crate::worker::{Foundation, WorkerError};

mod table;

use table::Phase;

/// Why there are no numbers.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The worker would not run either.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A VM did not become ready.
    #[error("a vm did not become ready")]
    Start(#[from] StartError),
    /// A VM did not take its job.
    #[error("a vm did not take its job")]
    Vm(#[from] VmError),
    /// The job cannot be written.
    #[error("job cannot be written")]
    Job(#[from] BadJob),
    /// No such image.
    #[error("no image `{0}` in the catalogue")]
    NoImage(String),
    /// The job did not do what `true` does.
    #[error("`true` ended with {0:?}")]
    Outcome(Outcome),
    /// The table cannot be written.
    #[error("cannot write the table")]
    Print(#[from] std::io::Error),
}

/// A guest that is asked for `true` answers long before this, emulated or not.
const ANSWER: Duration = Duration::from_secs(60);

/// One way to a ready VM, and what was measured of it.
#[derive(Debug)]
struct Way {
    backend: Arc<dyn Backend>,
    how: How,
    /// How the VM becomes ready.
    start: &'static str,
    /// How the image's pack gets there; `None` if no job is run.
    pack: Option<&'static str>,
    /// For each phase, one time per round.
    times: Vec<(Phase, Vec<Duration>)>,
}

impl Way {
    fn note(&mut self, phase: Phase, took: Duration) {
        match self.times.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, times)) => times.push(took),
            None => self.times.push((phase, vec![took])),
        }
    }
}

/// Measures and prints.
///
/// # Errors
/// There is nothing to print.
pub async fn run(config: &Config, flags: &BenchFlags) -> Result<(), BenchError> {
    let foundation = Foundation::lay(config).await?;
    let job = flags.image.as_deref().map(|name| job(&foundation, name)).transpose()?;
    let mut ways = ways(&foundation, flags.image.as_deref()).await;
    for round in 0..flags.vms {
        let mut working = Vec::with_capacity(ways.len());
        for mut way in ways {
            tracing::debug!(round, start = way.start, pack = way.pack, "measures");
            match measure(&mut way, job.as_ref()).await {
                Ok(()) => working.push(way),
                // The others can still be compared.
                Err(error) => {
                    let error = crate::chain(&error);
                    tracing::error!(start = way.start, pack = way.pack, error, "left out");
                }
            }
        }
        ways = working;
    }
    let out = &mut std::io::stdout().lock();
    table::print(out, &foundation, &ways, flags.vms, flags.json)?;
    Ok(())
}

/// All that the VMM at hand can do. A way that does not work here is left out with a word in the
/// log.
async fn ways(foundation: &Foundation, image: Option<&str>) -> Vec<Way> {
    let attached = image.map(|name| vec![name.to_owned()]);
    let packs: Vec<_> = match attached {
        Some(names) => vec![(Some("attached"), Some(names)), (Some("plugged"), Some(Vec::new()))],
        None => vec![(None, None)],
    };
    let mut ways = Vec::new();
    for (pack, coldplug) in packs {
        let mut boots = true;
        for (choice, start) in [
            (RestoreChoice::Private, "restore private"),
            (RestoreChoice::Ondemand, "restore ondemand"),
            (RestoreChoice::Copy, "restore copy"),
        ] {
            if !foundation.can(choice) {
                continue;
            }
            let backend: Arc<dyn Backend> = match foundation.vary(choice, coldplug.clone()).await {
                Ok(backend) => backend.into(),
                Err(error) => {
                    tracing::warn!(start, error = crate::chain(&error), "not measured");
                    continue;
                }
            };
            let mut add = |how, start| {
                let backend = Arc::clone(&backend);
                ways.push(Way { backend, how, start, pack, times: Vec::new() });
            };
            if std::mem::take(&mut boots) {
                add(How::Boot, "boot");
            }
            if backend.has_zygote() {
                add(How::Restore, start);
            }
        }
    }
    ways
}

struct Job {
    spec: JobSpec,
    place: Place,
}

fn job(foundation: &Foundation, name: &str) -> Result<Job, BenchError> {
    let missing = || BenchError::NoImage(name.to_owned());
    let images = foundation.images();
    let image = images.named(name).ok_or_else(missing)?;
    let place = images.place(image).cloned().ok_or_else(missing)?;
    let spec = JobSpec {
        image,
        arch: foundation.arch(),
        args: vec!["true".to_owned()],
        env: vec!["PATH=/usr/local/bin:/usr/bin:/bin".to_owned()],
        cwd: "/input".to_owned(),
        user: String::new(),
        outputs: Vec::new(),
        limits: JobLimits { wall_ms: 30_000, ..JobLimits::default() },
    };
    Ok(Job { spec, place })
}

/// One VM from nothing to nothing.
async fn measure(way: &mut Way, job: Option<&Job>) -> Result<(), BenchError> {
    let began = Instant::now();
    let vm = way.backend.start(way.how).await?;
    way.note(Phase::Ready, began.elapsed());
    match job {
        Some(job) => run_true(vm, job, way).await,
        None => {
            let killed = vm.kill().await;
            way.note(Phase::Kill, killed.took);
            Ok(())
        }
    }
}

async fn run_true(vm: ReadyVm, job: &Job, way: &mut Way) -> Result<(), BenchError> {
    let leased = Instant::now();
    let mut vm = vm.lease();
    let archive = Encoder::new().finish();
    let len = u64::try_from(archive.len()).unwrap_or(u64::MAX);
    let spec = job.spec.clone();
    let pack = &job.place.pack;
    let mut writer = JobWriter::new("bench".to_owned(), spec, pack.uuid(), &job.place.prefix, len)?;
    let (machine, io) = vm.parts();
    writer.write(io, &archive)?;
    let written = writer.finish(io)?;
    way.note(Phase::Write, leased.elapsed());
    let attach = Instant::now();
    machine.attach(pack).await?;
    way.note(Phase::Attach, attach.elapsed());
    let woken = Instant::now();
    machine.wake().await?;
    let bell = timeout(ANSWER, machine.bell()).await;
    way.note(Phase::Guest, woken.elapsed());
    let remains = vm.kill().await;
    way.note(Phase::Kill, remains.killed.took);
    let ending = if bell.is_ok() { Ending::Done } else { Ending::Clock };
    let collected = collect::collect(remains.io, &written, &ending);
    way.note(Phase::Result, leased.elapsed());
    let guest = collected.meta.phases;
    for (phase, us) in [
        (Phase::Mount, guest.mount_us),
        (Phase::Unpack, guest.unpack_us),
        (Phase::Start, guest.start_us),
        (Phase::Run, guest.run_us),
        (Phase::Collect, guest.collect_us),
    ] {
        way.note(phase, Duration::from_micros(us));
    }
    let outcome = collected.meta.outcome;
    if outcome == (Outcome::Exited { code: 0 }) {
        Ok(())
    } else {
        Err(BenchError::Outcome(outcome))
    }
}
