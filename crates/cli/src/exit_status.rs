//! Exit statuses of `pe`: the program's own where there is one. Pure.
//!
//! The numbers are those of `timeout`, `docker run` and shells, so that scripts know them.

use pe_proto::{Fault, Outcome};

/// Mistake in the arguments or the input; nothing was sent.
pub const USAGE: u8 = 2;
/// `pe wait-ready` gave up.
pub const NOT_READY: u8 = 1;
/// `pe replay` found a difference (as `diff`).
pub const DIFFERENT: u8 = 1;
/// The time limit was reached (as `timeout`).
pub const TIMED_OUT: u8 = 124;
/// It did not run, or the result was lost or could not be kept (as `docker run`).
pub const FAILED: u8 = 125;
/// The command was not found (as shells).
pub const NOT_FOUND: u8 = 127;
/// Ended by a signal: this and its number (as shells).
pub const SIGNALED: u8 = 128;
/// Ctrl-C.
pub const CANCELLED: u8 = SIGNALED + 2;
/// Out of memory: as ended by SIGKILL.
pub const OUT_OF_MEMORY: u8 = SIGNALED + 9;

/// The status that stands for an outcome.
pub fn of_outcome(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Exited { code } => *code,
        Outcome::Signaled { signal } => SIGNALED.saturating_add(*signal),
        Outcome::TimedOut { .. } => TIMED_OUT,
        Outcome::OutOfMemory => OUT_OF_MEMORY,
        Outcome::Refused { fault, reason } if is_not_found(*fault, reason) => NOT_FOUND,
        Outcome::Refused { .. } | Outcome::Lost { .. } => FAILED,
    }
}

/// Whether a refusal says that there is no such command. The reason is a sentence for people;
/// a wrong guess changes 125 to 127 or back, nothing else.
fn is_not_found(fault: Fault, reason: &str) -> bool {
    let reason = reason.to_lowercase();
    let says_so = ["there is no program", "not found", "no such file"]
        .iter()
        .any(|words| reason.contains(words));
    matches!(fault, Fault::Client | Fault::Image) && says_so
}

#[cfg(test)]
mod tests {
    use pe_proto::outcome::Clock;

    use super::*;

    #[test]
    fn every_outcome_has_its_status() {
        let check = |outcome: Outcome, status: u8| assert_eq!(of_outcome(&outcome), status);
        for code in 0..=255 {
            check(Outcome::Exited { code }, code);
        }
        check(Outcome::Signaled { signal: 11 }, 139);
        check(Outcome::Signaled { signal: 64 }, 192);
        check(Outcome::Signaled { signal: 255 }, 255);
        for clock in [Clock::Guest, Clock::Worker, Clock::Lb] {
            check(Outcome::TimedOut { clock }, 124);
        }
        check(Outcome::OutOfMemory, 137);
        for fault in Fault::ALL {
            let refused = |reason: &str| Outcome::Refused { fault, reason: reason.into() };
            let found = matches!(fault, Fault::Client | Fault::Image);
            let status = if found { 127 } else { 125 };
            check(refused("there is no program `foo` in the image: check the name"), status);
            check(refused("executable file `foo` not found in $PATH"), status);
            check(refused("open /bin/foo: No such file or directory"), status);
            check(refused("/bin/foo: permission denied"), 125);
            check(Outcome::Lost { fault, reason: "the VM was not found".into() }, 125);
        }
    }
}
