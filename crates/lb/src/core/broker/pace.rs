//! How fast slots come free: what the estimate of a wait is made of.
//!
//! For each kind of job it is known how many are leased now, and how long leases took lately
//! until their result began. Together they say how many end in a second (Little's law: what is
//! under way, divided by how long it is under way), without counting on what workers announce.
//! Nobody is turned away by what few leases said, nor by what is left under way after some were
//! lost: their slots mostly come back, sooner than the estimate learns of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::ids::Fit;
use crate::limits::{PACE_ENDS_MIN, PACES_MAX};

/// See the module. Sorted, so that sums come out the same each time.
#[derive(Debug, Default)]
pub(super) struct Pace(BTreeMap<Fit, Lately>);

#[derive(Debug, Clone, Copy, Default)]
struct Lately {
    leased: u32,
    /// A moving average: an eighth of it is the last lease.
    service: Option<Duration>,
    /// How many ended since one was lost.
    ends: u32,
}

impl Pace {
    /// A job was leased.
    pub(super) fn begin(&mut self, fit: Fit) {
        if self.0.len() >= PACES_MAX && !self.0.contains_key(&fit) {
            self.0.retain(|_, lately| lately.leased > 0);
        }
        self.0.entry(fit).or_default().leased += 1;
    }

    /// A lease ended; if with a result, or by our clock, after `served`.
    pub(super) fn end(&mut self, fit: Fit, served: Option<Duration>) {
        let Some(lately) = self.0.get_mut(&fit) else {
            return;
        };
        lately.leased = lately.leased.saturating_sub(1);
        if let Some(served) = served {
            let average = lately.service.map(|service| (service * 7 + served) / 8);
            lately.service = Some(average.unwrap_or(served));
            lately.ends = lately.ends.saturating_add(1);
        }
    }

    /// A lease ended with its worker or its slot.
    pub(super) fn lose(&mut self, fit: Fit) {
        self.end(fit, None);
        if let Some(lately) = self.0.get_mut(&fit) {
            lately.ends = 0;
        }
    }

    /// Whether enough is known for somebody to be turned away by [`Pace::wait`].
    pub(super) fn is_sure(&self, kinds: impl Fn(Fit) -> bool) -> bool {
        let counts = |(fit, lately): &(&Fit, &Lately)| lately.leased > 0 && kinds(**fit);
        let ends = self.0.iter().filter(counts).map(|(_, lately)| u64::from(lately.ends));
        ends.sum::<u64>() >= PACE_ENDS_MIN
    }

    /// How long jobs of a kind took lately.
    pub(super) fn service(&self, fit: Fit) -> Option<Duration> {
        self.0.get(&fit)?.service
    }

    /// How long until so many of the slots came free that jobs of these kinds use now. `None`
    /// if nothing is under way, or nothing was ever seen to end.
    pub(super) fn wait(&self, position: usize, kinds: impl Fn(Fit) -> bool) -> Option<Duration> {
        let (mut leased, mut known, mut per_second) = (0.0, 0.0, 0.0);
        for (fit, lately) in &self.0 {
            if lately.leased == 0 || !kinds(*fit) {
                continue;
            }
            let now = f64::from(lately.leased);
            leased += now;
            if let Some(service) = lately.service {
                known += now;
                // A lease takes time, even if the clock did not see it.
                per_second += now / service.as_secs_f64().max(1e-6);
            }
        }
        if known == 0.0 {
            return None;
        }
        // Kinds that nothing is known of yet are taken to be like the others.
        let per_second = per_second * leased / known;
        let position = f64::from(u32::try_from(position).unwrap_or(u32::MAX));
        Duration::try_from_secs_f64(position / per_second).ok()
    }
}

#[cfg(test)]
mod tests {
    use pe_proto::{Arch, Digest};

    use super::*;

