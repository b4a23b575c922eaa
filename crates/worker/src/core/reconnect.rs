//! When to dial again after the link was lost or refused.
//!
//! Doubling waits with full jitter (a random part of the wait, so that a fleet whose LB restarts
//! does not come back as one), bounded, and forgotten once a link has held for a while.

use std::time::Duration;

use super::Moment;

/// Bounds of the waits.
#[derive(Debug, Clone, Copy)]
pub struct ReconnectTerms {
    /// The first wait is at most this.
    pub wait_min: Duration,
    /// No wait is longer.
    pub wait_max: Duration,
    /// A link that held this long was a good one.
    pub good_after: Duration,
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
    pub fn down(&mut self, now: Moment, random: u64) -> Duration {
        let held = self.up_since.take().map(|since| now.saturating_sub(since));
        if held.is_some_and(|held| held >= self.terms.good_after) {
            self.failures = 0;
        }
        let most = self.terms.wait_min.saturating_mul(1 << self.failures.min(16));
        let most = most.min(self.terms.wait_max);
        self.failures = self.failures.saturating_add(1);
        // Half of it is certain, the other half is chance.
        let half = most / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(random % nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn terms() -> ReconnectTerms {
        ReconnectTerms {
            wait_min: Duration::from_millis(100),
            wait_max: Duration::from_secs(10),
            good_after: Duration::from_secs(30),
        }
    }

    #[test]
    fn a_link_that_held_is_dialled_again_soon() {
        let mut reconnect = Reconnect::new(terms());
        for _ in 0..20 {
            reconnect.down(Moment::ZERO, u64::MAX);
        }
        reconnect.up(Moment::from_secs(100));
        assert!(reconnect.down(Moment::from_secs(131), 7) <= Duration::from_millis(100));
    }

    #[test]
    fn a_link_that_broke_at_once_counts_as_a_failure() {
        let mut reconnect = Reconnect::new(terms());
        for _ in 0..20 {
            reconnect.up(Moment::ZERO);
            reconnect.down(Moment::from_secs(1), 0);
        }
        assert!(reconnect.down(Moment::ZERO, 0) >= Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_bounds(random in prop::collection::vec(any::<u64>(), 1..40)) {
            let mut reconnect = Reconnect::new(terms());
            let mut most = Duration::from_millis(100);
            for bits in random {
                let wait = reconnect.down(Moment::ZERO, bits);
                prop_assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
                most = (most * 2).min(Duration::from_secs(10));
            }
        }
    }
}
