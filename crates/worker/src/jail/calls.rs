//! System calls that no VMM has a use for: refused to all that the calling thread starts.
//!
//! VMMs bring filters of their own, and those are lists of what is allowed, made for each thread.
//! This one is under them: it is there from the first instruction of a VMM's first thread on (of
//! which cloud-hypervisor's has no filter), and it does not depend on what a VMM thinks it needs.
//! It takes away ways into the kernel that a process without privileges still has, or would have
//! again if it found some: mounts, namespaces, tracing, modules, keys, handles, clocks.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFilter {
    #[error("{0}")]
    Program(#[from] seccompiler::BackendError),
    #[error("{0}")]
    Kernel(#[from] seccompiler::Error),
}

/// Refused with EPERM whatever the arguments.
const REFUSED: &[libc::c_long] = &[
    // Mounts and roots.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_umount2,
    // Namespaces; `clone` with their flags is below.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Code in the kernel, and what is so rich that it might as well be.
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_perf_event_open,
    // Files by handle lead out of any root.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Keys.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // The machine: its clocks, names, log, swap, accounts, end.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// The same, where there are such calls.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] =
    &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_kexec_file_load, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[libc::SYS_kexec_file_load];

/// Calls of the x32 flavour have the same architecture and numbers from here on: all that are
/// known, 0 to 547, are refused, as nothing of ours is built so.
#[cfg(target_arch = "x86_64")]
const X32: std::ops::Range<i64> = 0x4000_0000..0x4000_0000 + 548;
#[cfg(not(target_arch = "x86_64"))]
const X32: std::ops::Range<i64> = 0..0;

/// Flags of `clone` that make a namespace.
const NAMESPACES: libc::c_int = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// Puts the filter on the calling thread and all it starts, for ever.
///
/// # Errors
/// The kernel does not have filters.
pub(super) fn refuse() -> Result<(), NoFilter> {
    // Its flags are behind a pointer, where a filter cannot look. Whoever is told that there is
    // no such call uses `clone`.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    seccompiler::apply_filter(&program(clone3, libc::ENOSYS)?)?;
    seccompiler::apply_filter(&program(refused()?, libc::EPERM)?)?;
    Ok(())
}

fn refused() -> Result<BTreeMap<i64, Vec<SeccompRule>>, NoFilter> {
    let whole = REFUSED.iter().chain(REFUSED_HERE).copied().chain(X32);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        whole.map(|number| (number, Vec::new())).collect();
    let mut of_clone = Vec::new();
    // One rule for each flag: a masked comparison holds only if all bits of its mask are set.
    for flag in (0..32).map(|bit| 1_u64 << bit) {
        if u64::from(NAMESPACES.unsigned_abs()) & flag != 0 {
            let set = SeccompCmpOp::MaskedEq(flag);
            let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, set, flag)?;
            of_clone.push(SeccompRule::new(vec![condition])?);
        }
    }
    rules.insert(libc::SYS_clone, of_clone);
    Ok(rules)
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    error: libc::c_int,
) -> Result<BpfProgram, NoFilter> {
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::errno::Errno;
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn what_a_vmm_has_no_use_for_is_refused_and_the_rest_goes_on() {
        // Filters are a thread's and of those that it starts; the test's own thread has none.
        let seen = thread::spawn(|| {
            refuse().expect("filter");
            let refused = unshare(CloneFlags::empty());
            // A thread of it: `clone3` is said not to be there, and `clone` is used.
            let child = thread::spawn(|| unshare(CloneFlags::empty())).join().expect("thread");
            let program = std::process::Command::new("/bin/true").status().expect("program");
            (refused, child, program.success())
        });
        let (refused, of_child, ran) = seen.join().expect("thread");
        assert_eq!((refused, of_child), (Err(Errno::EPERM), Err(Errno::EPERM)));
        assert!(ran);
        assert_eq!(unshare(CloneFlags::empty()), Ok(()));
    }

    #[test]
    fn each_flag_that_makes_a_namespace_is_looked_for() {
        let rules = refused().expect("rules");
        let of_clone = rules.get(&libc::SYS_clone).expect("clone");
        assert_eq!(of_clone.len(), usize::try_from(NAMESPACES.count_ones()).expect("few"));
    }
}
