//! System calls that nix has not and rustix has, with nix's types and errors.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;
use rustix::fs::{CWD, XattrFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions};
pub use rustix::thread::CapabilitySet;
use rustix::thread::CapabilitySets;

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

fn number(pid: Pid) -> nix::Result<rustix::process::Pid> {
    rustix::process::Pid::from_raw(pid.as_raw()).ok_or(Errno::ESRCH)
}

/// A file descriptor that becomes readable when the process has ended.
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    rustix::process::pidfd_open(number(pid)?, PidfdFlags::empty()).map_err(errno)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// A signal ended it; any number, real-time signals too.
    Signaled(i32),
}

/// Waits for a child to end and leaves it a zombie, so that /proc still tells of it.
pub fn wait_without_reaping(pid: Pid) -> nix::Result<Ended> {
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let ended = rustix::process::waitid(WaitId::Pid(number(pid)?), how).map_err(errno)?;
    let ended = ended.ok_or(Errno::ECHILD)?;
    match (ended.exit_status(), ended.terminating_signal()) {
        (Some(status), _) => Ok(Ended::Exited(status)),
        (None, Some(signal)) => Ok(Ended::Signaled(signal)),
        (None, None) => Err(Errno::ECHILD),
    }
}

/// A detached copy of the mount that `directory` is the root of.
pub fn open_tree_clone(directory: &CStr) -> nix::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, directory, flags).map_err(errno)
}

/// Puts a detached mount on `directory`.
pub fn move_mount(mount: BorrowedFd<'_>, directory: &CStr) -> nix::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", CWD, directory, flags).map_err(errno)
}

/// Sets an extended attribute on a path whose last name is not followed.
pub fn set_attribute(path: &CStr, name: &CStr, value: &[u8]) -> nix::Result<()> {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).map_err(errno)
}

/// Leaves the process exactly these capabilities.
pub fn set_capabilities(kept: CapabilitySet) -> nix::Result<()> {
    let inheritable = CapabilitySet::empty();
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
    rustix::thread::set_capabilities(None, sets).map_err(errno)
}
