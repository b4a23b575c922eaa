//! A load balancer with workers, each with VMs of its own.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use pe_proto::catalogue::Catalogue;
use tempfile::TempDir;

use crate::circumstances::{scaled, scaled_wall_ms, worker_flags};
use crate::client::{self, Client};
use crate::daemon::Daemon;
use crate::{paths, procfs, wait};

/// Start-up of a worker includes booting a zygote in emulation, on a machine that does other
/// things too.
const START: Duration = Duration::from_secs(120);

/// How long a job waits for a slot: the load balancer's default.
const QUEUE_WAIT: Duration = Duration::from_secs(20);

/// A load balancer and its workers.
#[derive(Debug)]
pub struct Lab {
    /// Workers first: they are to be gone when the load balancer ends.
    pub workers: Vec<Worker>,
    /// The load balancer.
    pub lb: Daemon,
    /// Speaks to it.
    pub client: Client,
    /// Where it answers operators, without a slash at the end.
    pub admin_url: String,
    /// Where it listens for workers, on loopback.
    pub lb_worker_port: u16,
    dir: TempDir,
}

/// A worker and what is known of it.
#[derive(Debug)]
pub struct Worker {
    /// The process.
    pub daemon: Daemon,
    /// Its name in results.
    pub name: String,
    /// Port of its metrics.
    pub metrics_port: u16,
}

impl Lab {
    /// Starts a load balancer alone.
    ///
    /// # Errors
    /// It does not come up.
    pub fn without_workers() -> anyhow::Result<Self> {
        Self::with_catalogue(|_| {})
    }

    /// As [`Lab::without_workers`], with a catalogue that was changed.
    ///
    /// # Errors
    /// It does not come up.
    pub fn with_catalogue(change: impl FnOnce(&mut Catalogue)) -> anyhow::Result<Self> {
        Self::with_flags(change, &[])
    }

