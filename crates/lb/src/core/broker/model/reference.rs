//! The broker as lists that are searched from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pe_proto::Digest;
use pe_proto::link::LeaseId;

use super::events::{Answer, Concrete, ables, image, images, priority};
use crate::core::broker::fleet::past_max;
use crate::core::broker::rtt::{Budget, Rtt};
use crate::core::broker::timers::Timer;
use crate::core::broker::{Begun, Decision, Loss, NotHeld, ParkRefused, Refusal, Terms};
use crate::core::ids::{ClientKey, Fit, JobId, SlotId, WorkerId};
use crate::core::moment::Moment;
use crate::limits::LATE_RESULT_GRACE;

mod places;
mod wants;

use places::{next, take_turn};

#[derive(Debug)]
pub(super) struct Model {
    terms: Terms,
    pub(super) now: Moment,
    pub(super) workers: BTreeMap<WorkerId, ModelWorker>,
    /// In the order they were parked; the flag is whether they give a sign.
    pub(super) parked: Vec<(SlotId, WorkerId, Moment, bool)>,
    pub(super) jobs: BTreeMap<JobId, ModelJob>,
    leases: BTreeMap<LeaseId, ModelLease>,
    /// Clients with waiting jobs, next one first, and how many jobs are left of their turn.
    rotation: Vec<(ClientKey, u8)>,
    /// How long leases took, moving averages.
    services: BTreeMap<Fit, Duration>,
    /// How many ended since one was lost.
    ends: BTreeMap<Fit, u64>,
    left: BTreeMap<Fit, Moment>,
    budget: Budget,
    next_lease: u64,
    is_draining: bool,
    pub(super) decisions: Vec<Decision>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ModelWorker {
    slots_max: usize,
    images: BTreeSet<Digest>,
    able: BTreeSet<Digest>,
    is_draining: bool,
    is_silent: bool,
    is_drained: bool,
    quarantined: Option<Option<Moment>>,
    rtt: Rtt,
    past: Vec<(LeaseId, Option<Moment>)>,
}

#[derive(Debug, Clone)]
pub(super) struct ModelJob {
    client: ClientKey,
    fit: Fit,
    losses: u8,
    reports: u8,
    avoid: Option<WorkerId>,
    since: Moment,
    deadline: Option<Moment>,
    position: usize,
    is_spare: bool,
    is_hedged: bool,
    pub(super) state: ModelState,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ModelState {
    Waiting(Moment),
    Leased,
    Answering(WorkerId),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ModelLease {
    job: JobId,
    fit: Fit,
    slot: SlotId,
    pub(super) worker: WorkerId,
    since: Moment,
    until: Moment,
    is_hedge: bool,
    sign: ModelSign,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum ModelSign {
    Unasked,
    Due(Moment, Duration),
    Missed,
}

pub(super) const WALL: Duration = Duration::from_secs(10);

impl ModelWorker {
    fn offer(&self) -> Option<&BTreeSet<Digest>> {
        let is_out =
            self.is_draining || self.is_silent || self.is_drained || self.quarantined.is_some();
        (!is_out).then_some(&self.images)
    }
}

impl Model {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            now: Moment::START,
            workers: BTreeMap::new(),
            parked: Vec::new(),
            jobs: BTreeMap::new(),
            leases: BTreeMap::new(),
            rotation: Vec::new(),
            services: BTreeMap::new(),
            ends: BTreeMap::new(),
            left: BTreeMap::new(),
            budget: Budget::new(&terms.hedge),
            next_lease: 1,
            is_draining: false,
            decisions: Vec::new(),
        }
    }

    fn offering(&self, fit: Fit) -> Vec<WorkerId> {
        let offers =
            |worker: &ModelWorker| worker.offer().is_some_and(|offer| offer.contains(&fit.image));
        self.workers.iter().filter(|(_, worker)| offers(worker)).map(|(id, _)| *id).collect()
    }

    fn may_take(&self, worker: WorkerId, job: &ModelJob) -> bool {
        let offering = self.offering(job.fit);
        let others = offering.iter().any(|other| Some(*other) != job.avoid);
        offering.contains(&worker) && (job.avoid != Some(worker) || !others)
    }

    fn latest(&self, is_wanted: impl Fn(WorkerId) -> bool) -> Option<SlotId> {
        self.parked.iter().rev().find(|(_, worker, ..)| is_wanted(*worker)).map(|(slot, ..)| *slot)
    }

    fn latest_for(&self, job: &ModelJob) -> Option<SlotId> {
        self.latest(|worker| self.may_take(worker, job))
    }

    fn forget_clients(&mut self) {
        let jobs = &self.jobs;
        self.rotation.retain(|(client, _)| {
            jobs.values()
                .any(|job| job.client == *client && matches!(job.state, ModelState::Waiting(_)))
        });
    }

    /// The waiting job to go next among the admitted.
    fn next_job(&self, admitted: impl Fn(&ModelJob) -> bool) -> Option<JobId> {
        let waiting = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job.state, ModelState::Waiting(_)) && admitted(job));
        next(waiting, &self.rotation)
    }

