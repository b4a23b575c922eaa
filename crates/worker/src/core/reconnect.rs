//! When to dial again after the link was lost or refused.
//!
//! A load balancer that is gone is back in a moment, and then all its workers are wanted, though
//! not in the same moment: the first wait is chance alone, and later ones stay short for as long
//! as nobody answers there (a refused connection costs nobody anything). A load balancer that
//! answers and says no is asked ever less often. A link that held for a while forgets all that.

use std::time::Duration;

use super::Moment;

/// Bounds of the waits.
#[derive(Debug, Clone, Copy)]
pub struct ReconnectTerms {
    /// The first wait is at most this.
    pub wait_first: Duration,
    /// No wait is longer while nobody answers.
    pub wait_gone: Duration,
    /// No wait is longer.
    pub wait_max: Duration,
    /// A link that held this long was a good one.
    pub good_after: Duration,
}

/// How the link was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It broke, or nobody answered.
    Gone,
    /// The LB said no.
    Refused,
}

/// Counts failures in a row.
#[derive(Debug)]
pub struct Reconnect {
    terms: ReconnectTerms,
    failures: u32,
    up_since: Option<Moment>,
}

impl Reconnect {
    /// Nothing has failed yet.
    pub fn new(terms: ReconnectTerms) -> Self {
        Self { terms, failures: 0, up_since: None }
    }

    /// The LB said welcome.
    pub fn up(&mut self, now: Moment) {
        self.up_since = Some(now);
    }

    /// The link is gone, or could not be made. Returns how long to wait, given random bits.
    pub fn down(&mut self, lost: Lost, now: Moment, random: u64) -> Duration {
        let held = self.up_since.take().map(|since| now.saturating_sub(since));
        if held.is_some_and(|held| held >= self.terms.good_after) {
            self.failures = 0;
        }
        let most = match lost {
            Lost::Gone => self.terms.wait_gone,
            Lost::Refused => self.terms.wait_max,
        };
        let most = self.terms.wait_first.saturating_mul(1 << self.failures.min(16)).min(most);
        // Later waits are half certain, so that they do get longer.
        let certain = if self.failures == 0 { Duration::ZERO } else { most / 2 };
        self.failures = self.failures.saturating_add(1);
        let chance = u64::try_from((most - certain).as_nanos()).unwrap_or(u64::MAX).max(1);
        certain + Duration::from_nanos(random % chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{DIAL_AGAIN_FIRST, DIAL_AGAIN_GONE, DIAL_AGAIN_MAX, LINK_GOOD_AFTER};
    use proptest::prelude::*;

    fn terms() -> ReconnectTerms {
        ReconnectTerms {
            wait_first: DIAL_AGAIN_FIRST,
            wait_gone: DIAL_AGAIN_GONE,
            wait_max: DIAL_AGAIN_MAX,
            good_after: LINK_GOOD_AFTER,
        }
    }

    #[test]
    fn a_link_that_held_is_dialled_again_soon() {
        let mut reconnect = Reconnect::new(terms());
        for _ in 0..20 {
            reconnect.down(Lost::Refused, Moment::ZERO, u64::MAX);
        }
        reconnect.up(Moment::from_secs(100));
        let wait = reconnect.down(Lost::Gone, Moment::from_secs(131), 7);
        assert!(wait <= Duration::from_millis(1), "{wait:?}");
    }

    #[test]
    fn a_link_that_broke_at_once_counts_as_a_failure() {
        let mut reconnect = Reconnect::new(terms());
        for _ in 0..20 {
            reconnect.up(Moment::ZERO);
            reconnect.down(Lost::Refused, Moment::from_secs(1), 0);
        }
        let wait = reconnect.down(Lost::Refused, Moment::ZERO, 0);
        assert!(wait >= DIAL_AGAIN_MAX / 2, "{wait:?}");
    }

    /// However long it was gone: whoever waits when it is back, waits less than two seconds.
    #[test]
    fn workers_are_back_within_two_seconds_of_their_lb() {
        let mut reconnect = Reconnect::new(terms());
        for _ in 0..1_000 {
            let wait = reconnect.down(Lost::Gone, Moment::ZERO, u64::MAX);
            assert!(wait < Duration::from_secs(2), "{wait:?}");
        }
    }

    /// A thousand workers that lost the same LB: no tenth of a second has a fifth of them.
    #[test]
    fn workers_that_were_lost_together_do_not_come_back_together() {
        let mut buckets = [0; 10];
        for worker in 0..1_000_u64 {
            let random = worker.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let wait = Reconnect::new(terms()).down(Lost::Gone, Moment::ZERO, random);
            let tenth = wait.as_millis() * 10 / DIAL_AGAIN_FIRST.as_millis();
            buckets[usize::try_from(tenth).unwrap()] += 1;
        }
        assert!(buckets.iter().all(|count| *count < 200), "{buckets:?}");
    }

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_bounds(random in prop::collection::vec(any::<u64>(), 1..40)) {
            for (lost, bound) in [(Lost::Gone, DIAL_AGAIN_GONE), (Lost::Refused, DIAL_AGAIN_MAX)] {
                let mut reconnect = Reconnect::new(terms());
                let (mut least, mut most) = (Duration::ZERO, DIAL_AGAIN_FIRST);
                for bits in &random {
                    let wait = reconnect.down(lost, Moment::ZERO, *bits);
                    prop_assert!(wait >= least && wait <= most, "{wait:?} of {most:?}");
                    most = (most * 2).min(bound);
                    least = most / 2;
                }
            }
        }
    }
}
