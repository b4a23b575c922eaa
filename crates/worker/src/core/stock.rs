//! Which packs a worker keeps on its disk: what to fetch next, and what has to go for it.
//!
//! Owns the list of what there is and what is here, and no file. What jobs wait for comes first,
//! in the order that the load balancer says; it may push out what was not used the longest. When
//! nothing is waited for, packs are fetched in the order of the catalogue as long as there is
//! room: an idle worker never throws out one listed pack for another. Nothing that is in use goes,
//! and nothing that is waited for. A pack of which another will take bytes goes for that one only
//! when all else was not enough; then the other comes whole. Each counts with its whole length,
//! also where the file system lets two share.
//!
//! Invariants, held by the property tests:
//! - what is here, what is half here and what is on its way never take more than the budget;
//! - nothing in use or wanted is let go;
//! - a pack whose transfers fail is left alone for a growing time, and is then no longer promised.

use std::collections::{BTreeMap, BTreeSet};

use pe_proto::Digest;
use pe_proto::catalogue::Basis;

use super::Moment;
use crate::limits::{FETCH_AGAIN_MAX, FETCH_AGAIN_MIN, FETCH_FAILURES_MAX};

/// A pack of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub pack: Digest,
    /// Its length.
    pub bytes: u64,
    /// What it has in common with another.
    pub basis: Option<Basis>,
    /// The images in it.
    pub images: Vec<Digest>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Fetch this pack, after these were let go.
    Fetch {
        /// Which.
        pack: Digest,
        /// Packs, whole ones or the beginnings of some, that make room for it.
        evict: Vec<Digest>,
    },
    /// Nothing before this time, unless something changes.
    Wait(Moment),
    /// Nothing, unless something changes.
    Rest,
}

/// See the module.
#[derive(Debug)]
pub struct Stock {
    budget: u64,
    pack_max: u64,
    /// In the order of the catalogue.
    listed: Vec<Listed>,
    /// Images that jobs wait for.
    wanted: Vec<Digest>,
    here: BTreeMap<Digest, Here>,
    /// Beginnings of packs.
    parts: BTreeMap<Digest, u64>,
    troubles: BTreeMap<Digest, Trouble>,
}

#[derive(Debug, Clone, Copy)]
struct Here {
    bytes: u64,
    used: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    failures: u32,
    not_before: Moment,
}

impl Stock {
    /// Nothing, with so much room, for packs that are not longer than this.
    pub fn new(budget: u64, pack_max: u64) -> Self {
        Self {
            budget,
            pack_max,
            listed: Vec::new(),
            wanted: Vec::new(),
            here: BTreeMap::new(),
            parts: BTreeMap::new(),
            troubles: BTreeMap::new(),
        }
    }

    /// There is another catalogue. What went wrong with packs of the last one is forgotten.
    pub fn list(&mut self, listed: Vec<Listed>) {
        self.listed = listed;
        self.troubles.clear();
    }

    /// Jobs wait for these images, the most urgent first.
    pub fn want(&mut self, images: Vec<Digest>) {
        self.wanted = images;
    }

    /// A pack is here.
    pub fn put(&mut self, pack: Digest, bytes: u64, now: Moment) {
        self.parts.remove(&pack);
        self.troubles.remove(&pack);
        let used = self.here.get(&pack).map_or(now, |here| here.used.max(now));
        self.here.insert(pack, Here { bytes, used });
    }

    /// So much of a pack is here.
    pub fn part(&mut self, pack: Digest, bytes: u64) {
        if bytes == 0 {
            self.parts.remove(&pack);
        } else {
            self.parts.insert(pack, bytes);
        }
    }

    /// How much of a pack is here that is not whole.
    pub fn part_of(&self, pack: Digest) -> u64 {
        self.parts.get(&pack).copied().unwrap_or(0)
    }

    /// A pack is gone, whole or in part.
    pub fn gone(&mut self, pack: Digest) {
        self.here.remove(&pack);
        self.parts.remove(&pack);
    }

    /// A pack was used.
    pub fn used(&mut self, pack: Digest, now: Moment) {
        if let Some(here) = self.here.get_mut(&pack) {
            here.used = here.used.max(now);
        }
    }

    /// A transfer of it came to nothing.
    pub fn failed(&mut self, pack: Digest, now: Moment) {
        let fresh = Trouble { failures: 0, not_before: now };
        let trouble = self.troubles.entry(pack).or_insert(fresh);
        let wait = FETCH_AGAIN_MIN.saturating_mul(1 << trouble.failures.min(16));
        trouble.failures = trouble.failures.saturating_add(1);
        trouble.not_before = now.saturating_add(wait.min(FETCH_AGAIN_MAX));
    }

    /// It is here as it should be, and of no use. That will not change with another try.
    pub fn hopeless(&mut self, pack: Digest) {
        let never = Trouble { failures: FETCH_FAILURES_MAX, not_before: Moment::MAX };
        self.troubles.insert(pack, never);
    }

