//! Entries in memory, weighed by their bytes; the least recently used go first.
//!
//! Least recently used, not least often: whoever ran a job gets a link to its result, and a link
//! must work for a while even if nobody ever asked for the job before.
//!
//! What was evicted is still being sent to those who asked in time. So the bytes themselves hold
//! a share of the memory that all entries may take, living or leaving; when it is used up,
//! nothing new is kept until some of it was sent.

use std::sync::Arc;

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync;
use pe_proto::Digest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::representation::{Key, Representation};
use crate::limits::{CACHE_ENTRY_OVERHEAD_BYTES, CACHE_LEAVING_BYTES_MAX};
use crate::metrics::cache::{StoreMetrics, Tier};

/// See the module.
#[derive(Debug)]
pub(crate) struct Memory {
    entries: sync::Cache<Key, Kept>,
    rooms: Rooms,
    metrics: StoreMetrics,
}

/// What is known of a representation.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// All of it.
    Whole(Arc<Representation>),
    /// It would not be smaller than the plain one.
    DoesNotPay,
}

/// Shares of the memory of entries.
#[derive(Debug, Clone)]
pub(crate) struct Rooms(Arc<Semaphore>);

impl Rooms {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// A share, if there is one left.
    pub(crate) fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()
    }
}

impl Memory {
    pub(crate) fn new(bytes: usize, metrics: StoreMetrics) -> Self {
        let on_removal = {
            let metrics = metrics.clone();
            move |_: Arc<Key>, _: Kept, cause: RemovalCause| {
                if cause == RemovalCause::Size {
                    metrics.evicted(Tier::Memory);
                }
            }
        };
        let entries = sync::Cache::builder()
            .max_capacity(bytes as u64)
            .weigher(|_, kept: &Kept| weight(kept))
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(on_removal)
            .build();
        let rooms = Rooms::new(bytes.saturating_add(CACHE_LEAVING_BYTES_MAX));
        Self { entries, rooms, metrics }
    }

    pub(crate) fn rooms(&self) -> Rooms {
        self.rooms.clone()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Kept> {
        self.entries.get(key)
    }

    pub(crate) fn whole(&self, key: &Key) -> Option<Arc<Representation>> {
        match self.get(key)? {
            Kept::Whole(found) => Some(found),
            Kept::DoesNotPay => None,
        }
    }

    /// Keeps a representation that has room; says whether it does.
    pub(crate) fn insert(&self, made: Arc<Representation>) -> bool {
        if !made.has_room {
            self.metrics.crowded.inc();
            return false;
        }
        self.entries.insert(made.key, Kept::Whole(made));
        self.observe();
        true
    }

    pub(crate) fn insert_does_not_pay(&self, key: Key) {
        self.entries.insert(key, Kept::DoesNotPay);
    }

    /// Drops every representation of a result; says how many there were.
    pub(crate) fn remove(&self, digest: Digest) -> usize {
        let dropped = Key::all_of(digest).filter_map(|key| self.entries.remove(&key)).count();
        self.observe();
        dropped
    }

    /// Lets what was put off be done, so that what there is can be counted.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        self.entries.run_pending_tasks();
    }

    fn observe(&self) {
        self.metrics.holds(Tier::Memory, self.entries.entry_count(), self.entries.weighted_size());
    }
}

/// Bytes of an entry, and what it costs beside them.
fn weight(kept: &Kept) -> u32 {
    let bytes = match kept {
        Kept::Whole(representation) => representation.body.len(),
        Kept::DoesNotPay => 0,
    };
    u32::try_from(bytes.saturating_add(CACHE_ENTRY_OVERHEAD_BYTES)).unwrap_or(u32::MAX)
}
