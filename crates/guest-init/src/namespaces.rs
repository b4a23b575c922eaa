//! The container's namespaces, made before there is a job.
//!
//! ```text
//!  init ─ fork ─► middle: new user namespace ──── init maps its ids
//!                 middle: new network, ipc, uts; loopback up; new pid namespace for its children
//!                 middle ─ fork ─► keeper: first process of the pid namespace
//!                 middle says the keeper's pid and exits
//! ```
//! The keeper holds them open and is what a first process has to be: it reaps orphans and ignores
//! signals, so that the job's own program need not. A program that were the first process itself
//! would not die of `abort()` or `SIGTERM` as it does everywhere else. The runtime joins these
//! namespaces and makes only those that differ for each job.
//!
//! The same user namespace gives the image's mounts their ids; see [`crate::packs`].

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, chdir, chroot, pipe2, read, setgroups, setresgid, setresuid, write,
};

use crate::boot::EMPTY;
use crate::calls::{self, CapabilitySet};
use crate::child::reap;
use crate::limits::{FIRST_ID, IDS};
use crate::sys;

/// The kinds that are made here, as the runtime names them and as /proc names them.
pub const KINDS: [(&str, &str); 5] =
    [("user", "user"), ("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")];

/// The process that keeps the namespaces.
#[derive(Debug, Clone, Copy)]
pub struct Keeper {
    pid: Pid,
}

impl Keeper {
    /// Makes the namespaces and the process in them.
    pub fn start() -> io::Result<Self> {
        let (said_read, said_write) = pipe2(OFlag::O_CLOEXEC)?;
        let (mapped_read, mapped_write) = pipe2(OFlag::O_CLOEXEC)?;
        match sys::fork()? {
            ForkResult::Child => {
                drop((said_read, mapped_write));
                sys::exit_now(i32::from(middle(&said_write, &mapped_read).is_err()))
            }
            ForkResult::Parent { child } => {
                drop((said_write, mapped_read));
                let pid = accompany(child, &said_read, &mapped_write);
                // Ends a middle process that still waits.
                drop(mapped_write);
                reap(child)?;
                Ok(Self { pid: pid? })
            }
        }
    }

    /// Path of one of its namespaces.
    pub fn namespace(self, kind: &str) -> String {
        format!("/proc/{}/ns/{kind}", self.pid)
    }

    /// Its user namespace, to map mounts with.
    pub fn user_namespace(self) -> io::Result<OwnedFd> {
        let path = self.namespace("user");
        Ok(open(Path::new(&path), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
    }
}

/// Init's part: maps the ids when the namespace is there, then learns the keeper's pid.
fn accompany(middle: Pid, said: &OwnedFd, mapped: &OwnedFd) -> io::Result<Pid> {
    let mut number = [0; 4];
    expect(said, &mut number)?;
    let map = format!("0 {FIRST_ID} {IDS}\n");
    fs::write(format!("/proc/{middle}/uid_map"), &map)?;
    fs::write(format!("/proc/{middle}/gid_map"), &map)?;
    write(mapped, &[0])?;
    expect(said, &mut number)?;
    Ok(Pid::from_raw(i32::from_le_bytes(number)))
}

/// Reads a number that is written in one piece; its absence means that the writer gave up.
fn expect(pipe: &OwnedFd, number: &mut [u8; 4]) -> io::Result<()> {
    if read(pipe, number)? == number.len() {
        Ok(())
    } else {
        Err(io::Error::other("the kernel refused a namespace"))
    }
}

fn middle(said: &OwnedFd, mapped: &OwnedFd) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    write(said, &[0; 4])?;
    if read(mapped, &mut [0])? != 1 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    unshare(
        CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWPID,
    )?;
    sys::loopback_up()?;
    match sys::fork()? {
        ForkResult::Child => sys::exit_now(i32::from(keep().is_err())),
        ForkResult::Parent { child } => {
            write(said, &child.as_raw().to_le_bytes())?;
            Ok(())
        }
    }
}

const NOBODY: u32 = 65_534;

/// The keeper: gives up all it has, then sleeps for ever. Children that are given to it when
/// their parents die are reaped by the kernel, because it ignores their end.
fn keep() -> nix::Result<()> {
    sys::ignore_child_ends()?;
    sys::close_range(0, u32::MAX)?;
    chroot(EMPTY)?;
    chdir("/")?;
    prctl::set_name(c"pe-keeper")?;
    setgroups(&[])?;
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    calls::set_capabilities(CapabilitySet::empty())?;
    prctl::set_dumpable(false)?;
    SigSet::all().thread_block()?;
    loop {
        nix::unistd::pause();
    }
}
