//! Random events, and the things that their numbers mean.

use std::num::NonZeroU8;
use std::time::Duration;

use pe_proto::link::LeaseId;
use pe_proto::{Arch, Digest};
use proptest::prelude::*;

use super::reference::Model;
use crate::core::broker::{Begun, Claim, Loss, NotHeld, ParkRefused, Spare, Who};
use crate::core::ids::{ClientKey, Fit, JobId, OwnerKey, SlotId, WorkerId};
use crate::core::moment::Moment;

/// Events; numbers pick among what there is, so that most of them mean something.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Arrive { offer: u8, slots_max: u8 },
    Change { worker: u8, offer: u8, is_draining: bool },
    Fetches { worker: u8, able: u8 },
    Leave { worker: u8 },
    Park { worker: u8, poll: u8, signs: bool },
    Accepted { lease: u8 },
    Quarantine { worker: u8, seconds: u8 },
    Pardon { worker: u8 },
    DrainWorker { worker: u8, is_drained: bool },
    Spare { owner: u8, who: u8, image: u8 },
    SlotGone { slot: u8 },
    HandoverFailed { lease: u8 },
    Submit { client: u8, image: u8, deadline: u8 },
    Close { job: u8 },
    BeginResult { lease: u8, is_holder: bool },
    ResultLost { job: u8, is_reported: bool },
    Pass { seconds: u8 },
    Drain,
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    use Event::*;
    let any = proptest::prelude::any::<u8>;
    let flag = proptest::prelude::any::<bool>;
    prop_oneof![
        2 => (0..4u8, 1..4u8).prop_map(|(offer, slots_max)| Arrive { offer, slots_max }),
        1 => (any(), 0..4u8, flag())
            .prop_map(|(worker, offer, is_draining)| Change { worker, offer, is_draining }),
        2 => (any(), 0..8u8).prop_map(|(worker, able)| Fetches { worker, able }),
        1 => any().prop_map(|worker| Leave { worker }),
        8 => (any(), 1..60u8, prop::bool::weighted(0.7))
            .prop_map(|(worker, poll, signs)| Park { worker, poll, signs }),
        2 => any().prop_map(|lease| Accepted { lease }),
        1 => (any(), 0..40u8).prop_map(|(worker, seconds)| Quarantine { worker, seconds }),
        1 => any().prop_map(|worker| Pardon { worker }),
        1 => (any(), flag())
            .prop_map(|(worker, is_drained)| DrainWorker { worker, is_drained }),
        2 => (0..3u8, 0..3u8, 0..3u8).prop_map(|(owner, who, image)| Spare { owner, who, image }),
        2 => any().prop_map(|slot| SlotGone { slot }),
        1 => any().prop_map(|lease| HandoverFailed { lease }),
        12 => (0..4u8, 0..3u8, 0..40u8)
            .prop_map(|(client, image, deadline)| Submit { client, image, deadline }),
        2 => any().prop_map(|job| Close { job }),
        4 => (any(), prop::bool::weighted(0.8))
            .prop_map(|(lease, is_holder)| BeginResult { lease, is_holder }),
        2 => (any(), flag()).prop_map(|(job, is_reported)| ResultLost { job, is_reported }),
        4 => (0..12u8).prop_map(|seconds| Pass { seconds }),
        1 => prop::bool::weighted(0.1).prop_map(|drain| if drain { Drain } else { Pass { seconds: 1 } }),
    ]
}

pub(super) fn image(number: u8) -> Fit {
    Fit { arch: Arch::X86_64, image: Digest([number; 32]) }
}

/// Clients differ in priority and in how many jobs they may have waiting; half of the jobs have a
/// deadline.
fn claim(client: u8, deadline: u8) -> Claim {
    Claim {
        client: ClientKey([client; 16]),
        priority: priority(client),
        queued_max: usize::from(client) + 1,
        deadline: (deadline < 20).then(|| Duration::from_secs(deadline.into())),
    }
}

pub(super) fn priority(client: u8) -> NonZeroU8 {
    NonZeroU8::MIN.saturating_add(client % 3)
}

/// Offer 0: nothing; 1: image 0; 2: image 1; 3: both. Image 2 is never on offer.
pub(super) fn images(offer: u8) -> Vec<Digest> {
    (0..2).filter(|bit| offer >> bit & 1 == 1).map(|number| image(number).image).collect()
}

/// What could be fetched: image 2, too.
pub(super) fn ables(able: u8) -> Vec<Digest> {
    (0..3).filter(|bit| able >> bit & 1 == 1).map(|number| image(number).image).collect()
}

/// Worker 3's owner is 0, and it is untrusted; and so on.
pub(super) fn owner(worker: WorkerId) -> (OwnerKey, bool) {
    let number = u8::try_from(worker.0 % 3).unwrap();
    (OwnerKey([number; 16]), worker.0 % 2 == 0)
}

