//! Which system calls a job may make.
//!
//! An allow list: what is not named fails. What we know and refuse fails with EPERM, so that a
//! program can tell "not allowed" from "not there"; a kind of socket that we do not have fails as
//! on a kernel without it; what we do not know (newer kernels) fails with ENOSYS, which C libraries
//! answer by using what they used before. `clone3` is among these: its flags lie behind a pointer
//! where no filter can see them, and C libraries fall back to `clone`.
//!
//! The list grew from the question what compilers, interpreters, shells, debuggers and servers on
//! the loopback need. It is modelled on the defaults that container engines share, but stricter:
//! no keyrings, no io_uring, no memory policies, no new namespaces, no foreign word sizes.

use serde_json::{Value, json};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EPROTONOSUPPORT: u32 = 93;
const EAFNOSUPPORT: u32 = 97;

/// Files and directories.
const FILES: &str = "
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat
    faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
    fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate
    futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek
    lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv
    preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename
    renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat sync
    sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice
    write writev";

/// Memory of the caller's own.
const MEMORY: &str = "
    brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync
    munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages";

/// Processes, threads, who they are, and debugging one's own: nobody else's are in sight.
const PROCESSES: &str = "
    arch_prctl capget capset execve execveat exit exit_group fork get_robust_list get_thread_area
    getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid
    getresuid getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal
    prctl prlimit64 process_mrelease process_vm_readv process_vm_writev ptrace restart_syscall
    riscv_flush_icache rseq sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
    set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority
    setregid setresgid setresuid setreuid setrlimit setsid setuid sysinfo tgkill times tkill uname
    vfork wait4 waitid";

/// Signals and time; nothing that sets a clock.
const SIGNALS_AND_TIME: &str = "
    alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4 time timer_create
    timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
    timerfd_settime";

/// Talking to other processes and waiting for them; the network is the loopback.
const TALKING: &str = "
    accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2
    epoll_wait eventfd eventfd2 futex futex_waitv getpeername getrandom getsockname getsockopt
    io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit listen mq_getsetattr
    mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd pipe
    pipe2 poll ppoll pselect6 recvfrom recvmmsg recvmsg select semctl semget semop semtimedop
    sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketpair";

/// Known and refused: ways to more privilege, to the kernel, or to other parts of the machine.
const REFUSED: &str = "
    _sysctl acct add_key adjtimex bpf chroot clock_adjtime clock_settime create_module
    delete_module fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick
    get_kernel_syms get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup
    ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind memfd_secret
    migrate_pages modify_ldt mount mount_setattr move_mount move_pages name_to_handle_at
    nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise
    query_module quotactl quotactl_fd reboot request_key set_mempolicy set_mempolicy_home_node
    setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog umount umount2
    unshare uselib userfaultfd ustat vhangup vm86 vm86old";

/// All `CLONE_NEW*` flags: processes and threads may be made, namespaces may not.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// Families that lead nowhere but to this container.
const LOCAL_FAMILIES: [u64; 3] = [1, 2, 10]; // AF_UNIX, AF_INET, AF_INET6
const AF_NETLINK: u64 = 16;
const NETLINK_ROUTE: u64 = 0;

/// `personality` arguments: Linux with and without random addresses (debuggers, compilers), its
/// 32-bit and 2.6 flavours of `uname`, and the question which one is set.
const PERSONALITIES: [u64; 6] = [0, 0x0004_0000, 8, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

fn names(list: &str) -> Vec<&str> {
    list.split_ascii_whitespace().collect()
}

/// The profile as the runtime reads it. `architecture` is as `uname -m` names it; calls of any
/// other word size kill the caller.
pub fn profile(architecture: &str) -> Value {
    let lists = [FILES, MEMORY, PROCESSES, SIGNALS_AND_TIME, TALKING];
    let allowed: Vec<&str> = lists.into_iter().flat_map(names).collect();
    let mut rules = vec![
        rule(&allowed, &[]),
        json!({"names": names(REFUSED), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}),
        rule(&["clone"], &[masked(0, NEW_NAMESPACES, 0)]),
        rule(&["socket"], &[compare(0, "EQ", AF_NETLINK), compare(2, "EQ", NETLINK_ROUTE)]),
    ];
    rules.extend(LOCAL_FAMILIES.map(|family| rule(&["socket"], &[compare(0, "EQ", family)])));
    rules.extend(PERSONALITIES.map(|value| rule(&["personality"], &[compare(0, "EQ", value)])));
    rules.extend(refused_clones());
    rules.extend(refused_sockets());
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": [scmp_architecture(architecture)],
        "syscalls": rules,
    })
}

/// The calls of `clone` that are not allowed: one rule for each flag, since a filter can compare
/// for "all of these bits", not for "any".
fn refused_clones() -> impl Iterator<Item = Value> {
    let flags = (0..u64::BITS).map(|bit| 1 << bit).filter(|flag| NEW_NAMESPACES & flag != 0);
    flags.map(|flag| refusal("clone", EPERM, &[masked(0, flag, flag)]))
}

