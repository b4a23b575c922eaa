//! Work on hostile bytes is done in a child that has almost nothing.
//!
//! ```text
//!  init ── fork ──► child: closes what it does not need, joins a cgroup if told, chroots, drops
//!    │                     ids, capabilities and the way back to them, gives up most system calls,
//!    │                     works, reports, exits
//!    └─ reads the report until its end or a deadline, kills what is late, reaps
//! ```
//! A bug in decoding an archive or in walking a tree is then a bug of a process that owns nothing.
//! The report is bounded and is itself not believed by more than its length.

mod filter;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, chdir, chroot, pipe2, read, setgroups, setresgid, setresuid, write,
};

use crate::bell::wait_until;
use crate::calls::{self, CapabilitySet};
use crate::limits::REPORT_BYTES_MAX;
use crate::sys;

/// What a child is left with.
#[derive(Debug)]
pub struct Confinement<'a> {
    /// The only directory it sees.
    pub root: &'a Path,
    /// Who it is.
    pub uid: Uid,
    /// Its only group.
    pub gid: Gid,
    /// Whether it may read files that their owner made unreadable.
    pub reads_all: bool,
    /// The descriptors it keeps; all others are closed.
    pub keep: &'a [BorrowedFd<'a>],
    /// A list of cgroup members to write itself into, so that what it does is charged there.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ChildFailed {
    /// It could not be started.
    #[error("a child process could not be started: {0}")]
    Start(#[from] io::Error),
    /// It was late and was killed.
    #[error("a child process took too long")]
    Late,
    /// It ended without a report, or with one that is too long.
    #[error("a child process ended as {0:?}")]
    Ended(WaitStatus),
}

/// Runs `work` in a child and returns its report.
pub fn run(
    confinement: &Confinement<'_>,
    deadline: Instant,
    work: impl FnOnce() -> Vec<u8>,
) -> Result<Vec<u8>, ChildFailed> {
    let (report_read, report_write) = pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from)?;
    match sys::fork().map_err(io::Error::from)? {
        ForkResult::Child => {
            drop(report_read);
            let code = match confine(confinement, report_write.as_fd()) {
                Ok(()) => i32::from(tell(report_write.as_fd(), &work()).is_err()),
                Err(_) => 2,
            };
            sys::exit_now(code)
        }
        ForkResult::Parent { child } => {
            drop(report_write);
            let report = listen(report_read.as_fd(), deadline);
            if !matches!(report, Ok(Some(_))) {
                // It may have ended by itself meanwhile; it is not reaped yet, so the id is its.
                let _ended = kill(child, Signal::SIGKILL);
            }
            let status = reap(child)?;
            match (report?, status) {
                (Some(report), WaitStatus::Exited(_, 0)) => Ok(report),
                (None, _) => Err(ChildFailed::Late),
                (Some(_), status) => Err(ChildFailed::Ended(status)),
            }
        }
    }
}

fn confine(confinement: &Confinement<'_>, report: BorrowedFd<'_>) -> nix::Result<()> {
    if let Some(members) = confinement.cgroup {
        write(members, b"0")?;
    }
    close_all_but(confinement.keep, report)?;
    chroot(confinement.root)?;
    chdir("/")?;
    prctl::set_no_new_privs()?;
    prctl::set_keepcaps(confinement.reads_all)?;
    setgroups(&[])?;
    let (uid, gid) = (confinement.uid, confinement.gid);
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    calls::set_capabilities(if confinement.reads_all {
        CapabilitySet::DAC_READ_SEARCH
    } else {
        CapabilitySet::empty()
    })?;
    sys::filter_calls(&filter::program())
}

/// Closes the gaps between the descriptors to keep. Init's own standard descriptors are closed
/// too: the kernel's console is nothing a child needs.
fn close_all_but(keep: &[BorrowedFd<'_>], report: BorrowedFd<'_>) -> nix::Result<()> {
    let number = |fd: &BorrowedFd<'_>| fd.as_raw_fd().unsigned_abs();
    let mut kept: Vec<u32> = keep.iter().map(number).collect();
    kept.push(number(&report));
    kept.sort_unstable();
    let mut next = 0;
    for fd in kept {
        if fd > next {
            sys::close_range(next, fd - 1)?;
        }
        next = fd.saturating_add(1);
    }
    sys::close_range(next, u32::MAX)
}

fn tell(pipe: BorrowedFd<'_>, mut report: &[u8]) -> nix::Result<()> {
    while !report.is_empty() {
        match write(pipe, report) {
            Ok(put) => report = report.get(put..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads until the end; `None` if the deadline passed first.
fn listen(pipe: BorrowedFd<'_>, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut report = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let mut fds = [PollFd::new(pipe, PollFlags::POLLIN)];
        if !wait_until(&mut fds, Some(deadline))? {
            return Ok(None);
        }
        match read(pipe, &mut piece) {
            Ok(0) => return Ok(Some(report)),
            Ok(got) if report.len() + got > REPORT_BYTES_MAX => {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            Ok(got) => report.extend_from_slice(piece.get(..got).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits for a child that ended or is about to.
pub fn reap(child: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Runs `work` under the filter alone, which needs no privilege; what it returned, or how it died.
#[cfg(test)]
pub(crate) fn filtered(work: impl FnOnce() -> i32) -> WaitStatus {
    match sys::fork().unwrap() {
        ForkResult::Child => {
            prctl::set_no_new_privs().unwrap();
            sys::filter_calls(&filter::program()).unwrap();
            sys::exit_now(work())
        }
        ForkResult::Parent { child } => reap(child).unwrap(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno<T>(result: nix::Result<T>) -> i32 {
        result.map_or_else(|errno| errno as i32, |_| 0)
    }

    #[test]
    fn a_child_can_neither_open_by_handle_nor_talk_nor_run_anything() {
        let ended = filtered(|| {
            let refused = [
                errno(nix::unistd::pipe()),
                errno(chroot("/")),
                errno(setresuid(Uid::current(), Uid::current(), Uid::current())),
                errno(sys::fork().map(drop)),
                errno(nix::unistd::execv(c"/bin/true", &[c"true"])),
                errno(calls::set_capabilities(CapabilitySet::empty())),
            ];
            i32::from(refused != [nix::libc::EPERM; 6])
        });
        assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
    }
}
