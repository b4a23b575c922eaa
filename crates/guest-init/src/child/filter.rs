//! What a confined child may ask of the kernel: its own memory, files below its root, and the
//! descriptors it was left with.
//!
//! The list is short enough to be checked by eye. What is not on it fails with EPERM. Above all
//! `open_by_handle_at` is not: with the right to read everything, it would open files outside the
//! child's root. The program is fixed, so it is made here and needs no compiler.

use nix::libc::{self, sock_filter};

const ALLOWED: &[libc::c_long] = &[
    // Files and descriptors.
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_statx,
    libc::SYS_write,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Time, where the kernel has no faster way to tell it; seeds of hash tables; the end.
    libc::SYS_clock_gettime,
    libc::SYS_exit_group,
    libc::SYS_getrandom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
];

/// `AUDIT_ARCH_*` of what this was compiled for: calls of any other word size are none of ours.
const ARCH: u32 = if cfg!(target_arch = "aarch64") {
    0xC000_00B7
} else if cfg!(target_arch = "riscv64") {
    0xC000_00F3
} else {
    0xC000_003E
};

/// Offsets in `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();

/// The filter, as the kernel takes it.
pub(super) fn program() -> Vec<sock_filter> {
    let mut program = vec![
        step(LOAD, ARCH_AT, 0),
        step(IF_EQUAL, ARCH, 1),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0),
        step(LOAD, NUMBER_AT, 0),
    ];
    for &number in ALLOWED {
        // Over the refusal that follows if it is another call.
        program.push(step(IF_EQUAL, u32::try_from(number).unwrap_or(u32::MAX), 0));
        program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0));
    }
    program.push(step(RETURN, REFUSE, 0));
    // A comparison that fails skips the one instruction behind it.
    for instruction in program.iter_mut().skip(4) {
        instruction.jf = u8::from(u32::from(instruction.code) == IF_EQUAL);
    }
    program
}

fn step(code: u32, value: u32, if_true: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt: if_true, jf: 0, k: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with a call.
    fn verdict(arch: u32, number: libc::c_long) -> u32 {
        let program = program();
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) {
                LOAD if step.k == ARCH_AT => loaded = arch,
                LOAD => loaded = u32::try_from(number).unwrap(),
                IF_EQUAL => at += usize::from(if loaded == step.k { step.jt } else { step.jf }),
                RETURN => return step.k,
                code => panic!("{code}"),
            }
        }
    }

    #[test]
    fn what_is_listed_is_allowed_and_nothing_else() {
        for number in 0..1000 {
            let allowed = verdict(ARCH, number) == libc::SECCOMP_RET_ALLOW;
            assert_eq!(allowed, ALLOWED.contains(&number), "{number}");
        }
        assert_eq!(verdict(ARCH, libc::SYS_open_by_handle_at), REFUSE);
    }

    #[test]
    fn another_word_size_is_deadly() {
        assert_eq!(verdict(0x4000_0003, libc::SYS_read), libc::SECCOMP_RET_KILL_PROCESS);
        // The x32 flavour of `read` has the right architecture and another number.
        assert_eq!(verdict(ARCH, 0x4000_0000), REFUSE);
    }
}
