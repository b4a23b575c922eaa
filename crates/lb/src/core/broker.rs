//! The broker: which job runs in which slot.
//!
//! It owns the waiting jobs, the parked slots and the leases between them, and nothing else: no
//! sockets, no clock, no bytes of a job. Each method is one event; what follows from it is left
//! in [`Broker::next_decision`], to be carried out in order by the driver.
//!
//! ```text
//!             submit                lease             begin_result
//!   (client) --------> Waiting ---------------> Leased -----------> Answering --close--> (gone)
//!                       |  ^   \                 |   |                  |
//!              too late |  |    \ close          |   | overdue          | result_lost
//!              refused  |  |     \               |   v                  |
//!                       v  |      v              |  (answered: timed out)
//!                    (gone) \   (gone)           |                      |
//!                            \-------------------+----------------------/
//!                              slot gone: again, at most `releases_max` times, then refused
//! ```
//!
//! Leased is by one worker, or by two: a lease of which no sign of life came in a time scaled to
//! its worker's round trip is *hedged*, given to a slot of another worker if one is parked and
//! the budget allows. The first result wins and the other lease is cancelled; if either is lost,
//! the job stays leased by the other. A worker that gave no sign is passed over until it is
//! heard of: its other slots are most likely as dead.
//!
//! Invariants, held by the property test in `broker/model.rs`:
//! - a job is in exactly one of these states and gets exactly one final decision (a refusal, or
//!   overdue), or was begun to be answered, or was closed by its client;
//! - a slot is leased at most once, and only while it was parked;
//! - a job is hedged at most once, is never leased by more than two, and never twice by one worker
//!   at a time;
//! - the slot leased is the most recently parked one that fits (the oldest poll is likeliest
//!   dead), of another worker than the one that lost the job, if there is another at all;
//! - no job waits while a slot that may take it is parked;
//! - a spare run ([`Spare`]) begins only while nobody waits and another slot that fits stays parked,
//!   and gives way as soon as a client's job that could have its slot would have to wait;
//! - a job is queued at its submission only if fewer than `queue_jobs_max` wait, and fewer of its
//!   client than that may have. A job that was leased already is never refused for a full queue:
//!   it was admitted, and there are no more of these than there are leases;
//! - clients take turns, of as many jobs as their priority says; a client's jobs go in order of
//!   arrival among those that a slot fits; jobs that lost their worker go first, and out of turn;
//! - a job that would wait longer than it may, by its place in that order and by how fast slots
//!   came free lately, is refused at its submission, if enough is known. Who waits knows its place.
//!
//! A job that no known worker can run is refused at once, not at its deadline: known are the
//! workers here now, and those that were here within `worker_grace` (a worker that reconnects,
//! or a load balancer that just started, is waited for).
//!
//! Workers may fetch images. A job of one that nobody offers, but somebody could fetch, waits as
//! long as that may take; [`wants`] has it.
//!
//! Cost: matching is logarithmic in slots and jobs, and linear in the number of *distinct* offers
//! (sets of images) that hold the image, which is one for a fleet of equal workers.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::num::NonZeroU8;
use std::time::Duration;

use pe_proto::link::LeaseId;

use super::ids::{ClientKey, Fit, JobId, SlotId, WorkerId};
use super::moment::Moment;
use fleet::{Fleet, Hold};
use pace::Pace;
use queue::{Lane, Queue};
use rtt::Budget;
use timers::{Timer, Timers};

pub use fleet::{Offer, ParkRefused};
pub use survey::{HeldLease, WaitingJob, WorkerCensus};
pub use terms::{
    Arrival, Begun, Census, Claim, Decision, Fetch, Fetches, HedgeTerms, Loss, NotHeld, Place,
    Refusal, Spare, Submission, Terms, Whereabouts, Who,
};

mod fleet;
mod hedge;
mod pace;
mod places;
mod queue;
mod rtt;
mod spare;
mod steps;
mod survey;
mod terms;
mod timers;
mod wants;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

/// See the module.
#[derive(Debug)]
pub struct Broker {
    terms: Terms,
    fleet: Fleet,
    queue: Queue,
    pace: Pace,
    jobs: HashMap<JobId, Job>,
    leases: HashMap<LeaseId, Lease>,
    leased_slots: HashMap<SlotId, LeaseId>,
    timers: Timers,
    /// Workers in quarantine, and when that ends, if it does by itself.
    quarantines: HashMap<WorkerId, Option<Moment>>,
    hedges: Budget,
    /// Those of spare runs.
    spare_leases: BTreeSet<LeaseId>,
    next_lease: u64,
    draining: bool,
    /// Somebody fetches who was not asked to yet.
    is_wanted_stale: bool,
    decisions: VecDeque<Decision>,
}