    fn lease_from_queue(&mut self, id: JobId, slot: SlotId) {
        take_turn(&mut self.rotation, &self.jobs[&id]);
        self.lease(id, slot, false);
        self.forget_clients();
    }

    fn lease(&mut self, id: JobId, slot: SlotId, is_hedge: bool) {
        let at = self.parked.iter().position(|(each, ..)| *each == slot).unwrap();
        let (_, worker, _, signs) = self.parked.remove(at);
        let lease = LeaseId(self.next_lease);
        self.next_lease += 1;
        let deadline = WALL + self.terms.lease_grace;
        let job = self.jobs.get_mut(&id).unwrap();
        let waited = if is_hedge { Duration::ZERO } else { self.now.since(job.since) };
        job.state = ModelState::Leased;
        let mut sign = ModelSign::Unasked;
        if signs && !job.is_spare {
            let wait = self.workers[&worker].rtt.patience(&self.terms.hedge);
            sign = ModelSign::Due(self.now.after(wait), wait);
        }
        if is_hedge {
            job.is_hedged = true;
        } else {
            self.budget.earn();
        }
        let (since, until) = (self.now, self.now.after(deadline));
        let (position, fit) = (job.position, job.fit);
        let bond = ModelLease { job: id, fit, slot, worker, since, until, is_hedge, sign };
        self.leases.insert(lease, bond);
        self.decisions.push(Decision::Lease {
            lease,
            slot,
            job: id,
            deadline,
            waited,
            position,
            is_hedge,
        });
    }

    /// Ends a lease; tells the other lease of its job.
    fn end(&mut self, lease: LeaseId, ended: Option<Moment>) -> (ModelLease, Option<LeaseId>) {
        let over = self.leases.remove(&lease).unwrap();
        if let Some(worker) = self.workers.get_mut(&over.worker) {
            worker.past.push((lease, ended));
            if worker.past.len() > past_max(worker.slots_max) {
                worker.past.remove(0);
            }
        }
        let other = self.leases.iter().find(|(_, each)| each.job == over.job);
        (over, other.map(|(id, _)| *id))
    }

    fn leases_of(&self, job: JobId) -> Vec<LeaseId> {
        let of_job = self.leases.iter().filter(|(_, lease)| lease.job == job);
        let mut leases: Vec<LeaseId> = of_job.map(|(id, _)| *id).collect();
        leases.sort();
        leases
    }

    fn wait(&mut self, id: JobId) {
        let until = self.now.after(self.queue_wait(self.jobs[&id].fit));
        let deadline = self.jobs[&id].deadline.unwrap_or(until);
        if self.jobs[&id].is_spare {
            self.jobs.remove(&id);
            return self.refuse(id, Refusal::NoSpare);
        }
        if self.latest_for(&self.jobs[&id]).is_none() {
            let job = self.jobs[&id].clone();
            self.displace(&job);
        }
        self.wait_until(id, until.min(deadline.max(self.now)));
    }

    /// The youngest spare run whose slot the job could have makes room.
    fn displace(&mut self, job: &ModelJob) {
        let is_spare = |lease: &ModelLease| self.jobs[&lease.job].is_spare;
        let mut leases = self.leases.iter().rev();
        let found = leases.find(|(_, held)| is_spare(held) && self.may_take(held.worker, job));
        if let Some(lease) = found.map(|(id, _)| *id) {
            let now = self.now;
            let (over, _) = self.end(lease, Some(now));
            self.jobs.remove(&over.job);
            self.refuse(over.job, Refusal::NoSpare);
            self.decisions.push(Decision::Cancel { slot: over.slot });
        }
    }

