//! A load balancer as a process, on ports of its own.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::dup;
use pe_proto::Digest;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::client::Client;
use crate::paths;
use crate::process::Process;
use crate::workers::Workers;

/// The image of the catalogue: `busybox`.
pub fn image() -> Digest {
    Digest([1; 32])
}

/// Time for everything that a loaded machine may take long for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Lb {
    /// The process.
    pub process: Process,
    /// Where it listens for clients.
    pub clients: SocketAddr,
    /// Where it listens for workers.
    pub workers: SocketAddr,
    /// Listening sockets that the process is given and that outlive it.
    sockets: Option<[TcpListener; 2]>,
    generation: u32,
    files: TempDir,
}

impl Lb {
    /// One with these settings, as TOML; it listens when this returns.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(settings: &str) -> anyhow::Result<Self> {
        Self::begin(settings, false).await
    }

    /// The same, with sockets that are opened for it, as systemd does.
    ///
    /// # Errors
    /// It does not start.
    pub async fn activated(settings: &str) -> anyhow::Result<Self> {
        Self::begin(settings, true).await
    }

    async fn begin(settings: &str, is_activated: bool) -> anyhow::Result<Self> {
        let files = tempfile::Builder::new().prefix("pe-fleet-").tempdir()?;
        let image = image();
        let catalogue = format!(
            r#"{{"version":2,"images":[{{"name":"busybox","tags":["1"],"title":"","description":"",
                "platforms":[{{"arch":"x86_64","digest":"{image}",
                "pack":{{"digest":"{image}","bytes":1,"prefix":""}},
                "config":{{"entrypoint":[],"cmd":[],"env":[],"workdir":"","user":""}}}}],"playground":null}}]}}"#
        );
        std::fs::write(files.path().join("catalogue.json"), catalogue)?;
        std::fs::write(files.path().join("lb.toml"), settings)?;
        let sockets = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [clients, workers] = [sockets[0].local_addr()?, sockets[1].local_addr()?];
        // Otherwise they were only to find ports that are free, or were a moment ago.
        let sockets = is_activated.then_some(sockets);
        let process = spawn(&files, clients, workers, sockets.as_ref(), 0)?;
        let lb = Self { process, clients, workers, sockets, generation: 0, files };
        lb.listens().await?;
        Ok(lb)
    }

    /// Kills it as a crash would, and starts another in its place.
    ///
    /// # Errors
    /// It does not start.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.again().await
    }

    /// Tells it to end, waits until it has, and starts another in its place.
    ///
    /// # Errors
    /// It does not end, or another does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.ended(PATIENCE).await?;
        anyhow::ensure!(status.success(), "{status}: {}", self.process.output());
        self.again().await
    }

    async fn again(&mut self) -> anyhow::Result<()> {
        self.generation += 1;
        self.process =
            spawn(&self.files, self.clients, self.workers, self.sockets.as_ref(), self.generation)?;
        self.listens().await
    }

    async fn listens(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while TcpStream::connect(self.clients).await.is_err() {
            let is_late = begin.elapsed() > PATIENCE;
            anyhow::ensure!(!is_late, "does not listen: {}", self.process.output());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// A connection of a client.
    ///
    /// # Errors
    /// There is none.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.clients).await
    }

    /// A process with workers, which are all connected when this returns.
    ///
    /// # Errors
    /// They do not come.
    pub async fn with_workers(
        &self,
        name: &str,
        workers: usize,
        slots: usize,
    ) -> anyhow::Result<Workers> {
        self.with_workers_who(name, workers, slots, &[]).await
    }

    /// The same, with further arguments of theirs.
    ///
    /// # Errors
    /// They do not come.
    pub async fn with_workers_who(
        &self,
        name: &str,
        workers: usize,
        slots: usize,
        more: &[&str],
    ) -> anyhow::Result<Workers> {
        let out = self.files.path().join(format!("{name}.journal"));
        let started = Workers::start(self.workers, name, workers, slots, more, out)?;
        started.all_up(workers).await?;
        Ok(started)
    }
}

fn spawn(
    files: &TempDir,
    clients: SocketAddr,
    workers: SocketAddr,
    sockets: Option<&[TcpListener; 2]>,
    generation: u32,
) -> anyhow::Result<Process> {
    let path = |name: &str| files.path().join(name);
    let program = paths::binary("pe-lb")?;
    let out = path(&format!("lb-{generation}.log"));
    let arguments = |command: &mut Command, clients: &str, workers: &str| {
        command.args(["--listen", clients, "--listen-workers", workers]);
        command.arg("--catalogue").arg(path("catalogue.json"));
        command.arg("--config").arg(path("lb.toml"));
        command.args(["--listen-admin", "127.0.0.1:0", "--log", "info"]);
    };
    let Some([for_clients, for_workers]) = sockets else {
        let mut command = Command::new(program);
        arguments(&mut command, &clients.to_string(), &workers.to_string());
        return Process::start(command, out);
    };
    // Copies that an exec leaves open; a shell gives them the numbers that the protocol wants
    // (sd_listen_fds(3)), and its own process id is that of the program that it becomes.
    let copies = [dup(for_clients)?, dup(for_workers)?];
    let [a, b] = copies.each_ref().map(AsRawFd::as_raw_fd);
    anyhow::ensure!(a > 4 && b > 4, "descriptors {a} and {b} are in the way");
    let variables = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=clients:workers";
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("exec 3<&{a} 4<&{b} {a}<&- {b}<&-; {variables} exec \"$@\""));
    command.arg("pe-lb").arg(program);
    arguments(&mut command, "systemd:clients", "systemd:workers");
    Process::start(command, out)
}
