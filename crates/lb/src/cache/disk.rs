//! Entries on disk: a tier below the memory that outlives the process. One for results, and one,
//! if it is set, for shares.
//!
//! A file holds the bytes of one entry, of a result in its binary form; it is written beside its place and renamed, so a
//! name always means a whole file, and everything is checked by hash when it is read: a file that
//! is not what it says is a miss, and removed. Nothing is synced: what a crash of the machine
//! tears is found by its hash. The index (which entries there are, and how recently they were
//! used) is in memory alone and rebuilt at the start from names and sizes, in the background;
//! until then a look-up asks the directory itself.
//!
//! All that blocks is done on threads for that. One task writes and removes, in the order in which
//! it was asked; when it does not keep up, entries are not written, and that is counted. A
//! directory belongs to one process; two that overlap for a restart do each other no harm.

mod files;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync;
use pe_proto::Digest;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::limits::{DISK_BLOCK_BYTES, DISK_READS_MAX, DISK_WRITES_WAITING_MAX};
use crate::metrics::cache::{StoreMetrics, Tier};
use files::{Files, NotRead};

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    files: Files,
    index: Index,
    reads: Arc<Semaphore>,
    queue: mpsc::Sender<Order>,
    /// What it holds, for the log.
    what: &'static str,
    metrics: StoreMetrics,
}

/// What there is, by least recent use, weighed by the blocks of files.
#[derive(Debug, Clone)]
struct Index {
    entries: sync::Cache<Digest, u32>,
    is_whole: Arc<AtomicBool>,
    /// Thrown out, and not yet removed.
    evicted: Arc<Mutex<Vec<Digest>>>,
}

/// For the writing task.
#[derive(Debug)]
enum Order {
    Store(Digest, Bytes),
    Remove(Digest, oneshot::Sender<bool>),
    /// All that was ordered before is done.
    Done(oneshot::Sender<()>),
}

/// The writing task. It ends when nobody can order any more.
#[derive(Debug)]
pub struct Writer {
    disk: Disk,
    orders: mpsc::Receiver<Order>,
    is_failing: bool,
}

impl Disk {
    /// A tier in a directory, which is made if it is not there.
    pub(crate) fn open(
        what: &'static str,
        directory: PathBuf,
        bytes_max: u64,
        metrics: StoreMetrics,
    ) -> std::io::Result<(Self, Writer)> {
        let files = Files::open(directory)?;
        let (queue, orders) = mpsc::channel(DISK_WRITES_WAITING_MAX);
        let index = Index::new(bytes_max, metrics.clone());
        let reads = Arc::new(Semaphore::new(DISK_READS_MAX));
        let disk = Self { files, index, reads, queue, what, metrics };
        Ok((disk.clone(), Writer { disk, orders, is_failing: false }))
    }

    /// Writes an entry, some time from now; says whether it will be tried.
    pub(crate) fn store(&self, digest: Digest, body: Bytes) -> bool {
        let is_taken = self.queue.try_send(Order::Store(digest, body)).is_ok();
        if !is_taken {
            self.metrics.disk_behind.inc();
        }
        is_taken
    }

    /// Whether there is an entry, as far as is known; using it keeps it.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.index.entries.get(&digest).is_some()
    }

    /// The bytes of an entry.
    pub(crate) async fn load(&self, digest: Digest) -> Option<Vec<u8>> {
        if self.index.entries.get(&digest).is_none() && self.index.is_whole() {
            return None;
        }
        let _place = self.reads.acquire().await.ok()?;
        let files = self.files.clone();
        let read = spawn_blocking(move || files.read(digest)).await.ok()?;
        match read {
            Ok(body) => return Some(body),
            Err(NotRead::Absent) => {}
            Err(NotRead::Corrupt) => {
                self.metrics.disk_corrupt.inc();
                warn!(
                    what = self.what,
                    name = digest.hex(),
                    "entry on disk is corrupt and removed"
                );
                self.remove(digest).await;
            }
            Err(NotRead::Io(error)) => {
                self.metrics.disk_failures.inc();
                warn!(what = self.what, name = digest.hex(), %error, "entry on disk cannot be read");
            }
        }
        self.index.entries.invalidate(&digest);
        None
    }

    /// Removes an entry; it is gone when this returns. Says whether it was there.
    pub(crate) async fn remove(&self, digest: Digest) -> bool {
        let (done, removed) = oneshot::channel();
        if self.queue.send(Order::Remove(digest, done)).await.is_err() {
            return false;
        }
        removed.await.unwrap_or(false)
    }

    /// Waits until all that was ordered is done.
    pub(crate) async fn flush(&self) {
        let (done, all) = oneshot::channel();
        if self.queue.send(Order::Done(done)).await.is_ok() {
            let _ = all.await;
        }
    }
}