    fn wait_until(&mut self, id: JobId, until: Moment) {
        let now = self.now;
        let job = self.jobs.get_mut(&id).unwrap();
        job.state = ModelState::Waiting(until);
        job.since = now;
        let client = job.client;
        if let Some(slot) = self.latest_for(&self.jobs[&id]) {
            self.lease(id, slot, false);
        } else if !self.rotation.iter().any(|(known, _)| *known == client) {
            self.rotation.push((client, priority(client.0[0]).get()));
        }
    }

    fn lose_lease(&mut self, lease: LeaseId) {
        let now = self.now;
        self.ends.remove(&self.leases[&lease].fit);
        match self.end(lease, Some(now)) {
            (over, None) => self.lose(over.job, over.worker, Loss::Link),
            (over, Some(_)) => self.jobs.get_mut(&over.job).unwrap().losses += 1,
        }
    }

    fn lose(&mut self, id: JobId, worker: WorkerId, loss: Loss) {
        let terms = self.terms;
        let job = self.jobs.get_mut(&id).unwrap();
        let (count, most) = match loss {
            Loss::Link => (&mut job.losses, terms.releases_max),
            Loss::Reported => (&mut job.reports, terms.reports_max),
        };
        *count += 1;
        if *count > most || job.is_spare {
            self.jobs.remove(&id);
            self.refuse(id, Refusal::WorkerLost);
        } else {
            job.avoid = Some(worker);
            self.wait(id);
        }
    }

    fn refuse(&mut self, job: JobId, refusal: Refusal) {
        self.decisions.push(Decision::Refuse { job, refusal });
    }

    fn match_waiting(&mut self) {
        while let Some(id) = self.next_job(|job| self.latest_for(job).is_some()) {
            let slot = self.latest_for(&self.jobs[&id]).unwrap();
            self.lease_from_queue(id, slot);
        }
    }

    fn change(&mut self, worker: WorkerId, change: impl FnOnce(&mut ModelWorker)) {
        let known = [image(0), image(1)];
        let before: Vec<Fit> =
            known.into_iter().filter(|fit| !self.offering(*fit).is_empty()).collect();
        if let Some(worker) = self.workers.get_mut(&worker) {
            change(worker);
        }
        for fit in before {
            if self.offering(fit).is_empty() {
                self.left.insert(fit, self.now);
            }
        }
    }

    fn heard(&mut self, worker: WorkerId) {
        if self.workers.get(&worker).is_some_and(|worker| worker.is_silent) {
            self.change(worker, |worker| worker.is_silent = false);
            self.match_waiting();
        }
    }

