//! A child process on a core of its own choosing, and what the kernel says about it.
//!
//! It ends with its value: asked first, then killed. Its output goes to a file, which is told when
//! something goes wrong.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time for a process to listen, to say its line, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clock ticks of /proc/PID/stat in a second; it is 100 on every Linux that people run.
const TICKS: f64 = 100.0;

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program on a core.
    pub(crate) fn start(
        core: usize,
        program: &str,
        args: &[String],
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let base = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
        let first = args.first().map_or("", String::as_str).replace('/', "-");
        let log = dir.join(format!("{base}{first}.log"));
        let out = File::create(&log)?;
        let child = Command::new("taskset")
            .args(["-c", &core.to_string(), program])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(out)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        Ok(Self { child, name: base.into_owned(), log })
    }

    /// Waits until it has said a line.
    pub(crate) fn says_line(&mut self) -> anyhow::Result<String> {
        let stdout: &mut ChildStdout = self.child.stdout.as_mut().context("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "{} ended: {}", self.name, self.told());
        Ok(line)
    }

    /// Waits until somebody listens there.
    pub(crate) fn listens(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "{} ended: {}", self.name, self.told());
            anyhow::ensure!(start.elapsed() < PATIENCE, "{} does not listen", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What it logged.
    pub(crate) fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Processor time of it and its children so far.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u64 = self.family().into_iter().map(ticks).sum();
        #[expect(clippy::cast_precision_loss, reason = "ticks of minutes")]
        Duration::from_secs_f64(ticks as f64 / TICKS)
    }

    /// Memory of it and its children, each shared page counted in parts.
    pub(crate) fn pss_kib(&self) -> u64 {
        self.family().into_iter().map(pss_kib).sum()
    }

    fn family(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = found.get(next) {
            let children = format!("/proc/{pid}/task/{pid}/children");
            let children = fs::read_to_string(children).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            next += 1;
        }
        found
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < Duration::from_secs(3)
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name in brackets: state, ten more, then user and system time.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

fn pss_kib(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
