//! The words in which the broker is spoken to and answers.

use std::num::NonZeroU8;
use std::time::Duration;

use pe_proto::Digest;
use pe_proto::link::LeaseId;

use super::fleet::Offer;
use crate::core::ids::{ClientKey, Fit, JobId, OwnerKey, SlotId, WorkerId};
use crate::core::moment::Moment;

/// What the broker is bound by.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Jobs that may wait for their first lease.
    pub queue_jobs_max: usize,
    /// How long a job may wait for a lease, each time it waits.
    pub queue_wait: Duration,
    /// How long a job may wait for an image that is being fetched, if that is longer.
    pub fetch_wait: Duration,
    /// How often a job whose worker was lost is leased again.
    pub releases_max: u8,
    /// How often a job that a worker itself reported as lost is leased again.
    pub reports_max: u8,
    /// What a worker gets beyond a job's own wall clock until its result must begin.
    pub lease_grace: Duration,
    /// How long a worker that left is still counted on.
    pub worker_grace: Duration,
    /// When a lease is given to a second worker.
    pub hedge: HedgeTerms,
}

/// When a lease that shows no sign of life is given to a second worker.
#[derive(Debug, Clone, Copy)]
pub struct HedgeTerms {
    /// Of a hundred leases so many may be hedged in the long run; 0 is none ever.
    pub percent: u8,
    /// So many at once beyond that.
    pub burst: u8,
    /// How long a worker is waited for of which no sign was ever timed.
    pub wait_first: Duration,
    /// Bounds of the wait for the others, which follows their own times.
    pub wait_min: Duration,
    /// See `wait_min`.
    pub wait_max: Duration,
}

/// A worker that said hello.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Slots that it may have parked at a time.
    pub slots_max: usize,
    /// What it runs.
    pub offer: Offer,
    /// Whose it is.
    pub owner: OwnerKey,
    /// Whether its results count without another's word.
    pub is_trusted: bool,
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
    /// No client waits for it: see [`Spare`].
    pub spare: Option<Spare>,
}

/// A run that is only made with a slot that nobody else wants: leased at once or refused, never
/// queued, never hedged, never leased again, and given up for a client that would have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spare {
    /// Whose workers are not asked.
    pub not: [Option<OwnerKey>; 2],
    /// Which of the others are.
    pub who: Who,
}

/// Workers by whether they are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// All.
    Anybody,
    /// Only those.
    Trusted,
    /// Only the others.
    Untrusted,
}

impl Spare {
    /// Whether a worker is one to ask.
    pub fn admits(&self, owner: OwnerKey, is_trusted: bool) -> bool {
        let is_wanted = match self.who {
            Who::Anybody => true,
            Who::Trusted => is_trusted,
            Who::Untrusted => !is_trusted,
        };
        is_wanted && !self.not.contains(&Some(owner))
    }
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
        /// Whether another worker has the job, too, and gave no sign of life.
        is_hedge: bool,
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
    /// A worker had a lease and did not bring it to an end; told once for a worker that left.
    Lost {
        /// Which worker.
        worker: WorkerId,
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
    /// A spare run, and no slot to spare, or none any more.
    NoSpare,
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
            | Self::WorkerLost
            | Self::NoSpare => false,
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

/// What a worker tells of the images that it fetches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetches {
    /// Images that it lacks and could have.
    pub able: Vec<Digest>,
    /// Those on their way.
    pub under_way: Vec<(Digest, Fetch)>,
}

/// How far an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// Bytes of its pack that a worker has.
    pub bytes: u64,
    /// Bytes of its pack.
    pub bytes_total: u64,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// It waits for a slot.
    Queued(Place),
    /// It waits for its image, which is on its way if it is known how far.
    Fetching(Option<Fetch>),
    /// A worker has had it for so long.
    Running(Duration),
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
pub enum NotHeld {
    /// It never did, as far as is remembered.
    NotGiven,
    /// It answered it before.
    Twice,
    /// It ended a while ago.
    Late,
    /// It ended just now, or the worker left: word of that and the result crossed.
    Crossed,
}

/// A lease whose result began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Of which job.
    pub job: JobId,
    /// Whether it was the second lease of two.
    pub is_hedge: bool,
}

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
    /// Those of them that are in quarantine.
    pub quarantined: usize,
    /// When the job that waits longest was submitted.
    pub oldest: Option<Moment>,
}
