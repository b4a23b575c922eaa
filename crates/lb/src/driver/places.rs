//! How many of everything there may be, each kind by itself: a flood of one never takes the
//! places of another.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{JOBS_MAX, SLOTS_MAX, WORKER_CONNECTIONS_MAX};

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Of jobs.
    #[error("{JOBS_MAX} jobs are waiting, running or being answered, and no more can be taken")]
    Jobs,
    /// Of slots.
    #[error("{SLOTS_MAX} slots are parked or leased, and no more can be taken")]
    Slots,
    /// Of workers.
    #[error("{WORKER_CONNECTIONS_MAX} workers are here, and no more can be taken")]
    Workers,
    /// This worker is here too often.
    #[error("too many connections of this worker")]
    Visits,
    /// Of messages to the driver.
    #[error("too much is going on at once")]
    Inbox,
}

/// Places; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Places {
    jobs: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

impl Places {
    pub(super) fn new() -> Self {
        let of = |most| Arc::new(Semaphore::new(most));
        Self { jobs: of(JOBS_MAX), slots: of(SLOTS_MAX), workers: of(WORKER_CONNECTIONS_MAX) }
    }

    pub(super) fn job(&self) -> Result<OwnedSemaphorePermit, Busy> {
        Arc::clone(&self.jobs).try_acquire_owned().map_err(|_| Busy::Jobs)
    }

    pub(super) fn slot(&self) -> Result<OwnedSemaphorePermit, Busy> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Busy::Slots)
    }

    pub(super) fn worker(&self) -> Result<OwnedSemaphorePermit, Busy> {
        Arc::clone(&self.workers).try_acquire_owned().map_err(|_| Busy::Workers)
    }
}
