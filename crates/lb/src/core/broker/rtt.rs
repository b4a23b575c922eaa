//! How long a worker takes to show that a lease reached it: the smoothed time and its spread, as
//! TCP keeps them for its retransmissions (RFC 6298).

use std::time::Duration;

use super::terms::HedgeTerms;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rtt(Option<Times>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    smoothed: Duration,
    spread: Duration,
}

impl Rtt {
    /// A sign came after this long.
    pub(super) fn heard(&mut self, took: Duration) {
        self.0 = Some(match self.0 {
            None => Times { smoothed: took, spread: took / 2 },
            Some(Times { smoothed, spread }) => Times {
                smoothed: smoothed / 8 * 7 + took / 8,
                spread: spread / 4 * 3 + smoothed.abs_diff(took) / 4,
            },
        });
    }

    /// The smoothed time, once there was a sign.
    pub(super) fn smoothed(self) -> Option<Duration> {
        self.0.map(|times| times.smoothed)
    }

    /// How long to wait for a sign: twice what TCP would, as a lease that is sent again costs a
    /// VM and not a packet.
    pub(super) fn patience(self, terms: &HedgeTerms) -> Duration {
        match self.0 {
            None => terms.wait_first,
            Some(Times { smoothed, spread }) => {
                let wait = smoothed.saturating_add(spread * 4) * 2;
                wait.clamp(terms.wait_min, terms.wait_max)
            }
        }
    }
}

/// What hedges may cost: a share of all leases, and a few at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Hundredths of a hedge.
    credit: u32,
    percent: u32,
    most: u32,
}

const WHOLE: u32 = 100;

impl Budget {
    pub(super) fn new(terms: &HedgeTerms) -> Self {
        let most = WHOLE * u32::from(terms.burst);
        Self { credit: most, percent: terms.percent.into(), most }
    }

    /// A job was leased.
    pub(super) fn earn(&mut self) {
        self.credit = (self.credit + self.percent).min(self.most);
    }

    /// Whether one may be made now; it is counted.
    pub(super) fn spend(&mut self) -> bool {
        let is_there = self.percent > 0 && self.credit >= WHOLE;
        if is_there {
            self.credit -= WHOLE;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> HedgeTerms {
        let ms = Duration::from_millis;
        HedgeTerms {
            percent: 5,
            burst: 2,
            wait_first: ms(1000),
            wait_min: ms(100),
            wait_max: ms(5000),
        }
    }

    #[test]
    fn patience_follows_the_times_of_a_worker_within_its_bounds() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.patience(&terms()).as_millis(), 1000, "nothing is known");
        for _ in 0..64 {
            rtt.heard(Duration::from_millis(1));
        }
        assert_eq!(rtt.patience(&terms()).as_millis(), 100, "never below the least");
        for _ in 0..64 {
            rtt.heard(Duration::from_millis(200));
        }
        let far = rtt.patience(&terms()).as_millis();
        assert!((390..450).contains(&far), "{far}: twice the round trip once it is steady");
        rtt.heard(Duration::from_secs(4));
        assert!(rtt.patience(&terms()).as_millis() > 1500, "one late sign makes for patience");
        for _ in 0..64 {
            rtt.heard(Duration::from_secs(60));
        }
        assert_eq!(rtt.patience(&terms()).as_millis(), 5000);
    }

    #[test]
    fn hedges_are_a_share_of_leases_and_a_few() {
        let mut budget = Budget::new(&terms());
        assert!(budget.spend() && budget.spend() && !budget.spend(), "the few");
        let mut made = 0;
        for _ in 0..1000 {
            budget.earn();
            made += u32::from(budget.spend());
        }
        assert_eq!(made, 50);
        let mut never = Budget::new(&HedgeTerms { percent: 0, ..terms() });
        assert!(!never.spend());
    }
}
