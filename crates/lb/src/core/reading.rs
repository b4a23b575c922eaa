//! Whether a client reads what it is owed.
//!
//! Looked at now and then: while something is owed, a client must take at least so many bytes in
//! each stretch of time. One that takes nothing is the same as one that takes a byte a second: it
//! holds an answer, and whatever that hangs on, for as long as it likes.

use std::time::Duration;

use super::moment::Moment;

/// What is asked of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The stretch of time.
    pub stretch: Duration,
    /// Bytes per second, on average over a stretch.
    pub rate_min: u64,
}

/// Of one connection.
#[derive(Debug, Default)]
pub struct Reading {
    /// Since when something is owed, and how much had been taken then.
    began: Option<(Moment, u64)>,
}

impl Reading {
    /// Looks. `taken` is all that the client ever took; returns whether it is too slow.
    pub fn is_too_slow(&mut self, terms: Terms, now: Moment, is_owed: bool, taken: u64) -> bool {
        if !is_owed {
            self.began = None;
            return false;
        }
        let (since, before) = *self.began.get_or_insert((now, taken));
        let stretch = now.since(since);
        if stretch < terms.stretch {
            return false;
        }
        self.began = Some((now, taken));
        let seconds = u64::try_from(stretch.as_millis()).unwrap_or(u64::MAX);
        let least = terms.rate_min.saturating_mul(seconds) / 1000;
        taken.saturating_sub(before) < least.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { stretch: Duration::from_secs(30), rate_min: 100 };

    /// Looks every five seconds; returns when it was too slow.
    fn check(owed_until: u64, rate: u64) -> Option<u64> {
        let mut reading = Reading::default();
        (0..=200).step_by(5).find(|at| {
            let now = Moment(Duration::from_secs(*at));
            reading.is_too_slow(TERMS, now, *at < owed_until, at * rate)
        })
    }

    #[test]
    fn a_client_that_takes_too_little_over_a_stretch_is_too_slow() {
        assert_eq!(check(1000, 0), Some(30));
        assert_eq!(check(1000, 99), Some(30));
        assert_eq!(check(1000, 100), None);
        assert_eq!(check(25, 0), None);
    }

    #[test]
    fn each_stretch_counts_for_itself() {
        let mut reading = Reading::default();
        let mut look =
            |at, taken| reading.is_too_slow(TERMS, Moment(Duration::from_secs(at)), true, taken);
        assert!(!look(0, 0));
        // What was taken fast before is no credit for later.
        assert!(!look(30, 1_000_000));
        assert!(look(60, 1_000_010));
    }
}
