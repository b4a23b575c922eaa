//! The steps that the broker's events are made of: how a job and a slot come together and apart.

use std::time::Duration;

use pe_proto::link::LeaseId;

use super::fleet::Taken;
use super::queue::Lane;
use super::terms::{Decision, Loss, Refusal};
use super::timers::Timer;
use super::{Broker, Job, JobState, Lease, Over, Sign};
use crate::core::ids::{JobId, SlotId, WorkerId};
use crate::core::moment::Moment;

impl Broker {
    pub(super) fn give_up(&mut self, job: JobId) {
        let Some(found) = self.jobs.remove(&job) else {
            return;
        };
        let place = self.place(Some(job), found.client, found.priority, found.fit);
        if let JobState::Waiting { lane, .. } = found.state {
            self.queue.remove(job, found.client, lane);
        }
        let refusal = if found.losses + found.reports > 0 {
            Refusal::WorkerLost
        } else if self.fleet.offers(found.fit) || self.fleet.could_fetch(found.fit) {
            Refusal::QueueTimeout(place)
        } else {
            Refusal::NoWorker
        };
        self.decisions.push_back(Decision::Refuse { job, refusal });
    }

    pub(super) fn overdue(&mut self, lease: LeaseId, now: Moment) {
        let Some(Lease { job, slot, worker, .. }) = self.end_lease(lease, Over::Overdue, now)
        else {
            return;
        };
        self.decisions.push_back(Decision::Lost { worker });
        if self.other_lease(job, lease).is_none() {
            self.jobs.remove(&job);
            self.decisions.push_back(Decision::Overdue { job });
        }
        self.decisions.push_back(Decision::Cancel { slot });
    }

    /// Binds a waiting (or just submitted) job to a parked slot.
    pub(super) fn lease(&mut self, job: JobId, slot: SlotId, now: Moment) {
        let Some(found) = self.jobs.get_mut(&job) else {
            return;
        };
        let JobState::Waiting { lane, until } = found.state else {
            return;
        };
        let waited = now.since(found.waiting_since);
        let client = found.client;
        let Some(first) = self.bind(job, slot, lane, waited, false, now) else {
            return;
        };
        self.queue.remove(job, client, lane);
        self.timers.unset(until, Timer::Job(job));
        self.hedges.earn();
        if let Some(found) = self.jobs.get_mut(&job) {
            found.state = JobState::Leased { first, second: None };
        }
    }

    /// Makes the lease of a job and a parked slot.
    pub(super) fn bind(
        &mut self,
        job: JobId,
        slot: SlotId,
        lane: Lane,
        waited: Duration,
        is_hedge: bool,
        now: Moment,
    ) -> Option<LeaseId> {
        let found = self.jobs.get(&job)?;
        let (position, is_spare) = (found.position, found.spare.is_some());
        let Taken { worker, until: slot_until, signs } = self.fleet.unpark(slot)?;
        self.timers.unset(slot_until, Timer::Slot(slot));
        let lease = LeaseId(self.next_lease);
        self.next_lease += 1;
        let deadline = found.wall.saturating_add(self.terms.lease_grace);
        let until = now.after(deadline);
        self.timers.set(until, Timer::Lease(lease));
        let is_watched = signs && !is_spare && self.terms.hedge.percent > 0;
        let sign = if is_watched { self.await_sign(lease, worker, now) } else { Sign::Unasked };
        let began = now;
        self.pace.begin(lane.fit);
        self.leases.insert(lease, Lease { job, slot, worker, lane, began, until, is_hedge, sign });
        self.leased_slots.insert(slot, lease);
        if is_spare {
            self.spare_leases.insert(lease);
        }
        self.decisions.push_back(Decision::Lease {
            lease,
            slot,
            job,
            deadline,
            waited,
            position,
            is_hedge,
        });
        Some(lease)
    }

    /// Forgets a lease, but not that there was one.
    pub(super) fn end_lease(&mut self, lease: LeaseId, how: Over, now: Moment) -> Option<Lease> {
        let ended = self.leases.remove(&lease)?;
        self.spare_leases.remove(&lease);
        // Only these had the time that a job of its kind takes.
        let fit = ended.lane.fit;
        match how {
            Over::Answered | Over::Overdue => self.pace.end(fit, Some(now.since(ended.began))),
            Over::Cut => self.pace.end(fit, None),
            Over::Lost => self.pace.lose(fit),
        }
        self.leased_slots.remove(&ended.slot);
        self.timers.unset(ended.until, Timer::Lease(lease));
        if let Sign::Due { at, .. } = ended.sign {
            self.timers.unset(at, Timer::Hedge(lease));
        }
        self.fleet.over(ended.worker, lease, (how != Over::Answered).then_some(now));
        Some(ended)
    }

