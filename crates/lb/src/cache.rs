//! Results of jobs that were run: in memory and, if there is a place for it, on disk.
//!
//! An entry is one representation of a result: its bytes in one form and one encoding, with the
//! headers it is answered with. A result comes in as the binary form; the other form and the
//! packed ones are made of it when they are first asked for, and kept as entries of their own, so
//! that the weight of an entry is what it takes. All that changes entries of one job takes turns,
//! so there is never a mix of two results. Names are job digests that the load balancer computed;
//! what a client claims to be one only ever asks.
//!
//! It decides by [`rules`] alone what is fit to be kept, never waits for a disk on an async
//! thread, and is never needed: what it has lost or thrown away is run again. Because nothing
//! breaks without it, it tells of itself: [`Cache::probe`] writes an entry and reads it back.

pub(crate) mod derive;
pub(crate) mod disk;
pub(crate) mod memory;
mod probe;
pub mod representation;
pub mod rules;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use pe_proto::Digest;
use pe_proto::api::AnswerHead;

use crate::core::form::{Encoding, Form};
use crate::limits::PACK_BYTES_MIN;
use crate::metrics::cache::{CacheMetrics, Tier};
use derive::{Effort, Turns};
use disk::Disk;
use memory::{Kept, Memory};
use representation::{Key, Representation};
use rules::NotKept;

/// See the module.
#[derive(Debug)]
pub struct Cache {
    memory: Option<Memory>,
    disk: Option<Disk>,
    turns: Turns,
    metrics: CacheMetrics,
}

/// How large the cache is, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Whether anything is kept.
    pub is_on: bool,
    /// Bytes of entries in memory.
    pub memory_bytes: usize,
    /// Where results are kept beyond the process, if anywhere, and how many bytes of them.
    pub disk: Option<(PathBuf, u64)>,
}

pub use derive::Age;
pub use disk::Writer;
pub use probe::Forgetful;

