//! How fast: waits that double after failures, and starts per second.

use std::time::Duration;

use crate::core::Moment;

/// Doubling waits. Nothing happens before [`Backoff::not_before`].
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    not_before: Moment,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0, not_before: Moment::ZERO }
    }

    /// Something failed. Returns when to try again.
    pub(super) fn failed(&mut self, now: Moment) -> Moment {
        let wait = self.min.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(wait.min(self.max));
        self.not_before
    }

    pub(super) fn worked(&mut self) {
        self.failures = 0;
        self.not_before = Moment::ZERO;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn not_before(&self) -> Moment {
        self.not_before
    }
}

/// At most one start per `every` in the long run, and `burst` of them at any one time: the
/// generic cell rate algorithm, which keeps one number.
#[derive(Debug)]
pub(super) struct Rate {
    every: Duration,
    tolerance: Duration,
    /// When all starts so far will have been paid for.
    paid_at: Moment,
}

impl Rate {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let every = Duration::from_secs(1) / per_second.max(1);
        Self { every, tolerance: every * burst.saturating_sub(1), paid_at: Moment::ZERO }
    }

    /// When the next start may be.
    pub(super) fn next(&self) -> Moment {
        self.paid_at.saturating_sub(self.tolerance)
    }

    pub(super) fn spend(&mut self, now: Moment) {
        self.paid_at = self.paid_at.max(now).saturating_add(self.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_of_time_sees_more_starts_than_burst_and_rate(
            per_second in 1u32..50,
            burst in 1u32..10,
            waits in prop::collection::vec(0u64..200, 1..200),
        ) {
            let mut rate = Rate::new(per_second, burst);
            let mut now = Moment::ZERO;
            let mut starts: Vec<Moment> = Vec::new();
            for wait in waits {
                now += Duration::from_millis(wait);
                if rate.next() <= now {
                    rate.spend(now);
                    starts.push(now);
                }
            }
            for (first, begin) in starts.iter().enumerate() {
                for (last, end) in starts.iter().enumerate().skip(first) {
                    let allowed = f64::from(burst) + (*end - *begin).as_secs_f64() * f64::from(per_second);
                    prop_assert!((last - first + 1) as f64 <= allowed + 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_rate_that_was_not_used_does_not_add_up() {
        let mut rate = Rate::new(10, 2);
        let now = Moment::from_secs(1000);
        rate.spend(now);
        assert!(rate.next() <= now);
        rate.spend(now);
        assert_eq!(rate.next(), now + Duration::from_millis(100));
    }
}