/// An event whose numbers were replaced by names of things.
#[derive(Debug, Clone)]
pub(super) enum Concrete {
    Arrive(WorkerId, usize, u8),
    Change(WorkerId, u8, bool),
    Fetches(WorkerId, u8),
    Leave(WorkerId),
    Park(SlotId, WorkerId, Moment, bool),
    Accepted(LeaseId),
    Quarantine(WorkerId, Option<Moment>),
    Pardon(WorkerId),
    DrainWorker(WorkerId, bool),
    Spare(JobId, Spare, Fit),
    SlotGone(SlotId),
    HandoverFailed(LeaseId),
    Submit(JobId, Claim, Fit),
    Close(JobId),
    BeginResult(WorkerId, LeaseId),
    ResultLost(JobId, Loss),
    Tick(Moment),
    Drain,
}

#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Nothing,
    Park(Result<(), ParkRefused>),
    Begin(Result<Begun, NotHeld>),
}

/// Names of things, the youngest of each kind, so that small numbers pick living ones often.
#[derive(Debug, Default)]
pub(super) struct Names {
    next: u64,
    workers: Vec<WorkerId>,
    slots: Vec<SlotId>,
    jobs: Vec<JobId>,
    pub(super) leases: Vec<LeaseId>,
}

pub(super) fn pick<T: Copy>(items: &[T], number: u8) -> Option<T> {
    let recent = &items[items.len().saturating_sub(6)..];
    (!recent.is_empty()).then(|| recent[usize::from(number) % recent.len()])
}

impl Names {
    pub(super) fn concrete(&mut self, event: &Event, model: &Model) -> Option<Concrete> {
        self.next += 1;
        Some(match *event {
            Event::Arrive { offer, slots_max } => {
                let worker = WorkerId(self.next);
                self.workers.push(worker);
                Concrete::Arrive(worker, slots_max.into(), offer)
            }
            Event::Change { worker, offer, is_draining } => {
                let worker = pick(&self.workers, worker)?;
                Concrete::Change(worker, offer, is_draining)
            }
            Event::Fetches { worker, able } => {
                Concrete::Fetches(pick(&self.workers, worker)?, able)
            }
            Event::Leave { worker } => {
                let worker = pick(&self.workers, worker)?;
                self.workers.retain(|each| *each != worker);
                Concrete::Leave(worker)
            }
            Event::Park { worker, poll, signs } => {
                let worker = pick(&self.workers, worker)?;
                let slot = SlotId(self.next);
                self.slots.push(slot);
                let until = model.now.after(Duration::from_secs(poll.into()));
                Concrete::Park(slot, worker, until, signs)
            }
            Event::Accepted { lease } => Concrete::Accepted(pick(&self.leases, lease)?),
            Event::Quarantine { worker, seconds } => {
                // Some are without an end.
                let until = model.now.after(Duration::from_secs(seconds.into()));
                let until = Some(until).filter(|_| seconds < 30);
                Concrete::Quarantine(pick(&self.workers, worker)?, until)
            }
            Event::Pardon { worker } => Concrete::Pardon(pick(&self.workers, worker)?),
            Event::DrainWorker { worker, is_drained } => {
                Concrete::DrainWorker(pick(&self.workers, worker)?, is_drained)
            }
            Event::Spare { owner, who, image: number } => {
                let job = JobId(self.next);
                self.jobs.push(job);
                let who = [Who::Anybody, Who::Trusted, Who::Untrusted][usize::from(who)];
                let spare = Spare { not: [Some(OwnerKey([owner; 16])), None], who };
                Concrete::Spare(job, spare, image(number))
            }
            Event::SlotGone { slot } => Concrete::SlotGone(pick(&self.slots, slot)?),
            Event::HandoverFailed { lease } => Concrete::HandoverFailed(pick(&self.leases, lease)?),
            Event::Submit { client, image: number, deadline } => {
                let job = JobId(self.next);
                self.jobs.push(job);
                Concrete::Submit(job, claim(client, deadline), image(number))
            }
            Event::Close { job } => Concrete::Close(pick(&self.jobs, job)?),
            Event::BeginResult { lease, is_holder } => {
                let lease = pick(&self.leases, lease)?;
                let holder = model.held(lease).map(|held| held.worker);
                let worker = holder.filter(|_| is_holder).unwrap_or(WorkerId(0));
                Concrete::BeginResult(worker, lease)
            }
            Event::ResultLost { job, is_reported } => {
                let loss = if is_reported { Loss::Reported } else { Loss::Link };
                Concrete::ResultLost(pick(&self.jobs, job)?, loss)
            }
            Event::Pass { seconds } => {
                Concrete::Tick(model.now.after(Duration::from_secs(seconds.into())))
            }
            Event::Drain => Concrete::Drain,
        })
    }
}
