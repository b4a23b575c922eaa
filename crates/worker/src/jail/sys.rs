//! What runs between fork and exec: a child becomes a VMM that has nothing but what it was given.

#![expect(unsafe_code, reason = "system calls between fork and exec, which may not allocate")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::capabilities::{self, CapabilitySet};
use crate::host::VmUser;

/// What a child becomes before it executes its program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Becoming {
    /// Who to become; `None` to stay who we are.
    pub(crate) user: Option<VmUser>,
    /// `cgroup.procs` of the group to join, open for writing for as long as this value is used.
    pub(crate) cgroup: Option<RawFd>,
    /// Processors to stay on.
    pub(crate) cpus: Option<CpuSet>,
    /// What it may use up.
    pub(crate) limits: Rlimits,
}

/// Limits of one process. See `limits.rs` for the reasons of the numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rlimits {
    /// Descriptors.
    pub(crate) files: u64,
    /// Longest file that can be written.
    pub(crate) file_bytes: u64,
    /// Threads of the user; only where it is nobody else's.
    pub(crate) threads: Option<u64>,
}

/// Numbers of descriptors that this process keeps taken, so that nothing else gets them.
#[derive(Debug)]
pub(crate) struct NumberBlock {
    first: RawFd,
    held: Vec<OwnedFd>,
}

impl NumberBlock {
    /// Takes `count` numbers from `first` on.
    pub(crate) fn take(first: RawFd, count: usize) -> io::Result<Self> {
        let null = std::fs::File::open("/dev/null")?;
        let mut held = Vec::with_capacity(count);
        for number in (first..).take(count) {
            let fd = checked(|| {
                // SAFETY: integers only.
                unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) }
            })?;
            // SAFETY: the kernel just made this descriptor for us, so nobody else owns it.
            held.push(unsafe { OwnedFd::from_raw_fd(fd) });
            if fd != number {
                return Err(io::ErrorKind::AddrInUse.into());
            }
        }
        Ok(Self { first, held })
    }

    fn last(&self) -> RawFd {
        self.held.last().map_or(self.first, AsRawFd::as_raw_fd)
    }
}

/// Arranges that the child has exactly `fds`, under the numbers of `block` in their order,
/// beside its standard three; a session of its own; no capabilities, no way to gain any; what
/// `how` says; and that it dies with the thread that starts it (which therefore must be one that
/// lives as long as the worker).
pub(crate) fn confine(
    command: &mut Command,
    block: &NumberBlock,
    fds: &[BorrowedFd<'_>],
    how: Becoming,
) -> io::Result<()> {
    if fds.len() > block.held.len() {
        return Err(io::Error::other("too many descriptors for one vmm"));
    }
    let fds: Vec<(RawFd, RawFd)> = fds.iter().map(AsRawFd::as_raw_fd).zip(block.first..).collect();
    let reserved = |fd: &RawFd| (block.first..=block.last()).contains(fd);
    if fds.iter().any(|(ours, _)| reserved(ours)) || how.cgroup.as_ref().is_some_and(reserved) {
        return Err(io::Error::other("a reserved descriptor was given away"));
    }
    let parent = std::process::id();
    let enter = move || enter(&fds, how, parent);
    // SAFETY: `enter` makes system calls only: it allocates nothing and takes no lock, so it may
    // run in the child of a process with many threads.
    unsafe { command.pre_exec(enter) };
    Ok(())
}

/// Runs in the child between fork and exec.
fn enter(fds: &[(RawFd, RawFd)], how: Becoming, parent: u32) -> io::Result<()> {
    // First, so that all it uses counts, and while it still may.
    if let Some(procs) = how.cgroup {
        join(procs)?;
    }
    if let Some(cpus) = &how.cpus {
        sched_setaffinity(Pid::from_raw(0), cpus)?;
    }
    keep_only(fds)?;
    checked(|| {
        // SAFETY: no arguments.
        unsafe { libc::setsid() }
    })?;
    // SAFETY: an integer only; it cannot fail.
    unsafe { libc::umask(0o077) };
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NOFILE, how.limits.files)?;
    limit(libc::RLIMIT_FSIZE, how.limits.file_bytes)?;
    if let Some(threads) = how.limits.threads {
        limit(libc::RLIMIT_NPROC, threads)?;
    }
    if let Some(user) = how.user {
        become_user(user)?;
    }
    capabilities::keep(CapabilitySet::empty())?;
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    // After the change of user, which clears it.
    prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(libc::SIGKILL.unsigned_abs()))?;
    // SAFETY: no arguments.
    let now = unsafe { libc::getppid() };
    if now.unsigned_abs() != parent {
        // The worker died before the line above could take note.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

/// Moves this process into the group.
fn join(procs: RawFd) -> io::Result<()> {
    const SELF: &[u8] = b"0";
    // SAFETY: the pointer and the length are those of one live slice.
    let written = unsafe { libc::write(procs, SELF.as_ptr().cast(), SELF.len()) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets the first of each pair live through exec as the second, and nothing else.
fn keep_only(fds: &[(RawFd, RawFd)]) -> io::Result<()> {
    let flags = libc::c_int::try_from(libc::CLOSE_RANGE_CLOEXEC).unwrap_or(0);
    checked(|| {
        // SAFETY: integers only. With this flag nothing is closed before exec.
        unsafe { libc::close_range(FIRST_FD, libc::c_uint::MAX, flags) }
    })?;
    for (ours, theirs) in fds {
        checked(|| {
            // SAFETY: integers only. The copy does not close on exec.
            unsafe { libc::dup2(*ours, *theirs) }
        })?;
    }
    Ok(())
}

/// The first descriptor that is not one of the standard three.
const FIRST_FD: libc::c_uint = 3;

fn become_user(VmUser { uid, gid, kvm_gid }: VmUser) -> io::Result<()> {
    capabilities::bound(CapabilitySet::empty());
    let groups = kvm_gid.as_slice();
    checked(|| {
        // SAFETY: the pointer and the length are those of one live slice.
        unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }
    })?;
    checked(|| {
        // SAFETY: integers only.
        unsafe { libc::setresgid(gid, gid, gid) }
    })?;
    checked(|| {
        // SAFETY: integers only.
        unsafe { libc::setresuid(uid, uid, uid) }
    })?;
    Ok(())
}

fn limit(resource: libc::__rlimit_resource_t, most: libc::rlim_t) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    checked(|| {
        // SAFETY: the pointer is to a live value of the type that the call writes.
        unsafe { libc::getrlimit(resource, &mut now) }
    })?;
    // An ordinary user cannot raise it again.
    let most = most.min(now.rlim_max);
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    checked(|| {
        // SAFETY: the pointer is to a live value of the type that the call reads.
        unsafe { libc::setrlimit(resource, &limit) }
    })?;
    Ok(())
}

fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    checked(|| {
        // SAFETY: integers only, for every option that is used here.
        unsafe { libc::prctl(option, value, zero, zero, zero) }
    })?;
    Ok(())
}

fn checked(call: impl FnOnce() -> libc::c_int) -> io::Result<libc::c_int> {
    match call() {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}
