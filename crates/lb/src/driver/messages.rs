//! What the shell and the driver say to each other.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use pe_proto::JobSpec;
use pe_proto::link::{DoneHead, LeaseId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fleet::Survey;
use super::visits::Profile;
use crate::core::broker::{
    Arrival, Fetches, Loss, NotHeld, Offer, ParkRefused, Refusal, Submission, Whereabouts,
};
use crate::core::ids::{JobId, SlotId, WorkerId};
use crate::core::moment::Moment;
use crate::core::trust::Identity;
use crate::core::trust::ledger::Fault;
use crate::shell::memory::Room;

/// To the driver.
#[derive(Debug)]
pub(super) enum Message {
    Arrive {
        worker: WorkerId,
        arrival: Arrival,
        profile: Box<Profile>,
        /// Whether it may stay.
        answer: oneshot::Sender<bool>,
    },
    Change {
        worker: WorkerId,
        offer: Offer,
        is_draining: bool,
    },
    /// What it could fetch, and how far it is.
    Fetches {
        worker: WorkerId,
        fetches: Fetches,
    },
    Gone(Gone),
    Park {
        slot: SlotId,
        worker: WorkerId,
        until: Moment,
        signs: bool,
        verdict: oneshot::Sender<Result<SlotVerdict, ParkRefused>>,
    },
    Submit {
        submission: Submission,
        order: Arc<Order>,
        verdict: oneshot::Sender<JobVerdict>,
    },
    Retry {
        job: JobId,
        loss: Loss,
        verdict: oneshot::Sender<JobVerdict>,
    },
    Deliver {
        worker: WorkerId,
        lease: LeaseId,
        delivery: Box<Delivery>,
    },
    /// A sign of life: the lease arrived.
    Accepted {
        lease: LeaseId,
    },
    /// A worker did something wrong.
    Strike {
        name: Arc<str>,
        fault: Fault,
    },
    Survey(oneshot::Sender<Survey>),
    /// Where a job is; nothing if it is not known any more.
    Whereabouts {
        job: JobId,
        answer: oneshot::Sender<Option<Whereabouts>>,
    },
    OrderQuarantine {
        worker: WorkerId,
        is_on: bool,
        answer: oneshot::Sender<bool>,
    },
    OrderDrain {
        worker: WorkerId,
        is_on: bool,
        answer: oneshot::Sender<bool>,
    },
    Drain,
    ReleaseAll,
}

/// What was owned by somebody who dropped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// A worker's visit.
    Worker(WorkerId),
    /// A slot, parked or leased.
    Slot(SlotId),
    /// A job: its client left, or has its answer.
    Job(JobId),
}

/// A job as it is sent to workers.
#[derive(Debug)]
pub struct Order {
    /// For correlation of logs.
    pub request_id: String,
    /// What to run.
    pub spec: JobSpec,
    /// Its archive.
    pub body: JobBody,
    leased: OnceLock<Instant>,
    /// Its name, once it was handed in.
    job: OnceLock<JobId>,
}

impl Order {
    /// A job that no worker has yet.
    pub fn new(request_id: impl Into<String>, spec: JobSpec, body: JobBody) -> Self {
        let (leased, job) = (OnceLock::new(), OnceLock::new());
        Self { request_id: request_id.into(), spec, body, leased, job }
    }

    /// A worker has it now.
    pub(super) fn lease(&self) {
        self.leased.get_or_init(Instant::now);
    }

    /// It was handed in under this name.
    pub(super) fn name(&self, job: JobId) {
        self.job.get_or_init(|| job);
    }

    /// The name that it was handed in under first.
    pub(super) fn job(&self) -> Option<JobId> {
        self.job.get().copied()
    }

    /// How long ago a worker first had it, if one ever did.
    pub fn held(&self) -> Option<Duration> {
        self.leased.get().map(Instant::elapsed)
    }
}

/// A whole, validated archive.
#[derive(Debug, Default)]
pub struct JobBody {
    /// Its pieces.
    pub pieces: Vec<Bytes>,
    /// Their length together.
    pub bytes: u64,
    /// Its share of the memory for bodies.
    pub room: Option<Room>,
}

/// What becomes of a parked slot.
#[derive(Debug)]
pub enum SlotVerdict {
    /// It gets a job.
    Lease(Box<Assignment>),
    /// It gets none this time.
    Release,
}

/// A job for a slot.
#[derive(Debug)]
pub struct Assignment {
    /// Name of the lease.
    pub lease: LeaseId,
    /// The job.
    pub order: Arc<Order>,
    /// How long the worker has until the result must begin.
    pub deadline: Duration,
    /// How the lease ends. A sender that is gone means cancelled.
    pub ended: oneshot::Receiver<LeaseEnd>,
}

/// How a lease ends on our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEnd {
    /// Its result has begun.
    Settled,
    /// Nobody waits for its result.
    Cancelled,
}

/// What becomes of a job.
#[derive(Debug)]
pub enum JobVerdict {
    /// Its result has begun. If it turns out useless, [`super::RunningJob::retry`].
    Delivered {
        /// The result.
        delivery: Box<Delivery>,
        /// How long the job waited for leases.
        queued: Duration,
        /// Its position in the queue when it came; 0 if it did not wait.
        position: usize,
    },
    /// It will not be run.
    Refused(Refusal),
    /// A worker had it and did not answer in time.
    Overdue,
}

/// The pieces of an archive as they arrive.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, PieceLost>> + Send>>;

/// The stream of an archive broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("result was cut off")]
pub struct PieceLost;

/// A result on its way from a worker to a client.
pub struct Delivery {
    /// What came first.
    pub head: DoneHead,
    /// Who sends it.
    pub origin: Arc<Identity>,
    /// The archive.
    pub pieces: Pieces,
    /// For word to the worker. Dropped when nobody wants the result any more.
    pub receipt: oneshot::Sender<Receipt>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("head", &self.head).finish_non_exhaustive()
    }
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It was taken whole.
    Taken,
    /// It was not what it said to be.
    Bad,
    /// Nobody waits for it: the lease is not this worker's, or no longer.
    NotHeld(NotHeld),
}
