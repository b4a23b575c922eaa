//! System calls of confined processes.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFilter {
    #[error("{0}")]
    Program(#[from] seccompiler::BackendError),
    #[error("{0}")]
    Kernel(#[from] seccompiler::Error),
}

/// All that our own work on a tree asks for: files by descriptor and name, memory, threads. What
/// is not here fails with EPERM: no program is run, nothing is mounted, nobody is talked to, and
/// nothing is opened by handle.
const ALLOWED: &[libc::c_long] = &[
    // Files and descriptors.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_futex,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    // Its own end, limits, time, chance.
    libc::SYS_clock_gettime,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
];

/// Calls that only some architectures have, for the same things.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_unlink,
];
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[libc::c_long] = &[libc::SYS_ppoll, libc::SYS_renameat];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ALLOWED_HERE: &[libc::c_long] = &[libc::SYS_ppoll];

/// Puts the list of what is allowed on this process, for ever.
pub(super) fn allow_work_on_files() -> Result<(), NoFilter> {
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let calls = ALLOWED.iter().chain(ALLOWED_HERE);
    let rules: BTreeMap<i64, _> = calls.map(|&call| (call, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into()?;
    let program: BpfProgram =
        SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
