//! Many jobs through one worker: what worker and load balancer hold must not grow, and no VM may
//! run two jobs. Writes `soak.csv` and `soak.svg`, and fails if something grew.
//!
//! usage: `soak JOBS [EVERY [FOLDER]]`, such as `soak 2000 20 docs`.

#![expect(clippy::print_stdout, reason = "progress and the verdict are what this program is for")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_e2e::procfs;
use pe_proto::Outcome;
use plotters::prelude::*;

const SLOTS: u32 = 2;

/// Fails if any place that a job can write to shows that a job was there before; then marks them
/// all. The boot id is made once per kernel: a VM that ran two jobs would give the same one twice.
const MARK: &str = "for dir in / /tmp /input /output /dev/shm /var /root; do \
    if [ -e $dir/marker ]; then echo USED $dir; fi; echo mark > $dir/marker 2>/dev/null; done; \
    cat /proc/sys/kernel/random/boot_id; exit $0";

/// A line of the chart: its name, and its value in each sample.
type Line = (&'static str, fn(&Sample) -> f64);

const LINES: [Line; 8] = [
    ("worker: resident, MiB", |sample| mebibytes(sample.worker.resident_kib)),
    ("load balancer: resident, MiB", |sample| mebibytes(sample.lb.resident_kib)),
    ("worker: file descriptors", |sample| count(sample.worker.fds)),
    ("load balancer: file descriptors", |sample| count(sample.lb.fds)),
    ("worker: memory files", |sample| count(sample.worker.memfds)),
    ("worker: processes", |sample| count(sample.worker.children)),
    ("worker: mappings", |sample| count(sample.worker.mappings)),
    ("load balancer: mappings", |sample| count(sample.lb.mappings)),
];

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    resident_kib: u64,
    fds: usize,
    memfds: usize,
    mappings: usize,
    children: usize,
}

impl Holdings {
    fn of(pid: u32) -> Self {
        Self {
            resident_kib: procfs::resident_kib(pid),
            fds: procfs::open_fds(pid),
            memfds: procfs::memfds(pid),
            mappings: procfs::mappings(pid),
            children: procfs::children(pid).len(),
        }
    }
}

/// Taken when all VMs are ready and no job runs.
#[derive(Debug, Clone, Copy)]
struct Sample {
    jobs: u32,
    worker: Holdings,
    lb: Holdings,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, otherwise: u32| match arguments.get(index) {
        Some(text) => text.parse().with_context(|| format!("`{text}` is no number")),
        None => Ok(otherwise),
    };
    let (jobs, every) = (number(0, 2000)?, number(1, 20)?);
    let folder = PathBuf::from(arguments.get(2).map_or("docs", String::as_str));

    let lab = Lab::with_workers(&[SLOTS])?;
    let boots = Mutex::new(BTreeSet::new());
    // The first jobs warm up what is allocated once.
    run(&lab, every, &boots).with_context(|| lab.logs())?;
    let mut samples = vec![sample(&lab, 0)?];
    let start = Instant::now();
    let mut done = 0;
    while done < jobs {
        run(&lab, every, &boots).with_context(|| lab.logs())?;
        done += every;
        let now = sample(&lab, done)?;
        println!("{done} jobs, {:?}: {now:?}", start.elapsed());
        samples.push(now);
    }
    let took = start.elapsed();
    std::fs::write(folder.join("soak.csv"), table(&samples)?)?;
    draw(&folder.join("soak.svg"), &samples)?;
    let vms = boots.into_inner().map_err(|_| anyhow::anyhow!("a client panicked"))?.len();
    println!("{done} jobs and {every} before them in {took:?}: {vms} VMs, each used once");
    is_flat(&samples)
}

/// Runs so many jobs, one client per slot.
fn run(lab: &Lab, jobs: u32, boots: &Mutex<BTreeSet<String>>) -> anyhow::Result<()> {
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        let serve = || -> anyhow::Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= jobs {
                    return Ok(());
                }
                let code = u8::try_from(number % 256)?;
                let job = Job::new("busybox", &["sh", "-c", MARK, &code.to_string()]);
                let answer = lab.client.run(job)?;
                ensure!(answer.head.outcome == Outcome::Exited { code }, "{answer:?}");
                let text = client::stdout_text(&answer)?;
                ensure!(!text.contains("USED"), "a job found the marks of another: {text}");
                let is_new = boots.lock().is_ok_and(|mut boots| boots.insert(text.clone()));
                ensure!(is_new, "two jobs had the VM with boot id {text}");
            }
        };
        let clients: Vec<_> = (0..SLOTS).map(|_| scope.spawn(serve)).collect();
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}

fn sample(lab: &Lab, jobs: u32) -> anyhow::Result<Sample> {
    let worker = lab.worker()?;
    worker.wait_ready(SLOTS)?;
    Ok(Sample { jobs, worker: Holdings::of(worker.daemon.pid()), lb: Holdings::of(lab.lb.pid()) })
}

fn table(samples: &[Sample]) -> anyhow::Result<String> {
    let names: Vec<&str> = LINES.iter().map(|(name, _)| *name).collect();
    let mut text = format!("jobs;{}\n", names.join(";"));
    for sample in samples {
        let values: Vec<String> =
            LINES.iter().map(|(_, value)| format!("{:.2}", value(sample))).collect();
        writeln!(text, "{};{}", sample.jobs, values.join(";"))?;
    }
    Ok(text)
}

fn draw(path: &std::path::Path, samples: &[Sample]) -> anyhow::Result<()> {
    let root = SVGBackend::new(path, (900, 960)).into_drawing_area();
    root.fill(&WHITE)?;
    let last = samples.last().map_or(1, |sample| sample.jobs).max(1);
    for ((name, value), area) in LINES.iter().zip(root.split_evenly((4, 2))) {
        let points: Vec<(u32, f64)> =
            samples.iter().map(|sample| (sample.jobs, value(sample))).collect();
        let most = points.iter().fold(0.0f64, |most, (_, value)| most.max(*value));
        let mut chart = ChartBuilder::on(&area)
            .caption(*name, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(40)
            // From zero, so that flat looks flat.
            .build_cartesian_2d(0..last, 0.0..(most * 1.3).max(1.0))?;
        chart.configure_mesh().disable_x_mesh().x_desc("jobs").y_labels(5).draw()?;
        chart.draw_series(LineSeries::new(points, &BLUE))?;
    }
    Ok(root.present()?)
}

/// The end may be no higher than the beginning, but for what an allocator keeps.
fn is_flat(samples: &[Sample]) -> anyhow::Result<()> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(()) };
    for (before, after) in [(first.worker, last.worker), (first.lb, last.lb)] {
        ensure!(after.children == before.children, "processes: {before:?} {after:?}");
        ensure!(after.memfds <= before.memfds, "memory files: {before:?} {after:?}");
        ensure!(after.fds <= before.fds + 4, "file descriptors: {before:?} {after:?}");
        ensure!(after.mappings <= before.mappings + 16, "mappings: {before:?} {after:?}");
        ensure!(after.resident_kib <= before.resident_kib + 16 * 1024, "{before:?} {after:?}");
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn count(value: usize) -> f64 {
    value as f64
}
