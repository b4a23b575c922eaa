//! Rates with a clock that is only told.

use proptest::prelude::*;

use super::*;

fn burst(cells: u32) -> NonZeroU32 {
    NonZeroU32::new(cells).unwrap()
}

/// Ten at once, one more each second.
fn ten() -> Rate {
    Rate::new(burst(10), Duration::from_secs(10))
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_refusal_says_exactly_when_the_same_is_granted() {
    let mut limiter = Limiter::new(ten(), 100);
    assert_eq!(limiter.take(&1, 10, at(100)), Ok(()));
    assert_eq!(limiter.take(&1, 3, at(100)), Err(secs(3)));
    assert_eq!(limiter.take(&1, 3, at(102)), Err(secs(1)));
    assert_eq!(limiter.take(&1, 3, at(103)), Ok(()));
    assert_eq!(limiter.take(&2, 10, at(103)), Ok(()), "another key is another purse");
}

#[test]
fn what_was_not_used_is_given_back_and_what_was_used_beyond_is_owed() {
    let mut limiter = Limiter::new(ten(), 100);
    assert_eq!(limiter.take(&1, 10, at(0)), Ok(()));
    limiter.settle(&1, 10, 4, at(0));
    assert_eq!(limiter.take(&1, 6, at(0)), Ok(()));
    limiter.settle(&1, 6, 36, at(0));
    assert_eq!(limiter.take(&1, 1, at(0)), Err(secs(31)));
    assert_eq!(limiter.take(&1, 1, at(31)), Ok(()));
}

#[test]
fn nothing_given_back_is_more_than_the_burst() {
    let mut limiter = Limiter::new(ten(), 100);
    assert_eq!(limiter.take(&1, 5, at(0)), Ok(()));
    limiter.settle(&1, 5, 0, at(1000));
    assert_eq!(limiter.take(&1, 10, at(1000)), Ok(()));
    assert!(limiter.take(&1, 1, at(1000)).is_err());
}

#[test]
fn more_than_can_be_had_at_once_counts_as_all_of_it() {
    let mut limiter = Limiter::new(ten(), 100);
    assert_eq!(limiter.take(&1, u32::MAX, at(0)), Ok(()));
    assert_eq!(limiter.take(&1, u32::MAX, at(0)), Err(secs(10)));
    limiter.settle(&1, u32::MAX, u32::MAX, at(0));
    assert!(limiter.take(&1, 1, at(0)).unwrap_err() > secs(1_000_000_000));
}

#[test]
fn keys_that_owe_nothing_are_forgotten() {
    let mut limiter = Limiter::new(ten(), 1000);
    for key in 0..100 {
        assert_eq!(limiter.take(&key, 1, at(0)), Ok(()));
    }
    assert_eq!(limiter.take(&0, 10, at(50)), Ok(()));
    assert_eq!(limiter.len(), 100, "it is not looked at all the time");
    assert_eq!(limiter.take(&0, 1, at(60)), Ok(()));
    assert_eq!(limiter.len(), 1);
}

#[test]
fn a_flood_of_keys_does_not_make_a_debtor_forgotten() {
    let mut limiter = Limiter::new(ten(), 64);
    assert_eq!(limiter.take(&u64::MAX, 10, at(0)), Ok(()));
    for key in 0..100_000 {
        assert_eq!(limiter.take(&key, 1, at(0)), Ok(()));
        assert!(limiter.len() <= 64);
    }
    assert!(limiter.take(&u64::MAX, 1, at(0)).is_err());
}

#[test]
fn another_rate_forgets_no_debt() {
    let mut limiter = Limiter::new(ten(), 100);
    assert_eq!(limiter.take(&1, 10, at(5)), Ok(()));
    let mut limiter = limiter.renewed(Rate::new(burst(100), secs(10)), 100);
    // All of the ten seconds that the old rate took to pay it are owed still.
    assert!(limiter.take(&1, 100, at(5)).is_err());
    assert_eq!(limiter.take(&1, 100, at(15)), Ok(()));
}

proptest! {
    /// In any window nobody is granted more than the burst and what comes in during it, and a
    /// refusal's wait is kept to.
    #[test]
    fn no_window_grants_more_than_the_rate(
        steps in prop::collection::vec((1..6u32, 0..3000u64), 1..100),
    ) {
        let mut limiter = Limiter::new(ten(), 100);
        let mut now = Moment::START;
        let mut granted: Vec<(Moment, u32)> = Vec::new();
        for (cells, millis) in steps {
            now = now.after(Duration::from_millis(millis));
            if let Err(wait) = limiter.take(&0, cells, now) {
                now = now.after(wait);
                prop_assert_eq!(limiter.take(&0, cells, now), Ok(()));
            }
            granted.push((now, cells));
        }
        for (index, (from, _)) in granted.iter().enumerate() {
            for (until, _) in &granted[index..] {
                let inside = granted[index..].iter().filter(|(at, _)| at <= until);
                let sum: u32 = inside.map(|(_, cells)| *cells).sum();
                let most = 10.0 + until.since(*from).as_secs_f64();
                prop_assert!(f64::from(sum) <= most + 1e-6, "{sum} in {most}");
            }
        }
    }
}
