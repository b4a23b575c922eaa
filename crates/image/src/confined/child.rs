//! The confined process itself.

use std::path::Path;
use std::process::ExitCode;

use nix::fcntl::{OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::room::{self, Landlock};
use super::{CHILD, Order, Report, say};
use crate::flatten::{Caps, LayerError, unpack};
use crate::pack::append::{self, AppendError};

/// Works as a confined process if this one was started as one. A program that makes packs calls
/// this first in its `main`, before it starts threads, and ends with what it returns.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != CHILD {
        return None;
    }
    let order = args.next()?;
    Some(match serde_json::from_slice(order.as_encoded_bytes()) {
        Ok(order) => work(order),
        Err(error) => failed(&error),
    })
}

fn work(order: Order) -> ExitCode {
    // Whoever wanted it is gone: so is it.
    if let Err(errno) = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL) {
        return failed(&errno);
    }
    match order {
        Order::Unpack(order) => say(&Report::Unpacked(unpack_here(&order))),
        Order::Append(order) => say(&Report::Appended(append_here(&order))),
        Order::Remove { path, caps } => done(&caps, || std::fs::remove_dir_all(inside(&path))),
    }
}

fn append_here(order: &append::Order) -> Result<append::Report, AppendError> {
    let host = |error: &dyn std::fmt::Display| AppendError::Host(error.to_string());
    let status = std::fs::File::open("/proc/self/status").map_err(|error| host(&error))?;
    room::enter_below_here(&order.caps).map_err(|error| host(&error))?;
    append::append(Path::new("/"), order, status)
}

fn unpack_here(order: &unpack::Order) -> Result<unpack::Report, LayerError> {
    let host = |what: String| LayerError::Host(what);
    let status =
        std::fs::File::open("/proc/self/status").map_err(|error| host(error.to_string()))?;
    let landlock = room::enter_below_here(&order.caps).map_err(|error| host(error.to_string()))?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(".", flags, Mode::empty())?;
    let mut report = unpack::unpack(order, root, status, std::io::stdin())?;
    report.notes.no_landlock = landlock == Landlock::Absent;
    Ok(report)
}

fn done(caps: &Caps, work: impl FnOnce() -> std::io::Result<()>) -> ExitCode {
    let entered = room::enter_below_here(caps).map_err(|error| error.to_string());
    say(&Report::Done(entered.and_then(|_landlock| work().map_err(|error| error.to_string()))))
}

/// The current directory is the root by now.
fn inside(path: &Path) -> std::path::PathBuf {
    Path::new("/").join(path)
}

#[expect(clippy::print_stderr, reason = "standard error is where the program that asked listens")]
fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