impl Cache {
    /// A cache with nothing in memory, and the task that writes to its disk, to be run.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn open(sizes: &Sizes, metrics: CacheMetrics) -> std::io::Result<(Self, Option<Writer>)> {
        let memory = sizes.is_on.then(|| Memory::new(sizes.memory_bytes, metrics.store.clone()));
        let disk = sizes.disk.as_ref().filter(|_| sizes.is_on);
        let (disk, writer) = disk
            .map(|(directory, bytes)| {
                Disk::open("results", directory.clone(), *bytes, metrics.store.clone())
            })
            .transpose()?
            .unzip();
        Ok((Self { memory, disk, turns: Turns::default(), metrics }, writer))
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.memory.is_some()
    }

    /// A representation that is in memory as it is wanted. Costs a look-up and nothing else.
    pub fn at_hand(
        &self,
        digest: Digest,
        form: Form,
        encoding: Encoding,
    ) -> Option<Arc<Representation>> {
        let memory = self.memory.as_ref()?;
        let key = Key { digest, form, encoding };
        let found = match memory.get(&key)? {
            Kept::Whole(found) => found,
            Kept::DoesNotPay => memory.whole(&key.plain())?,
        };
        self.metrics.store.hit(Tier::Memory);
        Some(found)
    }

    /// A result as it is wanted, made from another representation if need be. An encoding is a
    /// wish: a result that does not get smaller comes as it is.
    pub async fn find(
        &self,
        digest: Digest,
        form: Form,
        encoding: Encoding,
    ) -> Option<Arc<Representation>> {
        if let Some(found) = self.at_hand(digest, form, encoding) {
            return Some(found);
        }
        let key = Key { digest, form, encoding };
        let Some((plain, tier)) = self.plain(key.plain()).await else {
            self.metrics.store.misses.inc();
            return None;
        };
        self.metrics.store.hit(tier);
        if encoding == Encoding::Identity || plain.body.len() < PACK_BYTES_MIN {
            return Some(plain);
        }
        Some(self.packed(key, plain).await)
    }

    /// Whether a result is in memory, in the form that all others are made of.
    pub fn has(&self, digest: Digest) -> bool {
        let key = Key { digest, form: Form::Binary, encoding: Encoding::Identity };
        self.memory.as_ref().is_some_and(|memory| memory.whole(&key).is_some())
    }

    /// To be asked before a job is run whose result is to be published.
    pub fn age(&self, digest: Digest) -> Age {
        self.turns.age(digest)
    }

    /// Keeps a result, whose head says that it is a hit, in place of any older one.
    ///
    /// # Errors
    /// The job was purged since its run began, which `age` tells: what is to be forgotten does not
    /// come back.
    pub async fn publish(
        &self,
        digest: Digest,
        age: Age,
        head: &AnswerHead,
        archive: Vec<Bytes>,
    ) -> Result<(), NotKept> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let Some(prefix) = representation::binary_prefix(head) else {
            return Ok(());
        };
        let key = Key { digest, form: Form::Binary, encoding: Encoding::Identity };
        let length = prefix.len() + archive.iter().map(Bytes::len).sum::<usize>();
        let _turn = self.turns.take(digest).await;
        // In its turn: a purge either is counted by now, or finds what is kept here.
        if self.turns.age(digest) != age {
            return Err(NotKept::Purged);
        }
        let rooms = memory.rooms();
        let made = derive::apart(length, move || {
            let mut body = Vec::with_capacity(length);
            body.extend_from_slice(&prefix);
            archive.iter().for_each(|piece| body.extend_from_slice(piece));
            Some(Representation::new(key, body, &rooms))
        });
        let Some(made) = made.await else { return Ok(()) };
        // What was made of an older result goes with it, even if there is no room for this one.
        memory.remove(digest);
        let made = Arc::new(made);
        if memory.insert(Arc::clone(&made)) {
            self.metrics.fills.inc();
        }
        if let Some(disk) = &self.disk {
            disk.store(digest, made.body.clone());
        }
        Ok(())
    }

    /// Forgets a result in all its representations, and that of a run that is under way before it
    /// is known. Says how many entries there were.
    pub async fn purge(&self, digest: Digest) -> usize {
        self.turns.grow_old(digest);
        let _turn = self.turns.take(digest).await;
        self.metrics.purges.inc();
        let mut dropped = self.memory.as_ref().map_or(0, |memory| memory.remove(digest));
        if let Some(disk) = &self.disk {
            dropped += usize::from(disk.remove(digest).await);
        }
        dropped
    }

    /// Waits until what is to be on disk is there. To be called when nothing more comes.
    pub async fn flush(&self) {
        if let Some(disk) = &self.disk {
            disk.flush().await;
        }
    }

    /// The result in a form, without encoding, and where it was found.
    async fn plain(&self, key: Key) -> Option<(Arc<Representation>, Tier)> {
        let memory = self.memory.as_ref()?;
        if let Some(found) = memory.whole(&key) {
            return Some((found, Tier::Memory));
        }
        let _turn = self.turns.take(key.digest).await;
        // Whoever had the turn before may have made it.
        if let Some(found) = memory.whole(&key) {
            return Some((found, Tier::Memory));
        }
        let (source, tier) = self.source(memory, key.digest).await?;
        if key.form == Form::Binary {
            return Some((source, tier));
        }
        let rooms = memory.rooms();
        let made = derive::apart(source.body.len(), move || {
            Some(Representation::new(key, derive::json(&source.body)?, &rooms))
        });
        let made = Arc::new(made.await?);
        self.metrics.derived.inc();
        memory.insert(Arc::clone(&made));
        Some((made, tier))
    }

    /// The binary form, which all others are made of. To be called in the job's turn.
    async fn source(&self, memory: &Memory, digest: Digest) -> Option<(Arc<Representation>, Tier)> {
        let key = Key { digest, form: Form::Binary, encoding: Encoding::Identity };
        if let Some(found) = memory.whole(&key) {
            return Some((found, Tier::Memory));
        }
        let (body, rooms) = (self.disk.as_ref()?.load(digest).await?, memory.rooms());
        let length = body.len();
        let read = derive::apart(length, move || Some(Representation::new(key, body, &rooms)));
        let read = Arc::new(read.await?);
        memory.insert(Arc::clone(&read));
        Some((read, Tier::Disk))
    }

    /// A result in an encoding; or as it is, if it is being changed, or if it does not pay.
    async fn packed(&self, key: Key, plain: Arc<Representation>) -> Arc<Representation> {
        let (Some(memory), Some(_turn)) = (&self.memory, self.turns.take_if_free(key.digest))
        else {
            return plain;
        };
        match memory.get(&key) {
            Some(Kept::Whole(found)) => return found,
            Some(Kept::DoesNotPay) => return plain,
            None => {}
        }
        // Only what is current may be packed: somebody may have had a turn in between.
        if !memory.whole(&plain.key).is_some_and(|current| Arc::ptr_eq(&current, &plain)) {
            return plain;
        }
        let (source, rooms) = (Arc::clone(&plain), memory.rooms());
        let made = derive::apart(source.body.len(), move || {
            let packed = derive::packed(&source.body, key.encoding, Effort::Often)?;
            Some(Representation::new(key, packed, &rooms))
        });
        let Some(made) = made.await else {
            memory.insert_does_not_pay(key);
            return plain;
        };
        self.metrics.derived.inc();
        let made = Arc::new(made);
        memory.insert(Arc::clone(&made));
        made
    }
}
