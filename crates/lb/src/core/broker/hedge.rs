//! Signs of life, and what is done when they are missed; and what else holds a worker's slots
//! back for a while.

use std::time::Duration;

use pe_proto::link::LeaseId;

use super::fleet::Hold;
use super::timers::Timer;
use super::{Broker, JobState, Lease, Sign};
use crate::core::ids::WorkerId;
use crate::core::moment::Moment;

impl Broker {
    /// A worker has the lease: word of it came.
    pub fn accepted(&mut self, lease: LeaseId, now: Moment) {
        let Some(held) = self.leases.get_mut(&lease) else {
            return;
        };
        let (worker, since) = (held.worker, held.began);
        match std::mem::replace(&mut held.sign, Sign::Unasked) {
            Sign::Unasked => return,
            Sign::Due { at, .. } => self.timers.unset(at, Timer::Hedge(lease)),
            Sign::Missed => {}
        }
        self.fleet.timed(worker, now.since(since));
        self.heard(worker, now);
    }

    /// Gives a worker no leases until then, or until it is pardoned, for having answered wrongly;
    /// those that it has it may finish.
    pub fn quarantine(&mut self, worker: WorkerId, until: Option<Moment>, now: Moment) {
        if !self.fleet.knows(worker) {
            return;
        }
        self.forget_quarantine(worker);
        self.quarantines.insert(worker, until);
        if let Some(until) = until {
            self.timers.set(until, Timer::Worker(worker));
        }
        self.fleet.hold(worker, Hold::Quarantined, true, now);
    }

    /// Ends a quarantine before its time.
    pub fn pardon(&mut self, worker: WorkerId, now: Moment) {
        self.forget_quarantine(worker);
        self.release_hold(worker, Hold::Quarantined, now);
    }

    pub(super) fn forget_quarantine(&mut self, worker: WorkerId) {
        if let Some(Some(until)) = self.quarantines.remove(&worker) {
            self.timers.unset(until, Timer::Worker(worker));
        }
    }

    /// Begins or ends the drain of a worker that the operator wants empty. What it has it
    /// finishes, which its leases' deadlines bound.
    pub fn drain_worker(&mut self, worker: WorkerId, is_drained: bool, now: Moment) {
        if is_drained {
            self.fleet.hold(worker, Hold::Drained, true, now);
        } else {
            self.release_hold(worker, Hold::Drained, now);
        }
    }

    /// Something came from the worker that shows its connection to be alive.
    pub(super) fn heard(&mut self, worker: WorkerId, now: Moment) {
        self.release_hold(worker, Hold::Silent, now);
    }

    pub(super) fn release_hold(&mut self, worker: WorkerId, hold: Hold, now: Moment) {
        if self.fleet.hold(worker, hold, false, now) {
            self.match_waiting(now);
        }
    }

    pub(super) fn await_sign(&mut self, lease: LeaseId, worker: WorkerId, now: Moment) -> Sign {
        let wait = self.fleet.patience(worker, &self.terms.hedge);
        self.look_again(lease, wait, now)
    }

    fn look_again(&mut self, lease: LeaseId, wait: Duration, now: Moment) -> Sign {
        let at = now.after(wait);
        self.timers.set(at, Timer::Hedge(lease));
        Sign::Due { at, wait }
    }

    /// No sign came in time: another worker gets the job, too. If none can now, another look is
    /// taken after twice the wait.
    pub(super) fn miss(&mut self, lease: LeaseId, now: Moment) {
        let Some(held) = self.leases.get(&lease).copied() else {
            return;
        };
        let Sign::Due { wait, .. } = held.sign else {
            return;
        };
        self.fleet.hold(held.worker, Hold::Silent, true, now);
        let is_hedged = self.jobs.get(&held.job).is_none_or(|job| job.is_hedged);
        let wait = wait.saturating_mul(2);
        let is_done = is_hedged || self.hedge(lease, held, now) || now.after(wait) >= held.until;
        let sign = if is_done { Sign::Missed } else { self.look_again(lease, wait, now) };
        if let Some(held) = self.leases.get_mut(&lease) {
            held.sign = sign;
        }
    }

    /// Leases a job a second time, if there is a slot and the budget allows it.
    fn hedge(&mut self, first: LeaseId, held: Lease, now: Moment) -> bool {
        let Lease { job, worker, lane, .. } = held;
        let Some(slot) = self.fleet.latest_elsewhere(lane.fit, worker) else {
            return false;
        };
        if !self.hedges.spend() {
            return false;
        }
        let second = self.bind(job, slot, lane, Duration::ZERO, true, now);
        if let Some(found) = self.jobs.get_mut(&job) {
            found.is_hedged = true;
            found.state = JobState::Leased { first, second };
        }
        second.is_some()
    }
}
