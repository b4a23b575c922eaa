//! How a job ended, from what was seen. Pure.

use pe_proto::Outcome;
use pe_proto::outcome::Clock;

use crate::calls::Ended;

/// What was seen of a program that ran.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// How its first process ended; `None` if it was never seen to end.
    pub ended: Option<Ended>,
    /// Whether the wall clock ran out first.
    pub out_of_time: bool,
    /// Processes that the kernel killed for memory.
    pub oom_kills: u64,
}

const SIGKILL: i32 = nix::libc::SIGKILL;

/// The outcome. Time comes first: what init kills has not ended by itself. A first process that
/// died of SIGKILL while the kernel was killing for memory died of that; one that outlived such
/// kills tells its own story.
pub fn judge(seen: Seen) -> Outcome {
    let Seen { ended, out_of_time, oom_kills } = seen;
    let Some(ended) = ended.filter(|_| !out_of_time) else {
        return Outcome::TimedOut { clock: Clock::Guest };
    };
    match ended {
        Ended::Signaled(SIGKILL) if oom_kills > 0 => Outcome::OutOfMemory,
        Ended::Signaled(signal) => Outcome::Signaled { signal: low_byte(signal) },
        Ended::Exited(code) => Outcome::Exited { code: low_byte(code) },
    }
}

/// The kernel keeps eight bits of a status and knows signals up to 64.
fn low_byte(number: i32) -> u8 {
    number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ended: Ended, out_of_time: bool, oom_kills: u64, outcome: Outcome) {
        assert_eq!(judge(Seen { ended: Some(ended), out_of_time, oom_kills }), outcome);
    }

    #[test]
    fn every_exit_status_and_signal_is_exact() {
        for code in 0..=255 {
            check(Ended::Exited(i32::from(code)), false, 0, Outcome::Exited { code });
        }
        for signal in 1..=64 {
            check(Ended::Signaled(i32::from(signal)), false, 0, Outcome::Signaled { signal });
        }
    }

    #[test]
    fn memory_is_to_blame_only_for_a_first_process_that_was_killed() {
        check(Ended::Signaled(9), false, 1, Outcome::OutOfMemory);
        check(Ended::Signaled(9), false, 0, Outcome::Signaled { signal: 9 });
        check(Ended::Exited(1), false, 3, Outcome::Exited { code: 1 });
        check(Ended::Signaled(11), false, 3, Outcome::Signaled { signal: 11 });
    }

    #[test]
    fn time_wins_over_everything() {
        let timed_out = Outcome::TimedOut { clock: Clock::Guest };
        check(Ended::Signaled(9), true, 5, timed_out.clone());
        check(Ended::Exited(0), true, 0, timed_out.clone());
        assert_eq!(judge(Seen { ended: None, out_of_time: false, oom_kills: 0 }), timed_out);
    }
}
