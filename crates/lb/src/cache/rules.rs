//! What may be kept: only results that the same job would have again.

use pe_proto::Outcome;
use pe_proto::api::CachePolicy;

/// Why a result is kept by nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// Its client asked for that.
    Policy,
    /// It ended by a clock, for its memory, or it was not run to its end: the next time may be
    /// another.
    Outcome,
    /// Its worker's word does not count for others.
    Untrusted,
    /// An operator wanted it forgotten while it was run.
    Purged,
}

impl NotKept {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Policy, Self::Outcome, Self::Untrusted, Self::Purged];

    /// Label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Outcome => "outcome",
            Self::Untrusted => "untrusted",
            Self::Purged => "purged",
        }
    }
}

/// Whether a result may be kept.
///
/// A program that ended by itself within its limits is repeatable, and so is one whose output was
/// cut at a limit of bytes; what was cut by time is of an outcome that is never kept.
///
/// # Errors
/// It may not.
pub fn check(policy: CachePolicy, outcome: &Outcome) -> Result<(), NotKept> {
    match policy {
        CachePolicy::Use | CachePolicy::Refresh => {}
        CachePolicy::Off => return Err(NotKept::Policy),
    }
    if outcome.is_repeatable() { Ok(()) } else { Err(NotKept::Outcome) }
}

#[cfg(test)]
mod tests {
    use pe_proto::Fault;
    use pe_proto::outcome::Clock;

    use super::*;

    #[test]
    fn only_what_would_happen_again_is_kept() {
        let reason = String::new;
        let unrepeatable = [
            Outcome::TimedOut { clock: Clock::Guest },
            Outcome::TimedOut { clock: Clock::Worker },
            Outcome::TimedOut { clock: Clock::Lb },
            Outcome::OutOfMemory,
            Outcome::Refused { fault: Fault::Image, reason: reason() },
            Outcome::Lost { fault: Fault::Us, reason: reason() },
        ];
        for outcome in unrepeatable {
            assert_eq!(check(CachePolicy::Use, &outcome), Err(NotKept::Outcome), "{outcome:?}");
        }
        for outcome in [Outcome::Exited { code: 1 }, Outcome::Signaled { signal: 11 }] {
            assert_eq!(check(CachePolicy::Use, &outcome), Ok(()));
            assert_eq!(check(CachePolicy::Refresh, &outcome), Ok(()));
            assert_eq!(check(CachePolicy::Off, &outcome), Err(NotKept::Policy));
        }
    }
}
