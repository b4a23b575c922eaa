//! `pe-worker bench`: how fast VMs become ready on this host, from the kernel up and from the
//! zygote, in the same minutes; and, for an image, what a job costs in a ready one.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use pe_proto::archive::Encoder;
use pe_proto::{Digest, JobLimits, JobSpec, Outcome};
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::core::ending::Ending;
use crate::core::pool::How;
use crate::images::Pack;
use crate::iofile::collect;
use crate::iofile::job::{BadJob, JobWriter};
use crate::vm::qemu::Qemu;
use crate::vm::{Backend, ReadyVm, StartError, VmError};
use crate::worker::{Foundation, WorkerError};

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
    /// There is no zygote to restore.
    #[error("no zygote, so there is nothing to compare (see the errors above)")]
    NoZygote,
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

/// Times of the VMs that were started one way.
#[derive(Debug, Default)]
struct Row {
    ready: Vec<Duration>,
    wake: Vec<Duration>,
    kill: Vec<Duration>,
    /// From the kill to the next VM being ready.
    replace: Vec<Duration>,
}

/// Measures and prints.
///
/// # Errors
/// There is nothing to print.
pub async fn run(config: &Config, vms: u32, image: Option<&str>) -> Result<(), BenchError> {
    let foundation = Foundation::lay(config).await?;
    let job = image.map(|name| job(&foundation, name)).transpose()?;
    let Foundation { launcher, accel, zygote, zygote_took, .. } = foundation;
    let zygote = zygote.ok_or(BenchError::NoZygote)?;
    let qemu = Qemu::new(launcher, accel, Some(zygote));
    let boot = measure(&qemu, How::Boot, vms, job.as_ref()).await?;
    let restore = measure(&qemu, How::Restore, vms, job.as_ref()).await?;
    print(&qemu, vms, zygote_took, &boot, &restore)?;
    Ok(())
}

struct Job {
    spec: JobSpec,
    pack: Arc<Pack>,
}

fn job(foundation: &Foundation, name: &str) -> Result<Job, BenchError> {
    let missing = || BenchError::NoImage(name.to_owned());
    let image: Digest = foundation.images.named(name).ok_or_else(missing)?;
    let pack = foundation.images.pack(image).cloned().ok_or_else(missing)?;
    let spec = JobSpec {
        image,
        arch: foundation.arch,
        args: vec!["true".to_owned()],
        env: vec!["PATH=/usr/local/bin:/usr/bin:/bin".to_owned()],
        cwd: "/input".to_owned(),
        user: String::new(),
        outputs: Vec::new(),
        limits: JobLimits { wall_ms: 30_000, ..JobLimits::default() },
    };
    Ok(Job { spec, pack })
}

async fn measure(qemu: &Qemu, how: How, vms: u32, job: Option<&Job>) -> Result<Row, BenchError> {
    let mut row = Row::default();
    let mut killed_at = None;
    for _ in 0..vms {
        let began = Instant::now();
        let vm = qemu.start(how).await?;
        row.ready.push(began.elapsed());
        row.replace.extend(killed_at.map(|at: Instant| at.elapsed()));
        let kill = Instant::now();
        match job {
            None => {
                vm.kill().await;
                row.kill.push(kill.elapsed());
                killed_at = Some(kill);
            }
            Some(job) => killed_at = Some(run_true(vm, job, &mut row).await?),
        }
    }
    Ok(row)
}

async fn run_true(vm: ReadyVm, job: &Job, row: &mut Row) -> Result<Instant, BenchError> {
    let mut vm = vm.lease();
    let archive = Encoder::new().finish();
    let len = u64::try_from(archive.len()).unwrap_or(u64::MAX);
    let spec = job.spec.clone();
    let mut writer = JobWriter::new("bench".to_owned(), spec, job.pack.uuid(), len)?;
    let (machine, io) = vm.parts();
    writer.write(io, &archive)?;
    let written = writer.finish(io)?;
    let woken = Instant::now();
    machine.attach(&job.pack).await?;
    machine.wake().await?;
    let bell = timeout(ANSWER, machine.bell()).await;
    row.wake.push(woken.elapsed());
    let kill = Instant::now();
    let remains = vm.kill().await;
    row.kill.push(remains.killed.took);
    let ending = if bell.is_ok() { Ending::Done } else { Ending::Clock };
    let collected = collect::collect(remains.io, &written, &ending);
    let outcome = collected.meta.outcome;
    if outcome == (Outcome::Exited { code: 0 }) {
        Ok(kill)
    } else {
        Err(BenchError::Outcome(outcome))
    }
}

fn print(
    qemu: &Qemu,
    vms: u32,
    zygote_took: Duration,
    boot: &Row,
    restore: &Row,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}, {vms} VMs each way, milliseconds (median, least, most)", qemu.vmm())?;
    writeln!(out, "zygote, boot and save: {}", ms(zygote_took))?;
    writeln!(out, "| {:<28} | {:>24} | {:>24} | {:>6} |", "", "boot", "restore", "ratio")?;
    writeln!(out, "| {0:-<28} | {0:->24} | {0:->24} | {0:->6} |", "")?;
    let rows = [
        ("start to ready", &boot.ready, &restore.ready),
        ("wake to done (`true`)", &boot.wake, &restore.wake),
        ("kill to reaped", &boot.kill, &restore.kill),
        ("kill to next one ready", &boot.replace, &restore.replace),
    ];
    for (name, boot, restore) in rows {
        if boot.is_empty() || restore.is_empty() {
            continue;
        }
        let ratio = median(boot).as_secs_f64() / median(restore).as_secs_f64().max(1e-9);
        writeln!(
            out,
            "| {name:<28} | {:>24} | {:>24} | {ratio:>6.1} |",
            spread(boot),
            spread(restore)
        )?;
    }
    Ok(())
}

fn spread(times: &[Duration]) -> String {
    let least = times.iter().min().copied().unwrap_or_default();
    let most = times.iter().max().copied().unwrap_or_default();
    format!("{} ({}, {})", ms(median(times)), ms(least), ms(most))
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
