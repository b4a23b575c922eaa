//! Counting what a note will be about. Pure.

use crate::limits::NAMES_QUOTED_MAX;

/// Things of one sort that a note will be about: how many, and the first few.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    count: usize,
    first: Vec<String>,
}

impl Tally {
    /// Counts one more.
    pub(super) fn add(&mut self, what: &str) {
        self.count += 1;
        if self.first.len() < NAMES_QUOTED_MAX {
            self.first.push(shortened(what));
        }
    }

    /// Counts one more and says why.
    pub(super) fn add_with(&mut self, what: &str, why: &str) {
        self.count += 1;
        if self.first.len() < NAMES_QUOTED_MAX {
            let what = if what.is_empty() { "the directory itself" } else { what };
            self.first.push(format!("{} ({why})", shortened(what)));
        }
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A sentence: `lead`, the names, and how many more; none if nothing was counted.
    pub(super) fn note(&self, lead: &str) -> Option<String> {
        let more = match self.count.checked_sub(self.first.len())? {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (self.count > 0).then(|| format!("{lead}: {}{more}", self.first.join(", ")))
    }
}

/// A long path would push the others out of the note.
fn shortened(what: &str) -> String {
    const CHARS_MAX: usize = 80;
    if what.chars().nth(CHARS_MAX).is_none() {
        return what.to_owned();
    }
    what.chars().take(CHARS_MAX).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_quotes_a_few_and_counts_the_rest() {
        let mut tally = Tally::default();
        assert_eq!(tally.note("left out"), None);
        for name in ["a", "b", "c", "d", "e"] {
            tally.add(name);
        }
        assert_eq!(tally.note("left out").unwrap(), "left out: a, b, c and 2 more");
    }
}
