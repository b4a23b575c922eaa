//! Which paths a layer brought.
//!
//! Kept as hashes by a key of its own for each run: 9 bytes a path, whatever its length. Two paths
//! with one hash would let a whiteout spare a file of a lower layer; among a million paths that is
//! a chance of one in thirty million, and nobody can aim at it without the key.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};

/// Paths without links, from the tree's top.
#[derive(Debug, Default)]
pub(super) struct Seen {
    key: RandomState,
    paths: HashSet<u64, BuildHasherDefault<Plain>>,
}

/// A hash that is one already.
#[derive(Debug, Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Seen {
    /// Notes a path and the directories above it.
    pub(super) fn note(&mut self, path: &[u8]) {
        let mut path = path;
        while !path.is_empty() && self.paths.insert(self.key.hash_one(path)) {
            path = super::tree::split(path).0;
        }
    }

    /// Whether this layer brought a path, or something below it.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.paths.contains(&self.key.hash_one(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_path_was_seen_with_it() {
        let mut seen = Seen::default();
        seen.note(b"a/b/c");
        for path in [&b"a"[..], b"a/b", b"a/b/c"] {
            assert!(seen.has(path));
        }
        for path in [&b"b"[..], b"a/c", b"a/b/c/d"] {
            assert!(!seen.has(path));
        }
    }
}