/// The kinds of socket that are not allowed: all families up to the last that is, less those that
/// are, and all beyond.
fn refused_sockets() -> impl Iterator<Item = Value> {
    let others = (0..AF_NETLINK).filter(|family| !LOCAL_FAMILIES.contains(family));
    let refuse = |errno, argument| refusal("socket", errno, &[argument]);
    let netlink = [compare(0, "EQ", AF_NETLINK), compare(2, "NE", NETLINK_ROUTE)];
    others
        .map(move |family| refuse(EAFNOSUPPORT, compare(0, "EQ", family)))
        .chain([refuse(EAFNOSUPPORT, compare(0, "GT", AF_NETLINK))])
        .chain([refusal("socket", EPROTONOSUPPORT, &netlink)])
}

/// A rule that allows calls whose arguments are as told.
fn rule(names: &[&str], arguments: &[Value]) -> Value {
    json!({"names": names, "action": "SCMP_ACT_ALLOW", "args": arguments})
}

/// A rule that lets calls whose arguments are as told fail.
fn refusal(name: &str, errno: u32, arguments: &[Value]) -> Value {
    json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": arguments})
}

fn compare(index: u32, how: &str, value: u64) -> Value {
    json!({"index": index, "value": value, "valueTwo": 0, "op": format!("SCMP_CMP_{how}")})
}

/// That of the bits in `mask`, exactly those in `value` are set.
fn masked(index: u32, mask: u64, value: u64) -> Value {
    json!({"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"})
}

fn scmp_architecture(architecture: &str) -> &'static str {
    match architecture {
        "aarch64" => "SCMP_ARCH_AARCH64",
        "riscv64" => "SCMP_ARCH_RISCV64",
        _ => "SCMP_ARCH_X86_64",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_list_is_sorted_and_no_call_is_in_two() {
        let mut seen = BTreeSet::new();
        for list in [FILES, MEMORY, PROCESSES, SIGNALS_AND_TIME, TALKING, REFUSED] {
            let list = names(list);
            assert!(list.is_sorted(), "{list:?}");
            for name in list {
                assert!(seen.insert(name), "{name} is in two lists");
            }
        }
        for conditional in ["clone", "socket", "personality", "clone3"] {
            assert!(!seen.contains(&conditional));
        }
    }

    #[test]
    fn what_must_never_be_allowed_is_not() {
        let profile = profile("x86_64");
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let allowed: BTreeSet<&str> = profile["syscalls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
            .flat_map(|rule| rule["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap())
            .collect();
        for name in ["bpf", "mount", "io_uring_setup", "keyctl", "userfaultfd", "kexec_load"] {
            assert!(!allowed.contains(name), "{name}");
        }
        for name in ["init_module", "perf_event_open", "unshare", "setns", "clone3"] {
            assert!(!allowed.contains(name), "{name}");
        }
    }

    /// What the rules for a call with these arguments come to: the action of each that fits.
    fn fitting(name: &str, arguments: [u64; 3]) -> Vec<Value> {
        let fits = |argument: &Value| {
            let number = |key: &str| argument[key].as_u64().unwrap();
            let actual = arguments[usize::try_from(number("index")).unwrap()];
            match argument["op"].as_str().unwrap() {
                "SCMP_CMP_EQ" => actual == number("value"),
                "SCMP_CMP_NE" => actual != number("value"),
                "SCMP_CMP_GT" => actual > number("value"),
                "SCMP_CMP_MASKED_EQ" => actual & number("value") == number("valueTwo"),
                other => panic!("{other}"),
            }
        };
        let rules = profile("x86_64")["syscalls"].as_array().unwrap().clone();
        let named = rules.into_iter().filter(|rule| {
            rule["names"].as_array().unwrap().contains(&json!(name))
                && rule["args"].as_array().unwrap().iter().all(fits)
        });
        named.map(|rule| rule.get("errnoRet").cloned().unwrap_or(Value::Null)).collect()
    }

    #[test]
    fn a_socket_is_local_or_of_a_kind_that_is_not_there() {
        for family in 0..50 {
            let errnos = fitting("socket", [family, 0, 0]);
            let local = [1, 2, 10, 16].contains(&family);
            assert_eq!(errnos, [if local { Value::Null } else { json!(97) }], "{family}");
        }
        assert_eq!(fitting("socket", [16, 0, 9]), [json!(93)]);
    }

    #[test]
    fn a_clone_that_makes_a_namespace_is_not_permitted() {
        const CLONE_THREAD: u64 = 0x0001_0000;
        assert_eq!(fitting("clone", [CLONE_THREAD, 0, 0]), [Value::Null]);
        for flag in [0x0002_0000, 0x0200_0000, 0x1000_0000, 0x4000_0000] {
            assert_eq!(fitting("clone", [flag | CLONE_THREAD, 0, 0]), [json!(1)], "{flag:#x}");
        }
    }

    #[test]
    fn each_architecture_allows_only_its_own_calls() {
        assert_eq!(profile("x86_64")["architectures"], json!(["SCMP_ARCH_X86_64"]));
        assert_eq!(profile("aarch64")["architectures"], json!(["SCMP_ARCH_AARCH64"]));
        assert_eq!(profile("riscv64")["architectures"], json!(["SCMP_ARCH_RISCV64"]));
    }
}