    pub(super) fn apply(&mut self, event: &Concrete) -> Answer {
        match event.clone() {
            Concrete::Arrive(worker, slots_max, offer) => {
                let images = images(offer).into_iter().collect();
                let fresh = ModelWorker { slots_max, images, ..ModelWorker::default() };
                self.workers.insert(worker, fresh);
            }
            Concrete::Change(worker, offer, is_draining) => {
                self.change(worker, |worker| {
                    worker.images = images(offer).into_iter().collect();
                    worker.is_draining = is_draining;
                    worker.is_silent = false;
                });
                if is_draining {
                    for parked in std::mem::take(&mut self.parked) {
                        if parked.1 == worker {
                            self.decisions.push(Decision::Release { slot: parked.0 });
                        } else {
                            self.parked.push(parked);
                        }
                    }
                }
                self.match_waiting();
            }
            Concrete::Fetches(worker, able) => {
                if let Some(worker) = self.workers.get_mut(&worker) {
                    worker.able = ables(able).into_iter().collect();
                }
            }
            Concrete::Leave(worker) => {
                self.parked.retain(|(_, owner, ..)| *owner != worker);
                self.change(worker, |worker| worker.is_draining = true);
                self.workers.remove(&worker);
                let of_worker = self.leases.iter().filter(|(_, lease)| lease.worker == worker);
                let lost: Vec<LeaseId> = of_worker.map(|(id, _)| *id).collect();
                if !lost.is_empty() {
                    self.decisions.push(Decision::Lost { worker });
                }
                for lease in lost {
                    self.lose_lease(lease);
                }
                self.match_waiting();
            }
            Concrete::Park(slot, worker, until, signs) => {
                return Answer::Park(self.park(slot, worker, until, signs));
            }
            Concrete::SlotGone(slot) => {
                self.parked.retain(|(each, ..)| *each != slot);
                let leased = self.leases.iter().find(|(_, lease)| lease.slot == slot);
                if let Some((lease, ModelLease { worker, .. })) = leased.map(|(id, l)| (*id, *l)) {
                    self.decisions.push(Decision::Lost { worker });
                    self.lose_lease(lease);
                }
            }
            Concrete::HandoverFailed(lease) => {
                if self.leases.contains_key(&lease) {
                    let now = self.now;
                    if let (over, None) = self.end(lease, Some(now)) {
                        self.wait(over.job);
                    }
                }
            }
            Concrete::Submit(id, claim, fit) => self.submit(id, claim, fit, None),
            Concrete::Spare(id, spare, fit) => {
                self.submit(id, ClientKey([9; 16]).into(), fit, Some(spare));
            }
            Concrete::Close(id) => {
                let now = self.now;
                if self.jobs.remove(&id).is_some() {
                    for lease in self.leases_of(id) {
                        let (over, _) = self.end(lease, Some(now));
                        self.decisions.push(Decision::Cancel { slot: over.slot });
                    }
                }
                self.forget_clients();
            }
            Concrete::BeginResult(worker, lease) => {
                return Answer::Begin(self.begin_result(worker, lease));
            }
            Concrete::ResultLost(id, loss) => {
                if let Some(ModelState::Answering(worker)) = self.jobs.get(&id).map(|j| j.state) {
                    self.lose(id, worker, loss);
                }
            }
            Concrete::Accepted(lease) => {
                let now = self.now;
                if let Some(held) = self.leases.get_mut(&lease) {
                    if held.sign != ModelSign::Unasked {
                        held.sign = ModelSign::Unasked;
                        let (worker, since) = (held.worker, held.since);
                        self.workers.get_mut(&worker).unwrap().rtt.heard(now.since(since));
                        self.heard(worker);
                    }
                }
            }
            Concrete::Quarantine(worker, until) => {
                self.change(worker, |worker| worker.quarantined = Some(until));
            }
            Concrete::Pardon(worker) => self.pardon(worker),
            Concrete::DrainWorker(worker, is_drained) => {
                let was = self.workers.get(&worker).is_some_and(|worker| worker.is_drained);
                self.change(worker, |worker| worker.is_drained = is_drained);
                if was && !is_drained {
                    self.match_waiting();
                }
            }
            Concrete::Tick(now) => self.tick(now),
            Concrete::Drain => self.is_draining = true,
        }
        Answer::Nothing
    }

    fn pardon(&mut self, worker: WorkerId) {
        if self.workers.get(&worker).is_some_and(|worker| worker.quarantined.is_some()) {
            self.change(worker, |worker| worker.quarantined = None);
            self.match_waiting();
        }
    }

    fn park(
        &mut self,
        slot: SlotId,
        worker: WorkerId,
        until: Moment,
        signs: bool,
    ) -> Result<(), ParkRefused> {
        let found = self.workers.get(&worker).ok_or(ParkRefused::UnknownWorker)?;
        if found.is_draining {
            return Err(ParkRefused::Draining);
        }
        let parked = self.parked.iter().filter(|(_, owner, ..)| *owner == worker).count();
        if parked >= found.slots_max {
            return Err(ParkRefused::TooMany);
        }
        self.parked.push((slot, worker, until, signs));
        self.heard(worker);
        if self.parked.iter().any(|(each, ..)| *each == slot) {
            if let Some(id) = self.next_job(|job| self.may_take(worker, job)) {
                self.lease_from_queue(id, slot);
            }
        }
        Ok(())
    }

