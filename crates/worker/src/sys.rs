//! The system calls that have no safe wrapper elsewhere. The only file with unsafe code.

#![expect(unsafe_code, reason = "system calls and what runs between fork and exec")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::libc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::host::VmUser;

/// A file descriptor for a child of this process that was not waited for yet.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::c_long::from(pid);
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// SIGKILL, to exactly the process that the descriptor stands for: never to a later one that got
/// its number.
pub(crate) fn pidfd_kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let fd = libc::c_long::from(pidfd.as_raw_fd());
    let signal = libc::c_long::from(libc::SIGKILL);
    // SAFETY: integers and a null pointer, which the call allows for its third argument.
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<u8>(), 0)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits for a descriptor with the runtime.
pub(crate) fn watch_readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always gives the same descriptor, and it is open as long as the value
    // lives, which `AsyncFd` now owns.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(watched?)
}

/// What a child becomes before it executes its program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Becoming {
    /// Who to become; `None` to stay who we are.
    pub user: Option<VmUser>,
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
/// beside its standard three; a session of its own; no capabilities, no way to gain any; and
/// that it dies with the thread that starts it (which therefore must be one that lives as long
/// as the worker).
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
    if fds.iter().any(|(ours, _)| (block.first..=block.last()).contains(ours)) {
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
    keep_only(fds)?;
    checked(|| {
        // SAFETY: no arguments.
        unsafe { libc::setsid() }
    })?;
    limit(libc::RLIMIT_CORE, 0)?;
    if let Some(VmUser { uid, gid, kvm_gid }) = how.user {
        drop_bounding_set();
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
            // SAFETY: integers only. Leaving uid 0 empties the effective and permitted sets.
            unsafe { libc::setresuid(uid, uid, uid) }
        })?;
    }
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

fn drop_bounding_set() {
    for capability in 0..64 {
        // Beyond the kernel's last capability this fails, which is as good as dropped.
        let _ = prctl(libc::PR_CAPBSET_DROP, capability);
    }
}

fn limit(resource: libc::__rlimit_resource_t, most: libc::rlim_t) -> io::Result<()> {
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
