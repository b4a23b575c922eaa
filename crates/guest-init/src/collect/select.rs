//! Which of the files found are returned. Pure.
//!
//! Candidates come from two places, each sorted: `/output`, which wins, and the working directory.
//! They are merged into one archive that a reader will accept: unique, nothing below a file, within
//! the number of entries and the bytes granted. A file that is too large for what is left is left
//! out and smaller ones after it still come.

use std::cmp::Ordering;

use pe_proto::archive::{ENTRY_HEAD_BYTES, Kind};
use pe_proto::limits::ARCHIVE_ENTRIES_MAX;
use pe_proto::path::{compare, is_below};

use crate::limits::RESULT_PATHS_BYTES_MAX;

/// Something that may be returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its path in the archive.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of data.
    pub len: u64,
    /// Where to find it, as its real path in the writable layer.
    pub source: Vec<u8>,
}

/// What is returned and what is not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// In the order of the archive.
    pub chosen: Vec<Candidate>,
    /// Paths that were left out for want of room.
    pub too_large: Vec<String>,
    /// Paths that were left out because `/output` has something else in their place.
    pub covered: Vec<String>,
}

/// Merges and selects. `bytes_max` is for the data of all files together.
pub(super) fn select(output: Vec<Candidate>, cwd: Vec<Candidate>, bytes_max: u64) -> Selection {
    let mut selection = Selection::default();
    let mut left = bytes_max;
    let mut left_for_paths = RESULT_PATHS_BYTES_MAX;
    // Both streams have entries too.
    let mut left_entries = usize::try_from(ARCHIVE_ENTRIES_MAX).unwrap_or(usize::MAX) - 2;
    for candidate in merge(output, cwd, &mut selection.covered) {
        let head = (ENTRY_HEAD_BYTES + candidate.path.len()) as u64;
        if candidate.len > left || head > left_for_paths || left_entries == 0 {
            selection.too_large.push(candidate.path);
            continue;
        }
        left -= candidate.len;
        left_for_paths -= head;
        left_entries -= 1;
        selection.chosen.push(candidate);
    }
    selection
}

/// One sorted list of two; of two things that cannot both be there the first list's stays.
fn merge(
    first: Vec<Candidate>,
    second: Vec<Candidate>,
    covered: &mut Vec<String>,
) -> Vec<Candidate> {
    let mut merged: Vec<Candidate> = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    loop {
        let order = match (first.peek(), second.peek()) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => compare(&a.path, &b.path),
        };
        match order {
            Ordering::Less | Ordering::Equal => {
                let Some(candidate) = first.next() else {
                    return merged;
                };
                // What was taken from the second list and turns out to be in the way goes.
                while merged.last().is_some_and(|last| is_below(&candidate.path, &last.path)) {
                    covered.extend(merged.pop().map(|last| last.path));
                }
                let same = second.peek().is_some_and(|other| other.path == candidate.path);
                if same {
                    covered.extend(second.next().map(|other| other.path));
                }
                merged.push(candidate);
            }
            Ordering::Greater => {
                let Some(candidate) = second.next() else {
                    return merged;
                };
                match merged.last() {
                    Some(last) if last.path == candidate.path => covered.push(candidate.path),
                    Some(last) if is_below(&candidate.path, &last.path) => {
                        // An empty directory is no loss when something is in it after all.
                        if last.kind == Kind::Directory {
                            merged.pop();
                            merged.push(candidate);
                        } else {
                            covered.push(candidate.path);
                        }
                    }
                    Some(_) | None => merged.push(candidate),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, len: u64) -> Candidate {
        Candidate { path: path.to_owned(), kind: Kind::File, len, source: Vec::new() }
    }

    fn directory(path: &str) -> Candidate {
        Candidate { kind: Kind::Directory, ..file(path, 0) }
    }

    fn paths(chosen: &[Candidate]) -> Vec<&str> {
        chosen.iter().map(|candidate| candidate.path.as_str()).collect()
    }

    #[test]
    fn both_lists_become_one_in_order() {
        let selection = select(
            vec![file("output/a", 1), file("output/c", 1)],
            vec![file("output/b", 1), file("output/d", 1)],
            100,
        );
        assert_eq!(paths(&selection.chosen), ["output/a", "output/b", "output/c", "output/d"]);
        assert_eq!(selection.covered, Vec::<String>::new());
    }

    #[test]
    fn output_wins_over_the_working_directory() {
        let selection = select(vec![file("output/a", 7)], vec![file("output/a", 1)], 100);
        assert_eq!(selection.chosen, [file("output/a", 7)]);
        assert_eq!(selection.covered, ["output/a"]);
    }

    #[test]
    fn nothing_is_returned_below_a_file() {
        let under = select(vec![file("output/a", 1)], vec![file("output/a/b", 1)], 100);
        assert_eq!(paths(&under.chosen), ["output/a"]);
        assert_eq!(under.covered, ["output/a/b"]);
        let over = select(vec![file("output/a/b", 1)], vec![file("output/a", 1)], 100);
        assert_eq!(paths(&over.chosen), ["output/a/b"]);
        assert_eq!(over.covered, ["output/a"]);
    }

    #[test]
    fn an_empty_directory_gives_way_to_what_is_in_it() {
        let selection = select(vec![directory("output/a")], vec![file("output/a/b", 1)], 100);
        assert_eq!(paths(&selection.chosen), ["output/a/b"]);
        let selection = select(vec![file("output/a/b", 1)], vec![directory("output/a")], 100);
        assert_eq!(paths(&selection.chosen), ["output/a/b"]);
    }

    #[test]
    fn a_file_that_is_too_large_is_left_out_and_smaller_ones_still_come() {
        let found = vec![file("output/a", 60), file("output/b", 1 << 40), file("output/c", 40)];
        let selection = select(found, vec![], 100);
        assert_eq!(paths(&selection.chosen), ["output/a", "output/c"]);
        assert_eq!(selection.too_large, ["output/b"]);
    }

    #[test]
    fn entries_are_bounded_with_room_for_both_streams() {
        let found = (0..12_000).map(|n| file(&format!("output/{n:05}"), 0)).collect();
        let selection = select(found, vec![], 100);
        assert_eq!(selection.chosen.len(), 9_998);
        assert_eq!(selection.too_large.len(), 2_002);
    }

    #[test]
    fn long_paths_are_bounded_together() {
        let found = (0..2_000).map(|n| file(&format!("output/{n:04000}"), 0)).collect();
        let selection = select(found, vec![], 100);
        let bytes: usize = selection.chosen.iter().map(|c| c.path.len() + ENTRY_HEAD_BYTES).sum();
        assert!(bytes as u64 <= RESULT_PATHS_BYTES_MAX);
        assert!(!selection.too_large.is_empty());
    }
}