#[derive(Debug)]
struct Job {
    client: ClientKey,
    priority: NonZeroU8,
    /// When its answer is of no more use.
    deadline: Option<Moment>,
    /// In the queue, when it was submitted.
    position: usize,
    fit: Fit,
    wall: Duration,
    submitted: Moment,
    waiting_since: Moment,
    losses: u8,
    reports: u8,
    spare: Option<Spare>,
    is_hedged: bool,
    state: JobState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobState {
    Waiting { lane: Lane, until: Moment },
    Leased { first: LeaseId, second: Option<LeaseId> },
    Answering { worker: WorkerId },
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    job: JobId,
    slot: SlotId,
    worker: WorkerId,
    /// Where the job waited.
    lane: Lane,
    began: Moment,
    until: Moment,
    is_hedge: bool,
    sign: Sign,
}

/// How a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// By its result.
    Answered,
    /// By our clock.
    Overdue,
    /// Before either: it was cancelled, or could not be sent.
    Cut,
    /// With its worker or its slot.
    Lost,
}

/// Of a worker's life, after it was sent a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// None will come, or it is not waited for.
    Unasked,
    /// It is missed from then on; after so long another look is taken.
    Due { at: Moment, wait: Duration },
    /// It was missed, and nothing can be done about it any more.
    Missed,
}