impl Index {
    fn new(bytes_max: u64, metrics: StoreMetrics) -> Self {
        let evicted: Arc<Mutex<Vec<Digest>>> = Arc::default();
        let on_removal = {
            let evicted = Arc::clone(&evicted);
            move |digest: Arc<Digest>, _, cause: RemovalCause| {
                if cause == RemovalCause::Size {
                    metrics.evicted(Tier::Disk);
                    evicted.lock().unwrap_or_else(PoisonError::into_inner).push(*digest);
                }
            }
        };
        let entries = sync::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_, length: &u32| *length)
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(on_removal)
            .build();
        Self { entries, is_whole: Arc::default(), evicted }
    }

    fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Acquire)
    }

    fn insert(&self, digest: Digest, length: u64) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let blocks = length.checked_next_multiple_of(DISK_BLOCK_BYTES).unwrap_or(u32::MAX);
        self.entries.insert(digest, blocks);
    }

    /// What was thrown out since the last time.
    fn take_evicted(&self) -> Vec<Digest> {
        self.entries.run_pending_tasks();
        let mut evicted = self.evicted.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *evicted);
        // It may have come back since.
        taken.into_iter().filter(|digest| !self.entries.contains_key(digest)).collect()
    }
}

impl Writer {
    /// Finds what is there, and then does what is ordered.
    pub async fn run(mut self) {
        self.scan().await;
        while let Some(order) = self.orders.recv().await {
            match order {
                Order::Store(digest, body) => self.store(digest, body).await,
                Order::Remove(digest, done) => {
                    self.disk.index.entries.invalidate(&digest);
                    let files = self.disk.files.clone();
                    let removed = spawn_blocking(move || files.remove(&[digest])).await;
                    let _ = done.send(removed.is_ok_and(|count| count > 0));
                }
                Order::Done(done) => {
                    let _ = done.send(());
                }
            }
            self.observe();
        }
    }

    async fn scan(&self) {
        let (files, index) = (self.disk.files.clone(), self.disk.index.clone());
        let found = spawn_blocking(move || {
            let found = files.scan();
            for entry in &found {
                index.insert(entry.digest, entry.length);
            }
            files.remove(&index.take_evicted());
            index.is_whole.store(true, Ordering::Release);
            found.len()
        });
        if let Ok(found) = found.await {
            info!(what = self.disk.what, entries = found, "disk read");
        }
        self.observe();
    }

    async fn store(&mut self, digest: Digest, body: Bytes) {
        let (files, index) = (self.disk.files.clone(), self.disk.index.clone());
        let written = spawn_blocking(move || {
            let length = files.write(digest, &body)?;
            index.insert(digest, length);
            files.remove(&index.take_evicted());
            Ok::<(), std::io::Error>(())
        });
        let Ok(written) = written.await else { return };
        // A full disk is told once, not with every result.
        match written {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                self.disk.metrics.disk_failures.inc();
                if !self.is_failing {
                    warn!(what = self.disk.what, %error, "entries cannot be written to disk");
                }
                self.is_failing = true;
            }
        }
    }

    fn observe(&self) {
        let entries = &self.disk.index.entries;
        self.disk.metrics.holds(Tier::Disk, entries.entry_count(), entries.weighted_size());
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::metrics::Metrics;

    fn open(place: &tempfile::TempDir, bytes_max: u64) -> (Disk, JoinSet<()>) {
        let metrics = Metrics::new().unwrap().cache.store;
        let (disk, writer) =
            Disk::open("results", place.path().to_owned(), bytes_max, metrics).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run());
        (disk, tasks)
    }

    fn store(disk: &Disk, number: u8) {
        assert!(disk.store(Digest([number; 32]), vec![number; 1000].into()));
    }

    async fn known(disk: &Disk) -> Vec<u8> {
        let mut known = Vec::new();
        for number in 0..20 {
            if let Some(body) = disk.load(Digest([number; 32])).await {
                assert_eq!(body, vec![number; 1000]);
                known.push(number);
            }
        }
        known
    }

    #[tokio::test]
    async fn the_least_recently_used_go_when_the_disk_is_full() {
        let place = tempfile::tempdir().unwrap();
        let (disk, _tasks) = open(&place, 5 * 4096 + 4000);
        for number in 0..5 {
            store(&disk, number);
        }
        disk.flush().await;
        assert_eq!(known(&disk).await, [0, 1, 2, 3, 4]);
        assert!(disk.load(Digest([0; 32])).await.is_some());
        store(&disk, 5);
        store(&disk, 6);
        disk.flush().await;
        assert_eq!(known(&disk).await, [0, 3, 4, 5, 6]);
        assert_eq!(disk.files.scan().len(), 5, "nothing else is there");
    }

    #[tokio::test]
    async fn a_disk_is_found_as_it_was_left_and_kept_within_a_smaller_bound() {
        let place = tempfile::tempdir().unwrap();
        let (disk, mut tasks) = open(&place, 100_000);
        for number in 0..10 {
            store(&disk, number);
        }
        assert!(disk.remove(Digest([3; 32])).await);
        assert!(!disk.remove(Digest([3; 32])).await);
        tasks.shutdown().await;
        let (disk, mut tasks) = open(&place, 100_000);
        // Whether the directory was read by then or not.
        assert_eq!(known(&disk).await, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        tasks.shutdown().await;
        let (disk, _tasks) = open(&place, 3 * 4096);
        disk.flush().await;
        assert_eq!(known(&disk).await.len(), 3);
        assert_eq!(disk.files.scan().len(), 3);
    }
}
