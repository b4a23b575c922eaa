//! The worker's memory: how much there is, and who has it.
//!
//! VMs are counted once and for all; what comes and goes are the io files of jobs and the results
//! that wait to be sent. A VM is offered only once there is room for all that its job may write,
//! so a job that was leased never waits for memory, and one for which there is none waits where
//! it can go elsewhere: at the LB.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::budget::{IO_FILE_MIB, Plan};
use crate::limits::{MEMORY_RESERVE_MIB, MEMORY_RESERVE_PART};
use crate::metrics::Metrics;

const MIB: u64 = 1024 * 1024;

/// What may be used on this host if nobody says: what is available, less a reserve.
pub fn available_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let (total, available) = (meminfo(&text, "MemTotal:"), meminfo(&text, "MemAvailable:"));
    let reserve = (total / MEMORY_RESERVE_PART).max(MEMORY_RESERVE_MIB);
    available.min(own_cgroup_mib().unwrap_or(u64::MAX)).saturating_sub(reserve)
}

fn meminfo(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// What the worker's own cgroup still allows, where it has one with a limit: in a container the
/// host's figure says nothing.
fn own_cgroup_mib() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let dir = Path::new("/sys/fs/cgroup").join(path);
    let read = |name| std::fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
    Some(read("memory.max")?.saturating_sub(read("memory.current")?) / MIB)
}

/// Room for io files and results. Clones share it.
#[derive(Debug, Clone)]
pub struct Rooms {
    io: Arc<Semaphore>,
    /// MiB that rooms have. What the semaphore sets aside for who waits is nobody's yet.
    held: Arc<AtomicU64>,
    plan: Plan,
    metrics: Metrics,
}

/// Room that somebody has. Dropping it gives it back.
#[derive(Debug)]
pub struct Room {
    permit: OwnedSemaphorePermit,
    rooms: Rooms,
}

impl Rooms {
    /// All of a plan's room, free.
    pub fn new(plan: Plan, metrics: Metrics) -> Self {
        let io = usize::try_from(plan.io_mib).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let rooms = Self { io: Arc::new(Semaphore::new(io)), held: Arc::default(), plan, metrics };
        rooms.metrics.memory_budget(plan.fixed_mib.saturating_add(plan.io_mib) * MIB);
        rooms.show();
        rooms
    }

    /// Room for an io file, when there is some; first come, first served. `None` never: the
    /// semaphore is not closed.
    ///
    /// # Cancel safety
    /// The place in the queue is lost, nothing else.
    pub async fn io_file(&self) -> Option<Room> {
        let pages = u32::try_from(IO_FILE_MIB).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.io).acquire_many_owned(pages).await.ok()?;
        self.held.fetch_add(u64::from(pages), Ordering::Relaxed);
        self.show();
        Some(Room { permit, rooms: self.clone() })
    }

    fn show(&self) {
        let held = self.held.load(Ordering::Relaxed);
        self.metrics.memory_used(self.plan.fixed_mib.saturating_add(held).saturating_mul(MIB));
    }
}

impl Room {
    /// Keeps only what so many bytes take.
    pub fn shrink(&mut self, bytes: u64) {
        let keep = usize::try_from(bytes.div_ceil(MIB)).unwrap_or(usize::MAX);
        let spare = self.permit.num_permits().saturating_sub(keep);
        drop(self.permit.split(spare));
        self.rooms.held.fetch_sub(u64::try_from(spare).unwrap_or(0), Ordering::Relaxed);
        self.rooms.show();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn memory(io_mib: u64) -> (Rooms, Metrics) {
        let metrics = Metrics::new().expect("metrics");
        (Rooms::new(Plan { fixed_mib: 100, io_mib }, metrics.clone()), metrics)
    }

    fn used_mib(metrics: &Metrics) -> u64 {
        let text = metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix("pe_worker_memory_used_bytes "));
        line.expect("there").parse::<u64>().expect("a number") / MIB
    }

    #[tokio::test]
    async fn a_job_waits_for_memory_until_a_result_is_small_or_gone() {
        let (memory, metrics) = memory(2 * IO_FILE_MIB + 10);
        let mut first = memory.io_file().await.expect("room");
        let second = memory.io_file().await.expect("room");
        assert!(memory.io_file().now_or_never().is_none());
        assert_eq!(used_mib(&metrics), 100 + 2 * IO_FILE_MIB);
        // A result of 11 MiB leaves one MiB too little, one of 10 just enough.
        first.shrink(11 * MIB);
        assert!(memory.io_file().now_or_never().is_none());
        first.shrink(10 * MIB);
        first.shrink(20 * MIB);
        let third = memory.io_file().now_or_never().flatten().expect("room");
        assert_eq!(used_mib(&metrics), 110 + 2 * IO_FILE_MIB);
        drop((first, second, third));
        assert_eq!(used_mib(&metrics), 100);
    }

    #[test]
    fn this_host_says_what_it_has() {
        assert!(available_mib() > 0);
        assert_eq!(meminfo("MemTotal:       2048 kB\n", "MemTotal:"), 2);
    }
}