    /// The other lease of a job of two; from now on it is the only one.
    pub(super) fn other_lease(&mut self, job: JobId, over: LeaseId) -> Option<LeaseId> {
        let found = self.jobs.get_mut(&job)?;
        let JobState::Leased { first, second } = found.state else {
            return None;
        };
        let other = if first == over { second } else { Some(first) }?;
        found.state = JobState::Leased { first: other, second: None };
        Some(other)
    }

    /// Nobody wants the result of a lease any more.
    pub(super) fn cancel(&mut self, lease: LeaseId, now: Moment) {
        if let Some(Lease { slot, .. }) = self.end_lease(lease, Over::Cut, now) {
            self.decisions.push_back(Decision::Cancel { slot });
        }
    }

    pub(super) fn lease_lost(&mut self, lease: LeaseId, now: Moment) {
        if let Some(Lease { worker, .. }) = self.leases.get(&lease) {
            self.decisions.push_back(Decision::Lost { worker: *worker });
            self.lose_lease(lease, now);
        }
    }

    /// A lease was lost; if its job has another, that goes on.
    pub(super) fn lose_lease(&mut self, lease: LeaseId, now: Moment) {
        let Some(Lease { job, worker, .. }) = self.end_lease(lease, Over::Lost, now) else {
            return;
        };
        if self.other_lease(job, lease).is_none() {
            self.lose(job, worker, Loss::Link, now);
        } else if let Some(found) = self.jobs.get_mut(&job) {
            found.losses = found.losses.saturating_add(1);
        }
    }

    pub(super) fn lose(&mut self, job: JobId, worker: WorkerId, loss: Loss, now: Moment) {
        let Some(found) = self.jobs.get_mut(&job) else {
            return;
        };
        let is_over = match loss {
            Loss::Link => {
                found.losses = found.losses.saturating_add(1);
                found.losses > self.terms.releases_max
            }
            Loss::Reported => {
                found.reports += 1;
                found.reports > self.terms.reports_max
            }
        };
        if is_over || found.spare.is_some() {
            self.jobs.remove(&job);
            let refusal = Refusal::WorkerLost;
            self.decisions.push_back(Decision::Refuse { job, refusal });
        } else {
            let lane = Lane { avoid: Some(worker), fit: found.fit };
            self.wait_again(job, lane, now);
        }
    }

    /// Puts a job that was leased back in the queue, or leases it again at once.
    pub(super) fn wait_again(&mut self, job: JobId, lane: Lane, now: Moment) {
        let until = now.after(self.queue_wait(lane.fit));
        let Some(found) = self.jobs.get_mut(&job) else {
            return;
        };
        if found.spare.is_some() {
            self.jobs.remove(&job);
            self.decisions.push_back(Decision::Refuse { job, refusal: Refusal::NoSpare });
            return;
        }
        let until = found.deadline.map_or(until, |deadline| deadline.max(now).min(until));
        found.waiting_since = now;
        found.state = JobState::Waiting { lane, until };
        match self.fleet.latest_parked(lane) {
            Some(slot) => self.lease(job, slot, now),
            None => {
                self.displace(lane, now);
                self.enqueue(job, lane, until);
            }
        }
    }

    pub(super) fn enqueue(&mut self, job: JobId, lane: Lane, until: Moment) {
        let Some(found) = self.jobs.get(&job) else {
            return;
        };
        self.queue.push(job, found.client, found.priority, lane);
        self.timers.set(until, Timer::Job(job));
    }

    /// After a change of the fleet: jobs that could not go where slots are parked perhaps can.
    pub(super) fn match_waiting(&mut self, now: Moment) {
        loop {
            let fleet = &self.fleet;
            let picked = self.queue.pick(|lane| fleet.latest_parked(lane).is_some());
            let Some(job) = picked else { return };
            let Some(Job { state: JobState::Waiting { lane, .. }, .. }) = self.jobs.get(&job)
            else {
                return;
            };
            let Some(slot) = self.fleet.latest_parked(*lane) else {
                return;
            };
            self.lease(job, slot, now);
        }
    }
}
