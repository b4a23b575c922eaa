//! The words in which the broker is spoken to and answers.

use std::num::NonZeroU8;
use std::time::Duration;

use pe_proto::link::LeaseId;

use crate::core::ids::{ClientKey, Fit, JobId, SlotId};
use crate::core::moment::Moment;

/// What the broker is bound by.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Jobs that may wait for their first lease.
    pub queue_jobs_max: usize,
    /// How long a job may wait for a lease, each time it waits.
    pub queue_wait: Duration,
    /// How often a job whose worker was lost is leased again.
    pub releases_max: u8,
    /// How often a job that a worker itself reported as lost is leased again.
    pub reports_max: u8,
    /// What a worker gets beyond a job's own wall clock until its result must begin.
    pub lease_grace: Duration,
    /// How long a worker that left is still counted on.
    pub worker_grace: Duration,
}

/// Whose a job is, and how it may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whose turn it takes.
    pub client: ClientKey,
    /// How many jobs of this client go before it is the next one's turn.
    pub priority: NonZeroU8,
    /// How many of them may wait at a time.
    pub queued_max: usize,
    /// How long from now its answer is of use.
    pub deadline: Option<Duration>,
}

impl From<ClientKey> for Claim {
    fn from(client: ClientKey) -> Self {
        Self { client, priority: NonZeroU8::MIN, queued_max: usize::MAX, deadline: None }
    }
}

/// A job to be run.
#[derive(Debug, Clone, Copy)]
pub struct Submission {
    /// Its name.
    pub job: JobId,
    /// Whose it is.
    pub claim: Claim,
    /// What it needs.
    pub fit: Fit,
    /// Its own wall clock.
    pub wall: Duration,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Send the job to the slot's worker.
    Lease {
        /// Name of the new lease.
        lease: LeaseId,
        /// Which slot.
        slot: SlotId,
        /// Which job.
        job: JobId,
        /// How long the worker has until the result must begin.
        deadline: Duration,
        /// How long the job waited for it.
        waited: Duration,
        /// Its position when it began to wait; 0 if a slot was there.
        position: usize,
    },
    /// Answer the parked request: no job this time.
    Release {
        /// Which slot.
        slot: SlotId,
    },
    /// End the lease's stream: its result has begun.
    Settle {
        /// Which slot.
        slot: SlotId,
    },
    /// Reset the lease's stream: nobody waits for the result.
    Cancel {
        /// Which slot.
        slot: SlotId,
    },
    /// Tell the client that the job will not be run.
    Refuse {
        /// Which job.
        job: JobId,
        /// Why.
        refusal: Refusal,
    },
    /// Tell the client that the load balancer's clock ended the job. A cancel of its slot follows.
    Overdue {
        /// Which job.
        job: JobId,
    },
}

/// Why a job is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The load balancer is shutting down.
    Draining,
    /// Too many jobs wait.
    QueueFull(Place),
    /// Too many jobs of this client wait.
    ClientQueueFull(Place),
    /// It would wait longer than it may.
    TooLong(Place),
    /// No slot came free in time.
    QueueTimeout(Place),
    /// No worker can run it.
    NoWorker,
    /// Each worker that took it was lost.
    WorkerLost,
}

impl Refusal {
    /// Whether it is about what one client may have, or wants: others need not be refused.
    pub fn is_of_one_client(self) -> bool {
        match self {
            Self::ClientQueueFull(_) | Self::TooLong(_) => true,
            Self::Draining
            | Self::QueueFull(_)
            | Self::QueueTimeout(_)
            | Self::NoWorker
            | Self::WorkerLost => false,
        }
    }
}

/// Where a job stands in the queue, or would stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// 1 is the next to be leased, if nobody comes in between.
    pub position: usize,
    /// How long until it is leased, if slots come free as they did lately.
    pub wait: Option<Duration>,
}

/// How a lease or a result was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Its stream ended, or what came over it was not a result.
    Link,
    /// The worker said that it lost the VM.
    Reported,
}

/// A result for a lease that this worker does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lease is not held by this worker")]
pub struct NotHeld;

/// How many of everything there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Jobs that wait.
    pub waiting: usize,
    /// Jobs that are leased.
    pub leased: usize,
    /// All jobs, those being answered included.
    pub jobs: usize,
    /// Parked slots.
    pub parked: usize,
    /// Workers.
    pub workers: usize,
    /// When the job that waits longest was submitted.
    pub oldest: Option<Moment>,
}
