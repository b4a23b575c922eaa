//! The steps that the broker's events are made of: how a job and a slot come together and apart.

use pe_proto::link::LeaseId;

use super::queue::Lane;
use super::terms::{Decision, Loss, Refusal};
use super::timers::Timer;
use super::{Broker, Job, JobState, Lease};
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
        } else if self.fleet.offers(found.fit) {
            Refusal::QueueTimeout(place)
        } else {
            Refusal::NoWorker
        };
        self.decisions.push_back(Decision::Refuse { job, refusal });
    }

    pub(super) fn overdue(&mut self, lease: LeaseId, now: Moment) {
        let Some(Lease { job, slot, .. }) = self.end_lease(lease, Some(now)) else {
            return;
        };
        self.jobs.remove(&job);
        self.decisions.push_back(Decision::Overdue { job });
        self.decisions.push_back(Decision::Cancel { slot });
    }

    /// Binds a waiting (or just submitted) job to a parked slot.
    pub(super) fn lease(&mut self, job: JobId, slot: SlotId, now: Moment) {
        let lease = LeaseId(self.next_lease);
        let Some(found) = self.jobs.get_mut(&job) else {
            return;
        };
        let JobState::Waiting { lane, until } = found.state else {
            return;
        };
        let Some((worker, slot_until)) = self.fleet.unpark(slot) else {
            return;
        };
        self.next_lease += 1;
        self.queue.remove(job, found.client, lane);
        self.timers.unset(until, Timer::Job(job));
        self.timers.unset(slot_until, Timer::Slot(slot));
        let deadline = found.wall.saturating_add(self.terms.lease_grace);
        let until = now.after(deadline);
        let waited = now.since(found.waiting_since);
        found.state = JobState::Leased(lease);
        self.timers.set(until, Timer::Lease(lease));
        let position = found.position;
        self.pace.begin(lane.fit);
        self.leases.insert(lease, Lease { job, slot, worker, lane, began: now, until });
        self.leased_slots.insert(slot, lease);
        self.decisions.push_back(Decision::Lease { lease, slot, job, deadline, waited, position });
    }

    /// Forgets a lease. If it had the time that a job of its kind takes, that is until now.
    pub(super) fn end_lease(&mut self, lease: LeaseId, served: Option<Moment>) -> Option<Lease> {
        let ended = self.leases.remove(&lease)?;
        self.pace.end(ended.lane.fit, served.map(|now| now.since(ended.began)));
        self.leased_slots.remove(&ended.slot);
        self.timers.unset(ended.until, Timer::Lease(lease));
        Some(ended)
    }

    pub(super) fn lease_lost(&mut self, lease: LeaseId, now: Moment) {
        if let Some(Lease { job, worker, .. }) = self.end_lease(lease, None) {
            self.lose(job, worker, Loss::Link, now);
        }
    }

    pub(super) fn lose(&mut self, job: JobId, worker: WorkerId, loss: Loss, now: Moment) {
        let Some(found) = self.jobs.get_mut(&job) else {
            return;
        };
        let is_over = match loss {
            Loss::Link => {
                found.losses += 1;
                found.losses > self.terms.releases_max
            }
            Loss::Reported => {
                found.reports += 1;
                found.reports > self.terms.reports_max
            }
        };
        if is_over {
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
        let until = now.after(self.terms.queue_wait);
        let Some(found) = self.jobs.get_mut(&job) else {
            return;
        };
        let until = found.deadline.map_or(until, |deadline| deadline.max(now).min(until));
        found.waiting_since = now;
        found.state = JobState::Waiting { lane, until };
        match self.fleet.latest_parked(lane) {
            Some(slot) => self.lease(job, slot, now),
            None => self.enqueue(job, lane, until),
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
