//! The broker as lists that are searched from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pe_proto::Digest;
use pe_proto::link::LeaseId;

use super::events::{Answer, Concrete, image, images};
use crate::core::broker::timers::Timer;
use crate::core::broker::{Decision, Loss, NotHeld, ParkRefused, Refusal, Terms};
use crate::core::ids::{ClientKey, Fit, JobId, SlotId, WorkerId};
use crate::core::moment::Moment;

#[derive(Debug)]
pub(super) struct Model {
    terms: Terms,
    pub(super) now: Moment,
    pub(super) workers: BTreeMap<WorkerId, ModelWorker>,
    /// In the order they were parked.
    pub(super) parked: Vec<(SlotId, WorkerId, Moment)>,
    pub(super) jobs: BTreeMap<JobId, ModelJob>,
    /// Clients with waiting jobs, next one first.
    rotation: Vec<ClientKey>,
    left: BTreeMap<Fit, Moment>,
    next_lease: u64,
    is_draining: bool,
    pub(super) decisions: Vec<Decision>,
}

#[derive(Debug)]
pub(super) struct ModelWorker {
    slots_max: usize,
    offer: Option<BTreeSet<Digest>>,
}

#[derive(Debug)]
pub(super) struct ModelJob {
    client: ClientKey,
    fit: Fit,
    losses: u8,
    reports: u8,
    avoid: Option<WorkerId>,
    since: Moment,
    pub(super) state: ModelState,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ModelState {
    Waiting(Moment),
    Leased(LeaseId, SlotId, WorkerId, Moment),
    Answering(WorkerId),
}

pub(super) const WALL: Duration = Duration::from_secs(10);

impl Model {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            now: Moment::START,
            workers: BTreeMap::new(),
            parked: Vec::new(),
            jobs: BTreeMap::new(),
            rotation: Vec::new(),
            left: BTreeMap::new(),
            next_lease: 1,
            is_draining: false,
            decisions: Vec::new(),
        }
    }

    pub(super) fn offering(&self, fit: Fit) -> Vec<WorkerId> {
        let offers = |worker: &ModelWorker| {
            worker.offer.as_ref().is_some_and(|offer| offer.contains(&fit.image))
        };
        self.workers.iter().filter(|(_, worker)| offers(worker)).map(|(id, _)| *id).collect()
    }

    pub(super) fn may_take(&self, worker: WorkerId, job: &ModelJob) -> bool {
        let offering = self.offering(job.fit);
        let others = offering.iter().any(|other| Some(*other) != job.avoid);
        offering.contains(&worker) && (job.avoid != Some(worker) || !others)
    }

    pub(super) fn latest_for(&self, job: &ModelJob) -> Option<SlotId> {
        self.parked.iter().rev().find(|(_, w, _)| self.may_take(*w, job)).map(|(slot, ..)| *slot)
    }

    pub(super) fn forget_clients(&mut self) {
        let jobs = &self.jobs;
        self.rotation.retain(|client| {
            jobs.values()
                .any(|job| job.client == *client && matches!(job.state, ModelState::Waiting(_)))
        });
    }

    /// The waiting job to go next among the admitted.
    pub(super) fn next_job(&self, admitted: impl Fn(&ModelJob) -> bool) -> Option<JobId> {
        self.jobs
            .iter()
            .filter(|(_, job)| matches!(job.state, ModelState::Waiting(_)) && admitted(job))
            .min_by_key(|(id, job)| {
                let turn = self.rotation.iter().position(|client| *client == job.client);
                (job.avoid.is_none(), turn, **id)
            })
            .map(|(id, _)| *id)
    }

    pub(super) fn lease_from_queue(&mut self, id: JobId, slot: SlotId) {
        let client = self.jobs[&id].client;
        self.rotation.retain(|each| *each != client);
        self.rotation.push(client);
        self.lease(id, slot);
        self.forget_clients();
    }

    pub(super) fn lease(&mut self, id: JobId, slot: SlotId) {
        let at = self.parked.iter().position(|(each, ..)| *each == slot).unwrap();
        let (_, worker, _) = self.parked.remove(at);
        let lease = LeaseId(self.next_lease);
        self.next_lease += 1;
        let deadline = WALL + self.terms.lease_grace;
        let job = self.jobs.get_mut(&id).unwrap();
        let waited = self.now.since(job.since);
        job.state = ModelState::Leased(lease, slot, worker, self.now.after(deadline));
        self.decisions.push(Decision::Lease { lease, slot, job: id, deadline, waited });
    }

    pub(super) fn wait(&mut self, id: JobId) {
        let until = self.now.after(self.terms.queue_wait);
        let now = self.now;
        let job = self.jobs.get_mut(&id).unwrap();
        job.state = ModelState::Waiting(until);
        job.since = now;
        let client = job.client;
        if let Some(slot) = self.latest_for(&self.jobs[&id]) {
            self.lease(id, slot);
        } else if !self.rotation.contains(&client) {
            self.rotation.push(client);
        }
    }

    pub(super) fn lose(&mut self, id: JobId, worker: WorkerId, loss: Loss) {
        let terms = self.terms;
        let job = self.jobs.get_mut(&id).unwrap();
        let (count, most) = match loss {
            Loss::Link => (&mut job.losses, terms.releases_max),
            Loss::Reported => (&mut job.reports, terms.reports_max),
        };
        *count += 1;
        if *count > most {
            self.jobs.remove(&id);
            self.refuse(id, Refusal::WorkerLost);
        } else {
            job.avoid = Some(worker);
            self.wait(id);
        }
    }

    pub(super) fn refuse(&mut self, job: JobId, refusal: Refusal) {
        self.decisions.push(Decision::Refuse { job, refusal });
    }

    pub(super) fn match_waiting(&mut self) {
        while let Some(id) = self.next_job(|job| self.latest_for(job).is_some()) {
            let slot = self.latest_for(&self.jobs[&id]).unwrap();
            self.lease_from_queue(id, slot);
        }
    }

    pub(super) fn set_offer(&mut self, worker: WorkerId, offer: Option<BTreeSet<Digest>>) {
        let known = [image(0), image(1)];
        let before: Vec<Fit> =
            known.into_iter().filter(|fit| !self.offering(*fit).is_empty()).collect();
        self.workers.get_mut(&worker).unwrap().offer = offer;
        for fit in before {
            if self.offering(fit).is_empty() {
                self.left.insert(fit, self.now);
            }
        }
    }

    pub(super) fn apply(&mut self, event: &Concrete) -> Answer {
        match event.clone() {
            Concrete::Arrive(worker, slots_max, offer) => {
                let offer = Some(images(offer).into_iter().collect());
                self.workers.insert(worker, ModelWorker { slots_max, offer });
            }
            Concrete::Change(worker, offer, is_draining) => {
                let offer = (!is_draining).then(|| images(offer).into_iter().collect());
                self.set_offer(worker, offer);
                if is_draining {
                    for (slot, owner, until) in std::mem::take(&mut self.parked) {
                        if owner == worker {
                            self.decisions.push(Decision::Release { slot });
                        } else {
                            self.parked.push((slot, owner, until));
                        }
                    }
                }
                self.match_waiting();
            }
            Concrete::Leave(worker) => {
                self.parked.retain(|(_, owner, _)| *owner != worker);
                self.set_offer(worker, None);
                self.workers.remove(&worker);
                let mut lost: Vec<(LeaseId, JobId)> = Vec::new();
                for (id, job) in &self.jobs {
                    if let ModelState::Leased(lease, _, holder, _) = job.state {
                        if holder == worker {
                            lost.push((lease, *id));
                        }
                    }
                }
                lost.sort();
                for (_, job) in lost {
                    self.lose(job, worker, Loss::Link);
                }
                self.match_waiting();
            }
            Concrete::Park(slot, worker, until) => {
                let Some(found) = self.workers.get(&worker) else {
                    return Answer::Park(Err(ParkRefused::UnknownWorker));
                };
                if found.offer.is_none() {
                    return Answer::Park(Err(ParkRefused::Draining));
                }
                let parked = self.parked.iter().filter(|(_, owner, _)| *owner == worker).count();
                if parked >= found.slots_max {
                    return Answer::Park(Err(ParkRefused::TooMany));
                }
                self.parked.push((slot, worker, until));
                if let Some(id) = self.next_job(|job| self.may_take(worker, job)) {
                    self.lease_from_queue(id, slot);
                }
                return Answer::Park(Ok(()));
            }
            Concrete::SlotGone(slot) => {
                self.parked.retain(|(each, ..)| *each != slot);
                let lost = self.jobs.iter().find_map(|(id, job)| match job.state {
                    ModelState::Leased(_, held, worker, _) if held == slot => Some((*id, worker)),
                    ModelState::Leased(..) | ModelState::Waiting(_) | ModelState::Answering(_) => {
                        None
                    }
                });
                if let Some((id, worker)) = lost {
                    self.lose(id, worker, Loss::Link);
                }
            }
            Concrete::HandoverFailed(lease) => {
                if let Some((id, ..)) = self.held(lease) {
                    self.wait(id);
                }
            }
            Concrete::Submit(id, client, fit) => self.submit(id, client, fit),
            Concrete::Close(id) => {
                if let Some(job) = self.jobs.remove(&id) {
                    if let ModelState::Leased(_, slot, ..) = job.state {
                        self.decisions.push(Decision::Cancel { slot });
                    }
                }
                self.forget_clients();
            }
            Concrete::BeginResult(worker, lease) => {
                return Answer::Begin(match self.held(lease) {
                    Some((id, slot, holder)) if holder == worker => {
                        self.jobs.get_mut(&id).unwrap().state = ModelState::Answering(worker);
                        self.decisions.push(Decision::Settle { slot });
                        Ok(id)
                    }
                    _ => Err(NotHeld),
                });
            }
            Concrete::ResultLost(id, loss) => {
                if let Some(ModelState::Answering(worker)) = self.jobs.get(&id).map(|j| j.state) {
                    self.lose(id, worker, loss);
                }
            }
            Concrete::Tick(now) => self.tick(now),
            Concrete::Drain => self.is_draining = true,
        }
        Answer::Nothing
    }

    pub(super) fn submit(&mut self, id: JobId, client: ClientKey, fit: Fit) {
        let graced = |at: Moment| self.now.since(at) < self.terms.worker_grace;
        let may_run = !self.offering(fit).is_empty()
            || graced(Moment::START)
            || self.left.get(&fit).is_some_and(|at| graced(*at));
        if self.is_draining {
            return self.refuse(id, Refusal::Draining);
        }
        if !may_run {
            return self.refuse(id, Refusal::NoWorker);
        }
        let state = ModelState::Waiting(self.now);
        let since = self.now;
        let job = ModelJob { client, fit, losses: 0, reports: 0, avoid: None, since, state };
        let is_waiting =
            |job: &&ModelJob| matches!(job.state, ModelState::Waiting(_)) && job.avoid.is_none();
        let waiting = self.jobs.values().filter(is_waiting).count();
        if self.latest_for(&job).is_none() && waiting >= self.terms.queue_jobs_max {
            return self.refuse(id, Refusal::QueueFull);
        }
        self.jobs.insert(id, job);
        self.wait(id);
    }

    pub(super) fn tick(&mut self, now: Moment) {
        self.now = now;
        let mut due: Vec<(Moment, Timer)> = Vec::new();
        for (id, job) in &self.jobs {
            match job.state {
                ModelState::Waiting(until) => due.push((until, Timer::Job(*id))),
                ModelState::Leased(lease, _, _, until) => due.push((until, Timer::Lease(lease))),
                ModelState::Answering(_) => {}
            }
        }
        due.extend(self.parked.iter().map(|(slot, _, until)| (*until, Timer::Slot(*slot))));
        due.retain(|(at, _)| *at <= now);
        due.sort();
        for (_, timer) in due {
            match timer {
                Timer::Slot(slot) => {
                    self.parked.retain(|(each, ..)| *each != slot);
                    self.decisions.push(Decision::Release { slot });
                }
                Timer::Job(id) => {
                    let job = self.jobs.remove(&id).unwrap();
                    let refusal = match (job.losses + job.reports, self.offering(job.fit).len()) {
                        (1.., _) => Refusal::WorkerLost,
                        (0, 0) => Refusal::NoWorker,
                        (0, _) => Refusal::QueueTimeout,
                    };
                    self.refuse(id, refusal);
                }
                Timer::Lease(lease) => {
                    let (job, slot, _) = self.held(lease).unwrap();
                    self.jobs.remove(&job);
                    self.decisions.push(Decision::Overdue { job });
                    self.decisions.push(Decision::Cancel { slot });
                }
            }
        }
        self.forget_clients();
    }

    pub(super) fn held(&self, lease: LeaseId) -> Option<(JobId, SlotId, WorkerId)> {
        self.jobs.iter().find_map(|(id, job)| match job.state {
            ModelState::Leased(held, slot, worker, _) if held == lease => Some((*id, slot, worker)),
            ModelState::Leased(..) | ModelState::Waiting(_) | ModelState::Answering(_) => None,
        })
    }

    pub(super) fn waiting(&self) -> usize {
        self.jobs.values().filter(|job| matches!(job.state, ModelState::Waiting(_))).count()
    }
}
