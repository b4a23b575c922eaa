//! What the operator is shown of the broker: everything, at the cost of a walk through all of it.

use std::collections::HashMap;
use std::time::Duration;

use pe_proto::link::LeaseId;

use super::{Broker, JobState};
use crate::core::ids::{ClientKey, Fit, JobId, WorkerId};
use crate::core::moment::Moment;

/// How a worker is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerCensus {
    /// Slots parked.
    pub parked: usize,
    /// Leases held.
    pub leased: usize,
    /// Smoothed time until it shows that a lease arrived, if that was ever timed.
    pub round_trip: Option<Duration>,
    /// Whether it gets no more jobs, by its own word or the operator's.
    pub is_draining: bool,
    /// Whether a sign of life of it is missed.
    pub is_silent: bool,
    /// Whether it is in quarantine.
    pub is_quarantined: bool,
}

/// A job that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingJob {
    /// Which.
    pub job: JobId,
    /// Whose.
    pub client: ClientKey,
    /// What it needs.
    pub fit: Fit,
    /// For how long, this time.
    pub waited: Duration,
}

/// A job that a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldLease {
    /// Which lease.
    pub lease: LeaseId,
    /// Of which job.
    pub job: JobId,
    /// Who has it.
    pub worker: WorkerId,
    /// For how long.
    pub age: Duration,
    /// Whether another worker has the job, too, and had it first.
    pub is_hedge: bool,
}

impl Broker {
    /// How each worker is.
    pub fn workers(&self) -> HashMap<WorkerId, WorkerCensus> {
        let mut workers: HashMap<_, _> = self.fleet.standings().collect();
        for lease in self.leases.values() {
            if let Some(worker) = workers.get_mut(&lease.worker) {
                worker.leased += 1;
            }
        }
        workers
    }

    /// Jobs that wait, in the order they came.
    pub fn waiting(&self, now: Moment) -> Vec<WaitingJob> {
        let jobs = self.jobs.iter().filter(|(_, job)| match job.state {
            JobState::Waiting { .. } => true,
            JobState::Leased { .. } | JobState::Answering { .. } => false,
        });
        let mut waiting: Vec<WaitingJob> = jobs
            .map(|(id, job)| WaitingJob {
                job: *id,
                client: job.client,
                fit: job.fit,
                waited: now.since(job.waiting_since),
            })
            .collect();
        waiting.sort_unstable_by_key(|row| row.job);
        waiting
    }

    /// Leases, in the order they were made.
    pub fn held(&self, now: Moment) -> Vec<HeldLease> {
        let mut held: Vec<HeldLease> = self
            .leases
            .iter()
            .map(|(id, lease)| HeldLease {
                lease: *id,
                job: lease.job,
                worker: lease.worker,
                age: now.since(lease.began),
                is_hedge: lease.is_hedge,
            })
            .collect();
        held.sort_unstable_by_key(|row| row.lease);
        held
    }
}