    /// Part of it came; the next try goes on from there.
    pub fn progressed(&mut self, pack: Digest) {
        self.troubles.remove(&pack);
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.here.values().map(|here| here.bytes).sum::<u64>() + self.parts.values().sum::<u64>()
    }

    /// A pack of the catalogue.
    pub fn listed(&self, pack: Digest) -> Option<&Listed> {
        self.listed.iter().find(|listed| listed.pack == pack)
    }

    /// Whether something is waited for that is not here.
    pub fn has_wanted(&self) -> bool {
        let missing = |listed: &&Listed| !self.here.contains_key(&listed.pack);
        self.listed.iter().filter(missing).any(|listed| self.urgency(listed).is_some())
    }

    /// Whether somebody waits for a pack.
    pub fn is_wanted(&self, pack: Digest) -> bool {
        self.listed(pack).is_some_and(|listed| self.urgency(listed).is_some())
    }

    /// Images that are not here and could be: they fit, and their transfers do not keep failing.
    /// What cannot go counts as room that there is not.
    pub fn able(&self, is_in_use: impl Fn(Digest) -> bool) -> Vec<Digest> {
        let kept: u64 =
            self.here.iter().filter(|(pack, _)| is_in_use(**pack)).map(|(_, it)| it.bytes).sum();
        let fits = |listed: &&Listed| {
            let failures = self.troubles.get(&listed.pack).map_or(0, |trouble| trouble.failures);
            !self.here.contains_key(&listed.pack)
                && listed.bytes <= self.pack_max
                && listed.bytes <= self.budget.saturating_sub(kept)
                && failures < FETCH_FAILURES_MAX
        };
        let able = self.listed.iter().filter(fits).flat_map(|listed| &listed.images);
        let able: BTreeSet<Digest> = able.copied().collect();
        able.into_iter().collect()
    }

    /// What to do now, when nothing is being fetched.
    pub fn next(&self, now: Moment, is_in_use: impl Fn(Digest) -> bool) -> Step {
        let mut missing: Vec<&Listed> = self
            .listed
            .iter()
            .filter(|listed| !self.here.contains_key(&listed.pack))
            .filter(|listed| listed.bytes <= self.pack_max)
            .collect();
        // Stable: of those that nobody waits for, the catalogue's order is kept.
        missing.sort_by_key(|listed| self.urgency(listed).unwrap_or(usize::MAX));
        let mut due = None;
        for listed in missing {
            let is_wanted = self.urgency(listed).is_some();
            let Some(evict) = self.room_for(listed, is_wanted, &is_in_use) else { continue };
            match self.troubles.get(&listed.pack) {
                Some(trouble) if trouble.not_before > now => {
                    due = Some(
                        due.map_or(trouble.not_before, |due: Moment| due.min(trouble.not_before)),
                    );
                }
                Some(_) | None => return Step::Fetch { pack: listed.pack, evict },
            }
        }
        due.map_or(Step::Rest, Step::Wait)
    }

    /// The place of the first image of a pack among those that are wanted.
    fn urgency(&self, listed: &Listed) -> Option<usize> {
        self.wanted.iter().position(|image| listed.images.contains(image))
    }

    /// What has to go so that a pack fits, least missed first; `None` if it cannot.
    fn room_for(
        &self,
        listed: &Listed,
        is_wanted: bool,
        is_in_use: &impl Fn(Digest) -> bool,
    ) -> Option<Vec<Digest>> {
        let part = self.part_of(listed.pack);
        let mut lacking = self
            .bytes()
            .saturating_sub(part)
            .saturating_add(listed.bytes)
            .saturating_sub(self.budget);
        let mut evict = Vec::new();
        let parts = self.parts.iter().filter(|(pack, _)| **pack != listed.pack);
        let parts = parts.map(|(pack, bytes)| (*pack, *bytes, Moment::ZERO));
        let whole = self.here.iter().map(|(pack, here)| (*pack, here.bytes, here.used));
        let mut candidates: Vec<_> = parts
            .chain(whole)
            .filter(|(pack, ..)| !is_in_use(*pack) && !self.is_wanted(*pack))
            .map(|(pack, bytes, used)| {
                let is_basis = listed.basis.is_some_and(|basis| basis.pack == pack);
                (is_basis, self.listed(pack).is_some(), used, pack, bytes)
            })
            .filter(|(_, is_listed, ..)| is_wanted || !is_listed)
            .collect();
        candidates.sort_unstable();
        for (.., pack, bytes) in candidates {
            if lacking == 0 {
                break;
            }
            lacking = lacking.saturating_sub(bytes);
            evict.push(pack);
        }
        (lacking == 0).then_some(evict)
    }
}

#[cfg(test)]
mod tests;
