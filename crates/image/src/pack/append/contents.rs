//! Which contents are in a pack, and where.
//!
//! 12 bytes for each: 64 bits of its SHA-256, and its first block. Whoever finds one compares it
//! byte by byte before it is shared, so two contents with one hash cost a comparison and are both
//! stored; nobody gains anything by making some.

use std::collections::BTreeMap;

use crate::limits::CONTENTS_MAX;

/// All that are known.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Contents(BTreeMap<u64, u32>);

impl Contents {
    /// Where there may be one with this hash.
    pub(super) fn find(&self, hash: u64) -> Option<u32> {
        self.0.get(&hash).copied()
    }

    /// Notes where one is. Of two with one hash the first is kept, and beyond [`CONTENTS_MAX`]
    /// none is noted: later ones are then stored again.
    pub(super) fn note(&mut self, hash: u64, block: u32) {
        if self.0.len() < CONTENTS_MAX {
            self.0.entry(hash).or_insert(block);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// In the order of their hashes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.0.iter().map(|(hash, block)| (*hash, *block))
    }
}