    fn fit(image: u8) -> Fit {
        Fit { arch: Arch::X86_64, image: Digest([image; 32]) }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_is_foretold_before_anything_ended() {
        let mut pace = Pace::default();
        assert_eq!(pace.wait(1, |_| true), None);
        pace.begin(fit(1));
        assert_eq!(pace.wait(1, |_| true), None);
        pace.end(fit(1), None);
        pace.begin(fit(1));
        assert_eq!(pace.wait(1, |_| true), None, "a lease that was lost says nothing");
        pace.end(fit(1), Some(secs(4)));
        assert_eq!(pace.wait(1, |_| true), None, "nothing is under way");
    }

    #[test]
    fn nobody_is_turned_away_by_few_leases_or_just_after_one_was_lost() {
        let mut pace = Pace::default();
        let end = |pace: &mut Pace, image, times| {
            for _ in 0..times {
                pace.begin(fit(image));
                pace.end(fit(image), Some(secs(4)));
            }
        };
        pace.begin(fit(1));
        end(&mut pace, 1, PACE_ENDS_MIN - 1);
        assert!(!pace.is_sure(|_| true), "one is missing");
        pace.begin(fit(1));
        pace.end(fit(1), None);
        assert!(!pace.is_sure(|_| true), "one that was cancelled says nothing");
        end(&mut pace, 1, 1);
        assert!(pace.is_sure(|_| true));
        assert!(!pace.is_sure(|kind| kind == fit(2)), "others' slots do not count");

        pace.begin(fit(1));
        pace.lose(fit(1));
        assert!(!pace.is_sure(|_| true), "one was lost");
        assert_eq!(pace.wait(1, |_| true), Some(secs(4)), "what is told is told still");
        end(&mut pace, 1, PACE_ENDS_MIN);
        assert!(pace.is_sure(|_| true), "and enough ended since");

        end(&mut pace, 2, PACE_ENDS_MIN);
        pace.lose(fit(1));
        assert!(!pace.is_sure(|_| true), "of neither kind is anything under way");
        pace.begin(fit(2));
        assert!(pace.is_sure(|_| true), "another kind's leases say enough");
    }

    #[test]
    fn a_wait_is_the_position_over_what_ends_in_a_second() {
        let mut pace = Pace::default();
        pace.begin(fit(1));
        pace.end(fit(1), Some(secs(4)));
        for _ in 0..8 {
            pace.begin(fit(1));
        }
        // Eight slots, four seconds each: two come free in a second.
        assert_eq!(pace.wait(1, |_| true), Some(Duration::from_millis(500)));
        assert_eq!(pace.wait(20, |_| true), Some(secs(10)));
        assert_eq!(pace.wait(20, |kind| kind == fit(2)), None, "others' slots do not count");
    }

    #[test]
    fn kinds_that_use_the_same_slots_are_added_up() {
        let mut pace = Pace::default();
        for (image, service) in [(1, 1), (2, 4)] {
            pace.begin(fit(image));
            pace.end(fit(image), Some(secs(service)));
            pace.begin(fit(image));
        }
        // 1 + 1/4 in a second.
        assert_eq!(pace.wait(5, |_| true), Some(secs(4)));
        pace.begin(fit(3));
        pace.begin(fit(3));
        assert_eq!(pace.wait(5, |_| true), Some(secs(2)), "unknown ones are like the others");
    }

    #[test]
    fn the_average_follows_what_comes() {
        let mut pace = Pace::default();
        let mut seen = |served| {
            pace.begin(fit(1));
            pace.end(fit(1), Some(served));
            pace.service(fit(1)).unwrap()
        };
        assert_eq!(seen(secs(8)), secs(8));
        assert_eq!(seen(secs(16)), secs(9));
        let last = (0..60).map(|_| seen(secs(1))).last().unwrap();
        assert!(last < Duration::from_millis(1010), "{last:?}");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut pace = Pace::default();
        for number in 0..=u32::try_from(PACES_MAX).unwrap() {
            let mut image = [0; 32];
            image[..4].copy_from_slice(&number.to_le_bytes());
            let fit = Fit { arch: Arch::X86_64, image: Digest(image) };
            pace.begin(fit);
            pace.end(fit, Some(secs(1)));
        }
        assert_eq!(pace.0.len(), 1);
    }
}
