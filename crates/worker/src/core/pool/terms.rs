//! The words of the policy: what it is told, what it knows, what it decides.

use std::time::Duration;

use pe_proto::Digest;

use crate::limits::{
    IMAGE_FAILURES_MAX, QUARANTINE_MAX, QUARANTINE_MIN, REBUILD_MAX, REBUILD_MIN, RESTORES_MAX,
    START_BACKOFF_MAX, START_BACKOFF_MIN, STARTING_MAX, STARTS_PER_SLOT_SECOND, TRIALS_MAX,
};

/// One VM's worth of capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

impl std::fmt::Display for SlotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How many slots a host has: its cores less those kept free, and never none.
pub fn slots_of(cores: u32, spare: u32) -> u32 {
    cores.saturating_sub(spare).max(1)
}

/// What the policy is told once.
#[derive(Debug, Clone)]
pub struct PoolTerms {
    /// Jobs at a time: VMs on offer or leased.
    pub slots: u32,
    /// VMs beyond them that are kept ready, so that a job that ends makes room at once and not
    /// only when its VM's successor is there.
    pub standby: u32,
    /// VMs starting at a time. Starting is all CPU, and jobs need it too.
    pub starting_max: u32,
    /// Starts per second in the long run; beyond it each VM may be started and once replaced.
    pub starts_per_second: u32,
    /// Failures in a row after which the zygote is given up.
    pub restores_max: u32,
    /// Failed trials in a row after which the zygote is given up.
    pub trials_max: u32,
    /// Wait after the first failure; doubles with each further one.
    pub backoff_min: Duration,
    /// Longest wait.
    pub backoff_max: Duration,
    /// Wait before a zygote that was given up is built anew; doubles as `backoff_min` does.
    pub rebuild_min: Duration,
    /// Longest such wait.
    pub rebuild_max: Duration,
    /// Jobs of an image lost in a row, by our fault, after which the image is tried.
    pub image_failures_max: u32,
    /// How long an image that failed its trial is left alone; doubles with each further failure.
    pub quarantine_min: Duration,
    /// Longest such time.
    pub quarantine_max: Duration,
    /// Whether there are to be zygotes; else VMs are booted, and a rebuild only takes up another
    /// kernel.
    pub restores: bool,
    /// Whether the first VM of each zygote is tried before others like it are offered.
    pub trials: bool,
}

impl PoolTerms {
    /// The worker's own bounds, for a number of slots.
    pub fn of(slots: u32, standby: u32) -> Self {
        Self {
            slots,
            standby,
            starting_max: STARTING_MAX,
            starts_per_second: STARTS_PER_SLOT_SECOND.saturating_mul(slots),
            restores_max: RESTORES_MAX,
            trials_max: TRIALS_MAX,
            backoff_min: START_BACKOFF_MIN,
            backoff_max: START_BACKOFF_MAX,
            rebuild_min: REBUILD_MIN,
            rebuild_max: REBUILD_MAX,
            image_failures_max: IMAGE_FAILURES_MAX,
            quarantine_min: QUARANTINE_MIN,
            quarantine_max: QUARANTINE_MAX,
            restores: true,
            trials: true,
        }
    }

    /// VMs alive at a time, whatever they do.
    pub fn places(&self) -> u32 {
        self.slots.saturating_add(self.standby)
    }
}

/// What a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Nothing in it.
    Empty,
    /// A VM is being made.
    Starting,
    /// A VM waits, and nobody holds it.
    Ready,
    /// A VM waits, and the link offers it.
    Offered,
    /// A VM runs a job.
    Leased,
    /// A VM runs a job of ours, to find out whether it can.
    Trial,
    /// A VM that nobody will use is being killed.
    Ending,
}

impl Slot {
    /// All states, in order of life.
    pub const ALL: [Self; 7] = [
        Self::Empty,
        Self::Starting,
        Self::Ready,
        Self::Offered,
        Self::Leased,
        Self::Trial,
        Self::Ending,
    ];

    /// Name, as in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Offered => "offered",
            Self::Leased => "leased",
            Self::Trial => "trial",
            Self::Ending => "ending",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time passed, or the worker began.
    Tick,
    /// A VM became ready.
    Started(SlotId),
    /// A VM could not be made.
    StartFailed(SlotId),
    /// Somebody wants a ready VM.
    Wanted,
    /// Somebody who wanted one wants it no more.
    Unwanted,
    /// An offered VM got a job.
    Leased(SlotId),
    /// An offered VM came back unused.
    GivenBack(SlotId),
    /// A VM is gone: killed after its job, or dead by itself.
    Gone(SlotId),
    /// The trial in a slot went well; its VM is gone.
    TrialPassed(SlotId),
    /// The trial in a slot did not; its VM is gone.
    TrialFailed(SlotId),
    /// What zygotes are made of changed, or somebody wants another one.
    InputsChanged,
    /// There is a new zygote.
    Rebuilt,
    /// There is not, and the old one, if there is one, is as it was.
    RebuildFailed,
    /// A job of an image was lost by a fault of ours, or of the job's: nobody can tell.
    ImageFailed(Digest),
    /// A job of an image came back with an answer.
    ImageWorked(Digest),
    /// An image is not what it should be, and will not become so.
    ImageCondemned(Digest),
    /// An image has come that was not here before: it is tried before it is offered.
    ImageArrived(Digest),
    /// An image is not here any more, nor is what was held against it.
    ImageLeft(Digest),
    /// No new work.
    Drain,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Make a VM.
    Start(SlotId, How),
    /// Hand the slot's VM to whoever asked first.
    Offer(SlotId),
    /// Ask for a VM on offer to be given back.
    Recall(SlotId),
    /// Kill the slot's VM: it is ready and nobody will use it.
    Discard(SlotId),
    /// Run a job of our own in the slot's VM and tell how it went.
    Try(SlotId, Subject),
    /// Make a new zygote.
    Rebuild,
    /// Offer an image no more.
    Quarantine(Digest),
    /// Offer it again.
    Release(Digest),
    /// Do not offer an image yet.
    Withhold(Digest),
    /// It is not here: there is nothing to be said about it.
    Forget(Digest),
    /// Nothing is alive and nothing will be.
    Drained,
}

/// How to make a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// From the zygote.
    Restore,
    /// From the kernel up.
    Boot,
}

impl How {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Restore, Self::Boot];

    /// Name, as in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Boot => "boot",
        }
    }
}

/// What a trial finds out about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Whether VMs made like this one run jobs. The number tells one attempt from the next, so
    /// that not each of them depends on the same image.
    Worker(u32),
    /// Whether jobs of this image run.
    Image(Digest),
}

/// An event that cannot be in the state things are in: a defect of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("pool cannot take {event:?}: slot is {state:?}")]
pub struct Refused {
    /// What its slot is doing; `None` if there is no such slot, or the event has none.
    pub state: Option<Slot>,
    /// What was told.
    pub event: Event,
}
