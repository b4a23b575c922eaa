//! The system calls that no safe wrapper exists for: the only file of this crate with `unsafe`.
//!
//! Each function makes one call and checks its result; what it is used for is decided elsewhere.

#![expect(unsafe_code, reason = "each function wraps one system call and says why it is sound")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{ForkResult, Pid};

/// Forks. The child goes on with a copy of everything.
pub fn fork() -> nix::Result<ForkResult> {
    // SAFETY: this program never starts a thread, so no lock can be held by a thread that the
    // child lacks, and the child may do all that the parent may.
    unsafe { nix::unistd::fork() }
}

/// Ends this process at once; nothing is flushed and no destructor runs.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes a number and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// A file descriptor that becomes readable when the process has ended.
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: both arguments are numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    owned(fd)
}

/// A detached copy of the mount that `directory` is the root of.
pub fn open_tree_clone(directory: &CStr) -> nix::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is a valid C string that outlives the call; the rest are numbers.
    let fd =
        unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, directory.as_ptr(), flags) };
    owned(fd)
}

/// Makes a detached mount show its files with their ids mapped as in a user namespace.
pub fn mount_map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> nix::Result<()> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(user_namespace.as_raw_fd()).map_err(|_| Errno::EBADF)?,
    };
    // SAFETY: the path is an empty C string, `attr` is a live struct of the length given, and the
    // kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Puts a detached mount on `directory`.
pub fn move_mount(mount: BorrowedFd<'_>, directory: &CStr) -> nix::Result<()> {
    // SAFETY: both paths are valid C strings that outlive the call; the rest are numbers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            directory.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(result).map(drop)
}

/// Sets an extended attribute on a path whose last name is not followed.
pub fn set_attribute(path: &CStr, name: &CStr, value: &[u8]) -> nix::Result<()> {
    // SAFETY: both strings are valid C strings, `value` is a live slice of the length given, and
    // the kernel only reads them.
    let result = unsafe {
        libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    Errno::result(result).map(drop)
}

/// What `RNDADDENTROPY` takes: `struct rand_pool_info` with room for one job's entropy.
#[repr(C)]
struct RandPoolInfo {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    pool: [u8; 64],
}

const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

/// Mixes bytes into the kernel's pool and credits them as random.
pub fn add_entropy(random: BorrowedFd<'_>, entropy: &[u8; 64]) -> nix::Result<()> {
    let info = RandPoolInfo { entropy_bits: 512, bytes: 64, pool: *entropy };
    // SAFETY: `info` is laid out as the kernel expects and states its own length truthfully; the
    // kernel only reads it.
    let result = unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const info) };
    Errno::result(result).map(drop)
}

/// Makes the kernel's generator take a new key from its pool now.
pub fn reseed_random(random: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: this request takes no argument.
    let result = unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG) };
    Errno::result(result).map(drop)
}

/// Brings the loopback interface of this network namespace up.
pub fn loopback_up() -> nix::Result<()> {
    #[repr(C)]
    struct InterfaceFlags {
        name: [u8; 16],
        flags: libc::c_short,
        rest: [u8; 22],
    }
    let mut request = InterfaceFlags {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: UP_AND_RUNNING,
        rest: [0; 22],
    };
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: `request` is as large as a `struct ifreq` and begins like one; it outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    Errno::result(result).map(drop)
}

const UP_AND_RUNNING: libc::c_short = 0x1 | 0x40;

/// Makes the kernel reap this process's children by itself.
pub fn ignore_child_ends() -> nix::Result<()> {
    // SAFETY: ignoring a signal installs no handler.
    let previous = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    if previous == libc::SIG_ERR { Err(Errno::last()) } else { Ok(()) }
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
    let id = u32::try_from(pid.as_raw()).map_err(|_| Errno::ESRCH)?;
    // SAFETY: `siginfo_t` is plain numbers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is a live `siginfo_t` that the kernel fills in.
    let result =
        unsafe { libc::waitid(libc::P_PID, id, &raw mut info, libc::WEXITED | libc::WNOWAIT) };
    Errno::result(result)?;
    // SAFETY: `waitid` succeeded, so `info` describes a child, for which this field is set.
    let status = unsafe { info.si_status() };
    Ok(if info.si_code == libc::CLD_EXITED {
        Ended::Exited(status)
    } else {
        Ended::Signaled(status)
    })
}

/// Closes all descriptors from `first` to `last`, both included.
pub fn close_range(first: u32, last: u32) -> nix::Result<()> {
    // SAFETY: only forked children call this, before they go on with nothing but descriptors they
    // named; a value that owned a closed one is never used or dropped, since they end by `_exit`.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    Errno::result(result).map(drop)
}

/// Leaves the process exactly these capabilities, as a bit mask of the first 32.
pub fn set_capabilities(mask: u32) -> nix::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Set {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let none = Set { effective: 0, permitted: 0, inheritable: 0 };
    let sets = [Set { effective: mask, permitted: mask, inheritable: 0 }, none];
    // SAFETY: header and both sets are laid out as version 3 of the interface says and outlive
    // the call, which only reads them.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Puts a filter on the system calls of this process, for good. Needs `no_new_privs`.
pub fn filter_calls(program: &[libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        // The kernel copies it and writes nothing.
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `program` points to as many live instructions as it says, which the kernel copies
    // before the call returns.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    Errno::result(result).map(drop)
}

fn owned(fd: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just returned this descriptor to us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
