//! The worker's clock over a job: the second of three (guest init's is the first, the LB's last).
//!
//! Guest init ends a job in time; this clock only exists for a guest that does not answer. It
//! grants the job's wall clock and, for what comes before and after it in the guest (mount,
//! unpack, start, collect), a grace that depends on how slow the guests of this worker are. It
//! never runs beyond the LB's deadline, so that a partial result still gets back in time.

use std::time::Duration;

use pe_proto::JobLimits;

/// What a job's guest may take beyond the job's own wall clock.
#[derive(Debug, Clone, Copy)]
pub struct ClockTerms {
    /// For mount, unpack, start and collect.
    pub grace: Duration,
    /// Kept of the LB's deadline for killing, checking and beginning to send.
    pub reserve: Duration,
}

impl ClockTerms {
    /// Time from waking the guest until it is killed, when `since_lease` of the deadline is gone.
    pub fn budget(
        &self,
        limits: &JobLimits,
        deadline: Duration,
        since_lease: Duration,
    ) -> Duration {
        let granted = Duration::from_millis(limits.wall_ms).saturating_add(self.grace);
        let left = deadline.saturating_sub(since_lease).saturating_sub(self.reserve);
        granted.min(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: ClockTerms =
        ClockTerms { grace: Duration::from_secs(5), reserve: Duration::from_millis(500) };

    fn check(wall_ms: u64, deadline_ms: u64, gone_ms: u64, expected_ms: u64) {
        let limits = JobLimits { wall_ms, ..JobLimits::default() };
        let budget = TERMS.budget(
            &limits,
            Duration::from_millis(deadline_ms),
            Duration::from_millis(gone_ms),
        );
        assert_eq!(budget, Duration::from_millis(expected_ms));
    }

    #[test]
    fn a_job_gets_its_wall_clock_and_the_grace() {
        check(10_000, 60_000, 100, 15_000);
    }

    #[test]
    fn the_lbs_deadline_less_the_reserve_ends_it_earlier() {
        check(10_000, 12_000, 1_000, 10_500);
    }

    #[test]
    fn a_deadline_that_is_gone_leaves_nothing() {
        check(10_000, 1_000, 900, 0);
        check(10_000, 0, 0, 0);
        check(u64::MAX, u64::MAX, 0, u64::MAX - 500);
    }
}