impl Broker {
    /// A broker without workers and jobs, at the start of time.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            fleet: Fleet::new(terms.worker_grace),
            queue: Queue::default(),
            pace: Pace::default(),
            jobs: HashMap::new(),
            leases: HashMap::new(),
            leased_slots: HashMap::new(),
            timers: Timers::default(),
            quarantines: HashMap::new(),
            hedges: Budget::new(&terms.hedge),
            spare_leases: BTreeSet::new(),
            next_lease: 1,
            draining: false,
            is_wanted_stale: false,
            decisions: VecDeque::new(),
        }
    }

    /// The next thing to do, oldest first.
    pub fn next_decision(&mut self) -> Option<Decision> {
        self.decisions.pop_front()
    }

    /// When [`Broker::tick`] has something to do, unless events change that.
    pub fn next_timer(&self) -> Option<Moment> {
        self.timers.next()
    }

    /// Counts everything; constant time.
    pub fn census(&self) -> Census {
        Census {
            waiting: self.queue.len(),
            leased: self.leases.len(),
            jobs: self.jobs.len(),
            parked: self.fleet.parked(),
            workers: self.fleet.workers(),
            quarantined: self.quarantines.len(),
            oldest: self
                .queue
                .oldest()
                .and_then(|job| self.jobs.get(&job))
                .map(|job| job.submitted),
        }
    }

    /// A worker said hello.
    pub fn worker_arrives(&mut self, worker: WorkerId, arrival: Arrival, now: Moment) {
        self.fleet.arrive(worker, arrival, now);
    }

    /// A worker's state changed.
    pub fn worker_changes(
        &mut self,
        worker: WorkerId,
        offer: Offer,
        is_draining: bool,
        now: Moment,
    ) {
        self.fleet.change(worker, offer, is_draining, now);
        if is_draining {
            for (slot, until) in self.fleet.unpark_all(worker) {
                self.timers.unset(until, Timer::Slot(slot));
                self.decisions.push_back(Decision::Release { slot });
            }
        }
        self.match_waiting(now);
    }

    /// A worker's connection ended: its slots and its leases end with it.
    pub fn worker_leaves(&mut self, worker: WorkerId, now: Moment) {
        for (slot, until) in self.fleet.unpark_all(worker) {
            self.timers.unset(until, Timer::Slot(slot));
        }
        self.fleet.leave(worker, now);
        self.forget_quarantine(worker);
        let mut lost: Vec<LeaseId> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.worker == worker)
            .map(|(id, _)| *id)
            .collect();
        lost.sort_unstable();
        if !lost.is_empty() {
            self.decisions.push_back(Decision::Lost { worker });
        }
        for lease in lost {
            self.lose_lease(lease, now);
        }
        // Jobs that avoided this worker's only peer may go there now.
        self.match_waiting(now);
    }

    /// A worker offers a slot, to be released at `until` if no job took it. If it `signs`, a sign
    /// of life comes when the slot's lease has arrived ([`Broker::accepted`]).
    ///
    /// # Errors
    /// The offer cannot be taken; nothing changed.
    pub fn park(
        &mut self,
        slot: SlotId,
        worker: WorkerId,
        until: Moment,
        signs: bool,
        now: Moment,
    ) -> Result<(), ParkRefused> {
        self.fleet.park(slot, worker, until, signs)?;
        self.timers.set(until, Timer::Slot(slot));
        self.heard(worker, now);
        if !self.fleet.is_parked(slot) {
            // Word of the worker brought its slots back, and this one has a job already.
            return Ok(());
        }
        let fleet = &self.fleet;
        if let Some(job) = self.queue.pick(|lane| fleet.admits(worker, lane)) {
            self.lease(job, slot, now);
        }
        Ok(())
    }

    /// A slot's stream ended on the worker's side. If it was leased, the lease is lost.
    pub fn slot_gone(&mut self, slot: SlotId, now: Moment) {
        if let Some(taken) = self.fleet.unpark(slot) {
            self.timers.unset(taken.until, Timer::Slot(slot));
        } else if let Some(lease) = self.leased_slots.get(&slot).copied() {
            self.lease_lost(lease, now);
        }
    }

    /// A slot was gone before the job that it was leased to could be sent: the job waits on as
    /// if this had not been, and it does not count as a loss.
    pub fn handover_failed(&mut self, lease: LeaseId, now: Moment) {
        let Some(ended) = self.end_lease(lease, Over::Cut, now) else {
            return;
        };
        if self.other_lease(ended.job, lease).is_none() {
            self.wait_again(ended.job, ended.lane, now);
        }
    }

    /// A client wants a job run.
    pub fn submit(&mut self, submission: Submission, now: Moment) {
        let Submission { job, claim, fit, wall, spare } = submission;
        let refusal = if self.jobs.contains_key(&job) {
            return;
        } else if self.draining {
            Some(Refusal::Draining)
        } else if !self.may_ever_run(fit, now) {
            Some(Refusal::NoWorker)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.decisions.push_back(Decision::Refuse { job, refusal });
            return;
        }
        let lane = Lane { avoid: None, fit };
        let slot = match &spare {
            None => self.fleet.latest_parked(lane),
            Some(spare) => self.slot_to_spare(fit, spare),
        };
        if spare.is_some() && slot.is_none() {
            self.decisions.push_back(Decision::Refuse { job, refusal: Refusal::NoSpare });
            return;
        }
        let patience = self.patience(claim, fit, wall);
        let mut position = 0;
        if slot.is_none() {
            self.displace(lane, now);
            match self.place_of_new(claim, fit, patience) {
                Ok(place) => position = place.position,
                Err(refusal) => {
                    self.decisions.push_back(Decision::Refuse { job, refusal });
                    return;
                }
            }
        }
        let until = now.after(patience);
        let Claim { client, priority, deadline, .. } = claim;
        let submitted = Job {
            client,
            priority,
            deadline: deadline.map(|deadline| now.after(deadline)),
            position,
            fit,
            wall,
            submitted: now,
            waiting_since: now,
            losses: 0,
            reports: 0,
            spare,
            is_hedged: false,
            state: JobState::Waiting { lane, until },
        };
        self.jobs.insert(job, submitted);
        match slot {
            Some(slot) => self.lease(job, slot, now),
            None => self.enqueue(job, lane, until),
        }
    }

    /// Nobody waits for the job any more: its client left, or has its answer.
    pub fn close(&mut self, job: JobId, now: Moment) {
        let Some(found) = self.jobs.remove(&job) else {
            return;
        };
        match found.state {
            JobState::Waiting { lane, until } => {
                self.queue.remove(job, found.client, lane);
                self.timers.unset(until, Timer::Job(job));
            }
            JobState::Leased { first, second } => {
                for lease in [Some(first), second].into_iter().flatten() {
                    self.cancel(lease, now);
                }
            }
            JobState::Answering { .. } => {}
        }
    }

    /// A worker began to send the result for a lease.
    ///
    /// # Errors
    /// The lease is not this worker's, or no longer.
    pub fn begin_result(
        &mut self,
        worker: WorkerId,
        lease: LeaseId,
        now: Moment,
    ) -> Result<Begun, NotHeld> {
        self.heard(worker, now);
        match self.leases.get(&lease) {
            Some(held) if held.worker == worker => {}
            Some(_) | None => return Err(self.fleet.not_held(worker, lease, now)),
        }
        let Some(Lease { job, slot, is_hedge, .. }) = self.end_lease(lease, Over::Answered, now)
        else {
            return Err(NotHeld::NotGiven);
        };
        self.decisions.push_back(Decision::Settle { slot });
        if let Some(other) = self.other_lease(job, lease) {
            self.cancel(other, now);
        }
        if let Some(job) = self.jobs.get_mut(&job) {
            job.state = JobState::Answering { worker };
        }
        Ok(Begun { job, is_hedge })
    }

    /// A result that had begun cannot be used, and the client has seen nothing of it.
    /// The job is leased again or refused.
    pub fn result_lost(&mut self, job: JobId, loss: Loss, now: Moment) {
        let Some(Job { state: JobState::Answering { worker }, .. }) = self.jobs.get(&job) else {
            return;
        };
        let worker = *worker;
        self.lose(job, worker, loss, now);
    }

    /// From now on jobs are refused; those that are known go on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Releases all parked slots: the last act, when no job is left that could want one.
    pub fn release_all(&mut self) {
        for (slot, until) in self.fleet.unpark_everyone() {
            self.timers.unset(until, Timer::Slot(slot));
            self.decisions.push_back(Decision::Release { slot });
        }
    }

    /// Does what has become due.
    pub fn tick(&mut self, now: Moment) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Slot(slot) => {
                    self.fleet.unpark(slot);
                    self.decisions.push_back(Decision::Release { slot });
                }
                Timer::Job(job) => self.give_up(job),
                Timer::Lease(lease) => self.overdue(lease, now),
                Timer::Hedge(lease) => self.miss(lease, now),
                Timer::Worker(worker) => {
                    self.quarantines.remove(&worker);
                    self.release_hold(worker, Hold::Quarantined, now);
                }
            }
        }
    }
}
