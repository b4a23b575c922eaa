//! The system calls that no safe wrapper exists for: the only file of this crate with `unsafe`.
//!
//! Each function makes one call and checks its result; what it is used for is decided elsewhere.

#![expect(unsafe_code, reason = "each function wraps one system call and says why it is sound")]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::ForkResult;

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

/// Closes all descriptors from `first` to `last`, both included.
pub fn close_range(first: u32, last: u32) -> nix::Result<()> {
    // SAFETY: only forked children call this, before they go on with nothing but descriptors they
    // named; a value that owned a closed one is never used or dropped, since they end by `_exit`.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
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
