//! What it means that a job's VM ended: the outcome when there is no answer, and the limits of
//! what a guest may say when there is one.

use pe_proto::outcome::{Clock, Fault};
use pe_proto::{Outcome, ResultMeta};

/// Why the worker stopped waiting for a guest. Whether there is an answer is not decided by this
/// but by what is in the io file once the VM is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The guest rang that it is done.
    Done,
    /// The guest rang that it cannot go on.
    Fault(String),
    /// The VMM ended by itself: the guest powered off, or somebody killed it.
    Exited,
    /// The worker's clock ran out.
    Clock,
    /// The VMM does not do what it is asked to.
    Broken(String),
}

impl Ending {
    /// All names.
    pub const NAMES: [&'static str; 5] = ["done", "fault", "exited", "clock", "broken"];

    /// Name, as in metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Fault(_) => "fault",
            Self::Exited => "exited",
            Self::Clock => "clock",
            Self::Broken(_) => "broken",
        }
    }

    /// The outcome of a job whose guest left no answer. `flaw` is what was wrong with an answer
    /// that is none.
    pub fn without_answer(&self, flaw: Option<&str>) -> Outcome {
        let lost = |reason: String| Outcome::Lost { fault: Fault::Us, reason };
        if let Some(flaw) = flaw {
            return lost(format!("the guest's answer cannot be read: {flaw}"));
        }
        match self {
            Self::Clock => Outcome::TimedOut { clock: Clock::Worker },
            Self::Done => lost("the guest said it was done and left no answer".to_owned()),
            Self::Fault(reason) => lost(format!("the guest could not go on: {reason}")),
            Self::Exited => lost("the VM ended before it answered".to_owned()),
            Self::Broken(reason) => lost(format!("the VM could not be used: {reason}")),
        }
    }
}

/// A guest's words, cut to their bounds and to what only a guest can know: the other two clocks
/// are not its to speak of.
pub fn sober(meta: ResultMeta) -> ResultMeta {
    let mut meta = meta.bounded();
    if let Outcome::TimedOut { clock } = &mut meta.outcome {
        *clock = Clock::Guest;
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_speak_for_another_clock() {
        for clock in [Clock::Guest, Clock::Worker, Clock::Lb] {
            let meta = ResultMeta::without_run(Outcome::TimedOut { clock });
            assert_eq!(sober(meta).outcome, Outcome::TimedOut { clock: Clock::Guest });
        }
    }

    #[test]
    fn every_ending_has_its_name_in_the_list() {
        let text = String::new;
        let all = [
            Ending::Done,
            Ending::Fault(text()),
            Ending::Exited,
            Ending::Clock,
            Ending::Broken(text()),
        ];
        assert_eq!(all.map(|ending| ending.as_str()), Ending::NAMES);
    }

    #[test]
    fn only_the_clock_makes_a_silent_guest_timed_out() {
        assert_eq!(Ending::Clock.without_answer(None), Outcome::TimedOut { clock: Clock::Worker });
        for ending in [Ending::Done, Ending::Exited, Ending::Fault("x".to_owned())] {
            assert!(matches!(ending.without_answer(None), Outcome::Lost { fault: Fault::Us, .. }));
        }
        assert!(matches!(Ending::Clock.without_answer(Some("bad")), Outcome::Lost { .. }));
    }
}
