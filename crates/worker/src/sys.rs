//! System calls that have no safe wrapper elsewhere. What a child does is in `jail/sys.rs`.

#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
