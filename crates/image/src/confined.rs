//! Work on hostile bytes, and on trees made of them, in a process that can do little else.
//!
//! ```text
//!  the program ── itself again, with CHILD as first argument ──► confine, work, report, exit
//!       └ for an ordinary user: `unshare` before it, so that files can have owners
//! ```
//! A program that makes packs calls [`run_if_asked`] first of all. The process gets its order as
//! its second argument, a layer on standard input, works in its current directory, and reports on
//! standard output. A tree is written into a pack the same way, as its names and attributes are
//! those of strangers too.

mod calls;
mod child;
mod room;

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::flatten::{Cap, Caps, LayerError, unpack};
use crate::pack::append::{self, AppendError};

pub use child::run_if_asked;

/// The first argument of a confined process.
const CHILD: &str = "pe-image-confined";

/// A report is a few numbers or one message.
const REPORT_BYTES_MAX: u64 = 64 * 1024;

/// What a confined process is to do, in its current directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Unpack the layer on standard input.
    Unpack(unpack::Order),
    /// Remove a tree. Only who owns a directory can.
    Remove { path: PathBuf, caps: Caps },
    /// Write the tree that is here into the pack that is here.
    Append(append::Order),
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Unpacked(Result<unpack::Report, LayerError>),
    Appended(Result<append::Report, AppendError>),
    Done(Result<(), String>),
}

/// Why a confined process did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ConfinedError {
    /// It cannot be started.
    #[error("a confined process cannot be started")]
    Start(#[source] std::io::Error),
    /// It was ended for what it used up.
    #[error("more than {limit} {cap}")]
    Cap {
        /// Of what.
        cap: Cap,
        /// How much it may use.
        limit: u64,
    },
    /// It ended in another way.
    #[error("a confined process ended with {status}: {said}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// What it wrote to standard error, or nothing.
        said: String,
    },
    /// It could not do what it should.
    #[error("{0}")]
    Failed(String),
    /// It said something else than was asked.
    #[error("a confined process gave no answer, or one to another question")]
    NoAnswer,
    /// Neither root nor able to be root in a user namespace.
    #[error(
        "packs are made by root, or where user namespaces are allowed: `unshare -Ur true` fails"
    )]
    NoNamespaces,
}

/// Who files in packs belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Whom the image says; we are root.
    Kept,
    /// Whom the image says, by the subordinate ids of an ordinary user (`/etc/subuid`).
    KeptBySubids,
    /// All are root's: an ordinary user without subordinate ids can give files to nobody else.
    Root,
}

impl Owners {
    /// What this user can do.
    ///
    /// # Errors
    /// Nothing at all.
    pub fn possible() -> Result<Self, ConfinedError> {
        if nix::unistd::geteuid().is_root() {
            return Ok(Self::Kept);
        }
        let works = |owners: Self| {
            let (program, args) = owners.wrapped(Path::new("true"));
            let mut command = Command::new(program);
            command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        [Self::KeptBySubids, Self::Root]
            .into_iter()
            .find(|&owners| works(owners))
            .ok_or(ConfinedError::NoNamespaces)
    }

    /// Whether a pack has the image's owners.
    pub fn are_kept(self) -> bool {
        match self {
            Self::Kept | Self::KeptBySubids => true,
            Self::Root => false,
        }
    }

    fn wrapped(self, program: &Path) -> (OsString, Vec<OsString>) {
        let flags: &[&str] = match self {
            Self::Kept => return (program.as_os_str().to_owned(), Vec::new()),
            Self::KeptBySubids => &["--user", "--map-root-user", "--map-auto", "--"],
            Self::Root => &["--user", "--map-root-user", "--"],
        };
        let mut args: Vec<OsString> = flags.iter().map(OsString::from).collect();
        args.push(program.as_os_str().to_owned());
        ("unshare".into(), args)
    }
}

/// A confined process at work.
#[derive(Debug)]
pub(crate) struct Confined {
    process: std::process::Child,
    caps: Caps,
}

impl Confined {
    /// Starts one in a directory.
    pub(crate) fn start(order: &Order, dir: &Path, owners: Owners) -> Result<Self, ConfinedError> {
        let caps = match order {
            Order::Unpack(order) => order.caps,
            Order::Append(order) => order.caps,
            Order::Remove { caps, .. } => *caps,
        };
        let us = std::env::current_exe().map_err(ConfinedError::Start)?;
        let (program, args) = owners.wrapped(&us);
        let order = serde_json::to_string(order)
            .map_err(|error| ConfinedError::Failed(error.to_string()))?;
        let takes_input = matches!(order.get(..9), Some("{\"Unpack\""));
        let process = Command::new(program)
            .args(args)
            .args([CHILD, &order])
            .current_dir(dir)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(if takes_input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ConfinedError::Start)?;
        Ok(Self { process, caps })
    }

    /// Where a layer goes.
    pub(crate) fn input(&mut self) -> Option<std::process::ChildStdin> {
        self.process.stdin.take()
    }

    /// Waits for its end, and reads what it says.
    pub(crate) fn end(mut self) -> Result<Report, ConfinedError> {
        let mut said = Vec::new();
        let mut complaint = Vec::new();
        // It writes little, and to one of both only.
        if let Some(out) = self.process.stdout.take() {
            out.take(REPORT_BYTES_MAX).read_to_end(&mut said).map_err(ConfinedError::Start)?;
        }
        if let Some(error) = self.process.stderr.take() {
            error
                .take(REPORT_BYTES_MAX)
                .read_to_end(&mut complaint)
                .map_err(ConfinedError::Start)?;
        }
        let status = self.process.wait().map_err(ConfinedError::Start)?;
        if status.success() {
            return match serde_json::from_slice(&said) {
                Ok(report) => Ok(report),
                Err(error) => Err(ConfinedError::Failed(error.to_string())),
            };
        }
        let said = String::from_utf8_lossy(&complaint).trim().to_owned();
        let cap = |cap, limit| Err(ConfinedError::Cap { cap, limit });
        match status.signal() {
            Some(libc::SIGXCPU) => cap(Cap::CpuSeconds, self.caps.cpu_seconds),
            Some(libc::SIGALRM) => cap(Cap::WallSeconds, self.caps.wall_seconds),
            Some(libc::SIGABRT) if said.contains("memory allocation") => {
                cap(Cap::Memory, self.caps.memory_bytes)
            }
            _ => Err(ConfinedError::Ended { status, said }),
        }
    }

    /// Ends it.
    pub(crate) fn kill(mut self) {
        // It may have ended by itself; it is reaped either way.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Does something without input, and waits for it.
pub(crate) fn run(order: &Order, dir: &Path, owners: Owners) -> Result<(), ConfinedError> {
    match Confined::start(order, dir, owners)?.end()? {
        Report::Done(Ok(())) => Ok(()),
        Report::Done(Err(why)) => Err(ConfinedError::Failed(why)),
        Report::Unpacked(_) | Report::Appended(_) => Err(ConfinedError::NoAnswer),
    }
}

/// Says what a confined process has to say.
fn say(report: &Report) -> ExitCode {
    let text = serde_json::to_vec(report).unwrap_or_default();
    match std::io::stdout().write_all(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
