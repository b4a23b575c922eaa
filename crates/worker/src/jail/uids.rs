//! A user for each VMM: never two at a time, never the same again soon.
//!
//! Pure but for the caller's lock. Users are taken in turn around the whole range, so that what a
//! VMM may have left under its number meets nobody for as long as possible.

use std::collections::HashSet;
use std::str::FromStr;

/// Users (and groups of the same numbers) for VMMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidRange {
    first: u32,
    last: u32,
}

/// Not a range of users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRange {
    /// Not two numbers with a `-` between them.
    #[error("expected first-last, such as 2000000000-2000016383")]
    Form,
    /// Some of them are real users on most systems.
    #[error("expected users from {LEAST} to {MOST}")]
    Bounds,
    /// Too few.
    #[error("expected at least {FEWEST} users")]
    Few,
}

/// Below it are users of the system and people.
const LEAST: u32 = 1000;
/// Beyond it some programs take a number for a negative one.
const MOST: u32 = i32::MAX.unsigned_abs();
/// As a VMM may take a while to be reaped, there must be some to spare.
const FEWEST: u32 = 16;

impl UidRange {
    /// A range from one user to another, both in it.
    ///
    /// # Errors
    /// It is no range, or takes in users that belong to somebody.
    pub fn new(first: u32, last: u32) -> Result<Self, BadRange> {
        if first < LEAST || last > MOST || first > last {
            return Err(BadRange::Bounds);
        }
        if last - first < FEWEST - 1 {
            return Err(BadRange::Few);
        }
        Ok(Self { first, last })
    }

    /// The first and the last user.
    pub fn bounds(self) -> (u32, u32) {
        (self.first, self.last)
    }

    fn next(self, uid: u32) -> u32 {
        if uid >= self.last { self.first } else { uid + 1 }
    }
}

impl FromStr for UidRange {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let (first, last) = text.split_once('-').ok_or(BadRange::Form)?;
        let number = |text: &str| text.trim().parse().map_err(|_| BadRange::Form);
        Self::new(number(first)?, number(last)?)
    }
}

/// Which users are taken.
#[derive(Debug)]
pub(super) struct Rota {
    range: UidRange,
    next: u32,
    taken: HashSet<u32>,
}

impl Rota {
    /// Begins somewhere in the range, so that a worker that starts again begins elsewhere.
    pub(super) fn new(range: UidRange, anywhere: u32) -> Self {
        let next = range.first + anywhere % (range.last - range.first + 1);
        Self { range, next, taken: HashSet::new() }
    }

    /// A user that nobody has; `None` if all are taken.
    pub(super) fn take(&mut self) -> Option<u32> {
        let first = self.next;
        loop {
            let uid = self.next;
            self.next = self.range.next(uid);
            if self.taken.insert(uid) {
                return Some(uid);
            }
            if self.next == first {
                return None;
            }
        }
    }

    pub(super) fn give_back(&mut self, uid: u32) {
        self.taken.remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_of_users_is_checked() {
        let check = |text: &str| text.parse::<UidRange>().map(UidRange::bounds);
        assert_eq!(check("2000000000-2000000099"), Ok((2_000_000_000, 2_000_000_099)));
        assert_eq!(check("2000"), Err(BadRange::Form));
        assert_eq!(check("-5-7"), Err(BadRange::Form));
        assert_eq!(check("0-99"), Err(BadRange::Bounds));
        assert_eq!(check("3000-2000"), Err(BadRange::Bounds));
        assert_eq!(check("2000000000-4294967295"), Err(BadRange::Bounds));
        assert_eq!(check("2000-2014"), Err(BadRange::Few));
    }

    #[test]
    fn a_user_comes_again_only_after_all_others() {
        let range = UidRange::new(5000, 5019).expect("range");
        let mut rota = Rota::new(range, 7);
        let mut seen = Vec::new();
        for _ in 0..20 {
            let uid = rota.take().expect("free");
            rota.give_back(uid);
            assert!(!seen.contains(&uid));
            seen.push(uid);
        }
        assert_eq!(rota.take(), seen.first().copied());
    }

    proptest! {
        #[test]
        fn no_user_is_taken_twice_at_a_time(anywhere: u32, steps in prop::collection::vec(0_usize..24, 0..200)) {
            let range = UidRange::new(5000, 5019).expect("range");
            let mut rota = Rota::new(range, anywhere);
            let mut held: Vec<u32> = Vec::new();
            for step in steps {
                if step < 12 {
                    match rota.take() {
                        Some(uid) => {
                            prop_assert!((5000..=5019).contains(&uid));
                            prop_assert!(!held.contains(&uid));
                            held.push(uid);
                        }
                        None => prop_assert_eq!(held.len(), 20),
                    }
                } else if !held.is_empty() {
                    rota.give_back(held.swap_remove(step % held.len()));
                }
            }
        }
    }
}