    fn begin_result(&mut self, worker: WorkerId, lease: LeaseId) -> Result<Begun, NotHeld> {
        self.heard(worker);
        let now = self.now;
        if self.leases.get(&lease).is_none_or(|held| held.worker != worker) {
            let Some(found) = self.workers.get(&worker) else {
                return Err(NotHeld::Crossed);
            };
            return Err(match found.past.iter().rev().find(|(each, _)| *each == lease) {
                None => NotHeld::NotGiven,
                Some((_, None)) => NotHeld::Twice,
                Some((_, Some(at))) if now.since(*at) < LATE_RESULT_GRACE => NotHeld::Crossed,
                Some((_, Some(_))) => NotHeld::Late,
            });
        }
        let (over, other) = self.end(lease, None);
        self.served(&over);
        self.decisions.push(Decision::Settle { slot: over.slot });
        if let Some(other) = other {
            let (other, _) = self.end(other, Some(now));
            self.decisions.push(Decision::Cancel { slot: other.slot });
        }
        self.jobs.get_mut(&over.job).unwrap().state = ModelState::Answering(worker);
        Ok(Begun { job: over.job, is_hedge: over.is_hedge })
    }

    /// What is due next. It is looked for anew each time, as one thing that is done may do away
    /// with the next.
    fn next_due(&self) -> Option<(Moment, Timer)> {
        let mut due: Vec<(Moment, Timer)> = Vec::new();
        for (id, job) in &self.jobs {
            if let ModelState::Waiting(until) = job.state {
                due.push((until, Timer::Job(*id)));
            }
        }
        for (id, lease) in &self.leases {
            due.push((lease.until, Timer::Lease(*id)));
            if let ModelSign::Due(at, _) = lease.sign {
                due.push((at, Timer::Hedge(*id)));
            }
        }
        for (id, worker) in &self.workers {
            due.extend(worker.quarantined.flatten().map(|until| (until, Timer::Worker(*id))));
        }
        due.extend(self.parked.iter().map(|(slot, _, until, _)| (*until, Timer::Slot(*slot))));
        due.into_iter().filter(|(at, _)| *at <= self.now).min()
    }

    fn tick(&mut self, now: Moment) {
        self.now = now;
        while let Some((_, timer)) = self.next_due() {
            match timer {
                Timer::Slot(slot) => {
                    self.parked.retain(|(each, ..)| *each != slot);
                    self.decisions.push(Decision::Release { slot });
                }
                Timer::Job(id) => {
                    let place = self.place(id, &self.jobs[&id]);
                    let job = self.jobs.remove(&id).unwrap();
                    let refusal = match (job.losses + job.reports, self.offering(job.fit).len()) {
                        (1.., _) => Refusal::WorkerLost,
                        (0, 0) if !self.could_fetch(job.fit) => Refusal::NoWorker,
                        (0, _) => Refusal::QueueTimeout(place),
                    };
                    self.refuse(id, refusal);
                    self.forget_clients();
                }
                Timer::Lease(lease) => {
                    let (over, other) = self.end(lease, Some(now));
                    self.served(&over);
                    self.decisions.push(Decision::Lost { worker: over.worker });
                    if other.is_none() {
                        self.jobs.remove(&over.job);
                        self.decisions.push(Decision::Overdue { job: over.job });
                    }
                    self.decisions.push(Decision::Cancel { slot: over.slot });
                }
                Timer::Worker(worker) => self.pardon(worker),
                Timer::Hedge(lease) => self.miss(lease),
            }
        }
        self.forget_clients();
    }

    fn miss(&mut self, lease: LeaseId) {
        let held = self.leases[&lease];
        let ModelSign::Due(_, wait) = held.sign else { panic!("nothing is due") };
        self.change(held.worker, |worker| worker.is_silent = true);
        let wait = wait * 2;
        let job = &self.jobs[&held.job];
        let offering = self.offering(job.fit);
        let slot = self.latest(|worker| worker != held.worker && offering.contains(&worker));
        let mut is_done = job.is_hedged;
        if let Some(slot) = slot.filter(|_| !is_done) {
            if self.budget.spend() {
                self.lease(held.job, slot, true);
                is_done = true;
            }
        }
        let at = self.now.after(wait);
        let sign =
            if is_done || at >= held.until { ModelSign::Missed } else { ModelSign::Due(at, wait) };
        self.leases.get_mut(&lease).unwrap().sign = sign;
    }

    pub(super) fn held(&self, lease: LeaseId) -> Option<ModelLease> {
        self.leases.get(&lease).copied()
    }

    pub(super) fn waiting(&self) -> usize {
        self.jobs.values().filter(|job| matches!(job.state, ModelState::Waiting(_))).count()
    }

    pub(super) fn quarantined(&self) -> usize {
        self.workers.values().filter(|worker| worker.quarantined.is_some()).count()
    }
}