    /// As [`Lab::with_catalogue`], with more flags.
    ///
    /// # Errors
    /// It does not come up.
    pub fn with_flags(
        change: impl FnOnce(&mut Catalogue),
        more: &[String],
    ) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("pe-e2e-").tempdir()?;
        let (port, lb_worker_port, admin_port) = (free_port()?, free_port()?, free_port()?);
        let mut listed =
            serde_json::from_slice(&std::fs::read(paths::images()?.join("catalogue.json"))?)?;
        change(&mut listed);
        let catalogue = dir.path().join("catalogue.json");
        std::fs::write(&catalogue, serde_json::to_vec(&listed)?)?;
        // A machine so many times as slow gets that many times the queue's default patience.
        let settings = dir.path().join("lb.toml");
        let wait_ms = scaled(QUEUE_WAIT).as_millis();
        std::fs::write(&settings, format!("[queue]\nwait_ms = {wait_ms}\n"))?;
        // Workers may fetch them.
        std::os::unix::fs::symlink(paths::images()?.join("packs"), dir.path().join("packs"))?;
        let args = [
            "--config".to_owned(),
            settings.display().to_string(),
            "--listen".to_owned(),
            format!("127.0.0.1:{port}"),
            "--listen-workers".to_owned(),
            format!("127.0.0.1:{lb_worker_port}"),
            "--listen-admin".to_owned(),
            format!("127.0.0.1:{admin_port}"),
            "--catalogue".to_owned(),
            catalogue.display().to_string(),
            "--wall-ms-max".to_owned(),
            scaled_wall_ms(180_000).to_string(),
        ];
        let args: Vec<String> = args.into_iter().chain(more.iter().cloned()).collect();
        let lb = Daemon::start(&paths::binary("pe-lb")?, &args, dir.path().join("lb.log"))?;
        let client = Client::new(port);
        wait::until("the load balancer to listen", Duration::from_secs(20), || {
            (client.status("/healthz").ok()? == 200).then_some(())
        })
        .map_err(|error| error.context(lb.log()))?;
        let admin_url = format!("http://127.0.0.1:{admin_port}");
        Ok(Self { workers: Vec::new(), lb, client, admin_url, lb_worker_port, dir })
    }

    /// Starts a load balancer and workers with so many slots each, and waits until all VMs are
    /// ready.
    ///
    /// # Errors
    /// Something does not come up.
    pub fn with_workers(slots: &[u32]) -> anyhow::Result<Self> {
        let mut lab = Self::without_workers()?;
        for (index, slots) in slots.iter().enumerate() {
            lab.start_worker(&format!("worker-{index}"), *slots)?;
        }
        for (worker, slots) in lab.workers.iter().zip(slots) {
            worker.wait_ready(*slots)?;
        }
        Ok(lab)
    }

    /// Starts one more worker and returns at once.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_worker(&mut self, name: &str, slots: u32) -> anyhow::Result<()> {
        let vm_assets = paths::vm_assets()?;
        self.start_worker_with(name, slots, &vm_assets)
    }

    /// As [`Lab::start_worker`], with another kernel or initramfs.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_worker_with(
        &mut self,
        name: &str,
        slots: u32,
        vm_assets: &Path,
    ) -> anyhow::Result<()> {
        let args = vec![
            "--lb".to_owned(),
            format!("http://127.0.0.1:{}", self.lb_worker_port),
            "--images".to_owned(),
            paths::images()?.display().to_string(),
        ];
        self.start_worker_of(name, slots, vm_assets, args)
    }

    /// Starts a worker that knows no more of the load balancer and its images than these flags
    /// say, and returns at once.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_worker_of(
        &mut self,
        name: &str,
        slots: u32,
        vm_assets: &Path,
        flags: Vec<String>,
    ) -> anyhow::Result<()> {
        let metrics_port = free_port()?;
        let args = vec![
            "--vm-assets".to_owned(),
            vm_assets.display().to_string(),
            "--name".to_owned(),
            name.to_owned(),
            "--slots".to_owned(),
            slots.to_string(),
            "--metrics".to_owned(),
            format!("127.0.0.1:{metrics_port}"),
        ];
        let log = self.dir.path().join(format!("{name}.log"));
        let args = [flags, args, worker_flags()].concat();
        let daemon = Daemon::start(&paths::binary("pe-worker")?, &args, log)?;
        self.workers.push(Worker { daemon, name: name.to_owned(), metrics_port });
        Ok(())
    }

    /// The first worker.
    ///
    /// # Errors
    /// There is none.
    pub fn worker(&self) -> anyhow::Result<&Worker> {
        self.workers.first().ok_or_else(|| anyhow::anyhow!("the lab has no worker"))
    }

    /// A directory of the lab's own.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// All logs, for the message of a test that failed.
    pub fn logs(&self) -> String {
        let mut text = format!("==== lb ====\n{}", tail(&self.lb.log()));
        for worker in &self.workers {
            text.push_str(&format!("==== {} ====\n{}", worker.name, tail(&worker.daemon.log())));
        }
        text
    }
}

impl Worker {
    /// Process ids of its VMs.
    pub fn vms(&self) -> Vec<u32> {
        let children = procfs::children(self.daemon.pid()).into_iter();
        children.filter(|pid| procfs::is_vmm(*pid)).collect()
    }

    /// Slots in a state of the worker's pool, as its metrics say.
    pub fn slots(&self, state: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics_port);
        metric(&client::get(&url).ok()?, &format!("pe_worker_slots{{state=\"{state}\"}}"))
    }

    /// A series of its metrics.
    pub fn series(&self, series: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics_port);
        metric(&client::get(&url).ok()?, series)
    }

    /// Waits until so many of its VMs are ready and offered to the load balancer.
    ///
    /// # Errors
    /// They are not within two minutes; the message has its log.
    pub fn wait_ready(&self, slots: u32) -> anyhow::Result<()> {
        let offered = || (self.slots("offered")? >= f64::from(slots)).then_some(());
        wait::until("all VMs of a worker to be offered", START, offered)
            .map_err(|error| error.context(tail(&self.daemon.log())))
    }
}

/// The value of one series in Prometheus' text format.
pub fn metric(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(60)).map(|line| format!("{line}\n")).collect()
}

/// A port that nobody listens on, below the range that outgoing connections take theirs from: one
/// of that range may be gone by the time a daemon listens. Each is handed out once.
fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + u16::try_from(std::process::id() % 100)? * 100;
    for _ in 0..1000 {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 1000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port from {start} on")
}
