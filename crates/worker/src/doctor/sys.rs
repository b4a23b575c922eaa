//! The doctor's one system call without a safe wrapper.

#![expect(unsafe_code, reason = "adjtimex has no safe wrapper")]

use nix::libc;

/// Whether the kernel believes its clock to be synchronised; `None` if it cannot be asked.
pub(super) fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: `timex` is plain integers, for which all zeros are valid.
    let mut asked: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live value of the type that the call fills; with `modes` of
    // zero it only reads.
    let state = unsafe { libc::adjtimex(&raw mut asked) };
    (state >= 0).then_some(state != libc::TIME_ERROR && asked.status & libc::STA_UNSYNC == 0)
}
