//! States of the page that somebody wants others to see (`protocol.md 8.11`): in memory and, if
//! there is a place for it, on disk.
//!
//! A share is bytes under the hash of them, so it never changes, and whoever keeps the same state
//! gets the same name. It is made of the cache's parts: the same two tiers, and the same
//! representations. Both tiers forget what was least recently looked at; nothing else ends a
//! share. The result that a state names is the cache's affair: no share holds on to it, or a small
//! body that anybody may post would decide which large ones stay.

use std::sync::Arc;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use crate::cache::Writer;
use crate::cache::derive::{self, Effort};
use crate::cache::disk::Disk;
use crate::cache::memory::{Kept, Memory};
use crate::cache::representation::{Key, Representation};
use crate::config::shares::ShareSizes;
use crate::core::form::{Encoding, Form};
use crate::core::share::ShareId;
use crate::limits::PACK_BYTES_MIN;
use crate::metrics::cache::{ShareMetrics, Tier};

/// See the module.
#[derive(Debug)]
pub struct Shares {
    memory: Memory,
    disk: Option<Disk>,
    metrics: ShareMetrics,
}

/// There is no room for a share now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory for shares is taken by who reads them; try again")]
pub struct NoRoom;

/// A state is no JSON object.
#[derive(Debug, thiserror::Error)]
#[error("expected a JSON object: {0}")]
pub struct NoObject(serde_json::Error);

impl Shares {
    /// A store with nothing in memory, and the task that writes to its disk, to be run.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn open(
        sizes: &ShareSizes,
        metrics: ShareMetrics,
    ) -> std::io::Result<(Self, Option<Writer>)> {
        let memory = Memory::new(sizes.memory_bytes, metrics.store.clone());
        let disk = sizes.disk.as_ref().map(|(directory, bytes)| {
            Disk::open("shares", directory.clone(), *bytes, metrics.store.clone())
        });
        let (disk, writer) = disk.transpose()?.unzip();
        Ok((Self { memory, disk, metrics }, writer))
    }

    /// Whether a share is kept as it should be: to keep it again would change nothing.
    pub fn has(&self, id: ShareId) -> bool {
        let is_written = self.disk.as_ref().is_none_or(|disk| disk.has(id.key()));
        is_written && self.memory.whole(&key(id, Encoding::Identity)).is_some()
    }

    /// Keeps a state.
    ///
    /// # Errors
    /// It is kept nowhere.
    pub fn keep(&self, state: Vec<u8>) -> Result<ShareId, NoRoom> {
        let id = ShareId::of(&state);
        let key = key(id, Encoding::Identity);
        let made = Arc::new(Representation::of_share(key, state, &self.memory.rooms()));
        let body = made.body.clone();
        let is_written = self.disk.as_ref().is_some_and(|disk| disk.store(key.digest, body));
        if !self.memory.insert(made) && !is_written {
            return Err(NoRoom);
        }
        self.metrics.kept.inc();
        Ok(id)
    }

    /// A share, packed as it is wanted if that pays.
    pub async fn find(&self, id: ShareId, encoding: Encoding) -> Option<Arc<Representation>> {
        let (plain, tier) = match self.memory.whole(&key(id, Encoding::Identity)) {
            Some(found) => (found, Tier::Memory),
            None => match self.read(id).await {
                Some(found) => (found, Tier::Disk),
                None => {
                    self.metrics.store.misses.inc();
                    return None;
                }
            },
        };
        self.metrics.store.hit(tier);
        if encoding == Encoding::Identity || plain.body.len() < PACK_BYTES_MIN {
            return Some(plain);
        }
        Some(self.packed(key(id, encoding), plain).await)
    }

    /// Waits until what is to be on disk is there. To be called when nothing more comes.
    pub async fn flush(&self) {
        if let Some(disk) = &self.disk {
            disk.flush().await;
        }
    }

    async fn read(&self, id: ShareId) -> Option<Arc<Representation>> {
        let state = self.disk.as_ref()?.load(id.key()).await?;
        // The file is whole, and of this name; that it is also this share, only its bytes show.
        if ShareId::of(&state) != id {
            return None;
        }
        let key = key(id, Encoding::Identity);
        let read = Arc::new(Representation::of_share(key, state, &self.memory.rooms()));
        self.memory.insert(Arc::clone(&read));
        Some(read)
    }

    async fn packed(&self, key: Key, plain: Arc<Representation>) -> Arc<Representation> {
        match self.memory.get(&key) {
            Some(Kept::Whole(found)) => return found,
            Some(Kept::DoesNotPay) => return plain,
            None => {}
        }
        let (source, rooms) = (Arc::clone(&plain), self.memory.rooms());
        let made = derive::apart(source.body.len(), move || {
            let packed = derive::packed(&source.body, key.encoding, Effort::Often)?;
            Some(Representation::of_share(key, packed, &rooms))
        });
        let Some(made) = made.await else {
            self.memory.insert_does_not_pay(key);
            return plain;
        };
        let made = Arc::new(made);
        self.memory.insert(Arc::clone(&made));
        made
    }
}

/// Whether bytes are one JSON object, of whatever: what is in it is between pages.
///
/// # Errors
/// They are not.
pub fn check(state: &[u8]) -> Result<(), NoObject> {
    let text = std::str::from_utf8(state).map_err(|bad| NoObject(serde::de::Error::custom(bad)))?;
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Object).and_then(|()| json.end()).map_err(NoObject)
}

/// Reads an object and keeps nothing of it.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

fn key(id: ShareId, encoding: Encoding) -> Key {
    Key { digest: id.key(), form: Form::Json, encoding }
}

#[cfg(test)]
mod tests;
