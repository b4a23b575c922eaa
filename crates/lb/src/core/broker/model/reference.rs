//! The broker as lists that are searched from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pe_proto::Digest;
use pe_proto::link::LeaseId;

use super::events::{Answer, Concrete, image, images, priority};
use crate::core::broker::timers::Timer;
use crate::core::broker::{Claim, Decision, Loss, NotHeld, ParkRefused, Place, Refusal, Terms};
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
    /// Clients with waiting jobs, next one first, and how many jobs are left of their turn.
    rotation: Vec<(ClientKey, u8)>,
    /// How long leases took, moving averages.
    services: BTreeMap<Fit, Duration>,
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
            services: BTreeMap::new(),
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
        self.rotation.retain(|(client, _)| {
            jobs.values()
                .any(|job| job.client == *client && matches!(job.state, ModelState::Waiting(_)))
        });
    }

    /// The waiting job to go next among the admitted.
    pub(super) fn next_job(&self, admitted: impl Fn(&ModelJob) -> bool) -> Option<JobId> {
        let waiting = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job.state, ModelState::Waiting(_)) && admitted(job));
        next(waiting, &self.rotation)
    }

    pub(super) fn lease_from_queue(&mut self, id: JobId, slot: SlotId) {
        take_turn(&mut self.rotation, &self.jobs[&id]);
        self.lease(id, slot);
        self.forget_clients();
    }

    /// Whether some worker's slots may take both.
    fn are_rivals(&self, one: Fit, other: Fit) -> bool {
        let offering = self.offering(other);
        one == other || self.offering(one).iter().any(|worker| offering.contains(worker))
    }

    /// Where a job stands that waits: the queue is played to where it is leased.
    fn place(&self, id: JobId, waiting: &ModelJob) -> Place {
        let of_interest = |(id, job): (&JobId, &ModelJob)| {
            let is_waiting = matches!(job.state, ModelState::Waiting(_));
            (is_waiting && self.are_rivals(waiting.fit, job.fit)).then(|| (*id, job.clone()))
        };
        let mut jobs: BTreeMap<JobId, ModelJob> =
            self.jobs.iter().filter_map(of_interest).collect();
        jobs.insert(id, waiting.clone());
        let mut rotation = self.rotation.clone();
        if !rotation.iter().any(|(client, _)| *client == waiting.client) {
            rotation.push((waiting.client, priority(waiting.client.0[0]).get()));
        }
        let mut position = 1;
        loop {
            let picked = next(jobs.iter(), &rotation).unwrap();
            if picked == id {
                break;
            }
            let job = jobs.remove(&picked).unwrap();
            take_turn(&mut rotation, &job);
            position += 1;
        }
        Place { position, wait: self.expected(waiting.fit, position) }
    }

    /// By how many jobs are leased now and how long they took lately.
    fn expected(&self, fit: Fit, position: usize) -> Option<Duration> {
        let mut leased: BTreeMap<Fit, u32> = BTreeMap::new();
        for job in self.jobs.values() {
            if matches!(job.state, ModelState::Leased(..)) && self.are_rivals(fit, job.fit) {
                *leased.entry(job.fit).or_default() += 1;
            }
        }
        let all: u32 = leased.values().sum();
        let (mut known, mut per_second) = (0.0, 0.0);
        for (fit, leased) in leased {
            if let Some(service) = self.services.get(&fit) {
                known += f64::from(leased);
                per_second += f64::from(leased) / service.as_secs_f64().max(1e-6);
            }
        }
        let position = f64::from(u32::try_from(position).unwrap());
        let per_second = per_second * f64::from(all) / known;
        (known > 0.0).then(|| Duration::from_secs_f64(position / per_second))
    }

    /// A lease ended, and took as long as jobs of its kind do.
    fn served(&mut self, fit: Fit, until: Moment) {
        let began = until.0 - WALL - self.terms.lease_grace;
        let took = self.now.0 - began;
        let before = self.services.get(&fit).map(|service| (*service * 7 + took) / 8);
        self.services.insert(fit, before.unwrap_or(took));
    }

    pub(super) fn lease(&mut self, id: JobId, slot: SlotId) {
        let at = self.parked.iter().position(|(each, ..)| *each == slot).unwrap();
        let (_, worker, _) = self.parked.remove(at);
        let lease = LeaseId(self.next_lease);
        self.next_lease += 1;
        let deadline = WALL + self.terms.lease_grace;
        let job = self.jobs.get_mut(&id).unwrap();
        let (waited, position) = (self.now.since(job.since), job.position);
        job.state = ModelState::Leased(lease, slot, worker, self.now.after(deadline));
        self.decisions.push(Decision::Lease { lease, slot, job: id, deadline, waited, position });
    }

    pub(super) fn wait(&mut self, id: JobId) {
        let until = self.now.after(self.terms.queue_wait);
        let deadline = self.jobs[&id].deadline.unwrap_or(until);
        self.wait_until(id, until.min(deadline.max(self.now)));
    }

    fn wait_until(&mut self, id: JobId, until: Moment) {
        let now = self.now;
        let job = self.jobs.get_mut(&id).unwrap();
        job.state = ModelState::Waiting(until);
        job.since = now;
        let client = job.client;
        if let Some(slot) = self.latest_for(&self.jobs[&id]) {
            self.lease(id, slot);
        } else if !self.rotation.iter().any(|(known, _)| *known == client) {
            self.rotation.push((client, priority(client.0[0]).get()));
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
            Concrete::Submit(id, claim, fit) => self.submit(id, claim, fit),
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
                        let job = self.jobs.get_mut(&id).unwrap();
                        let (fit, before) = (job.fit, job.state);
                        job.state = ModelState::Answering(worker);
                        if let ModelState::Leased(_, _, _, until) = before {
                            self.served(fit, until);
                        }
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

    pub(super) fn submit(&mut self, id: JobId, claim: Claim, fit: Fit) {
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
        let Claim { client, queued_max, deadline, .. } = claim;
        let mut job = ModelJob {
            client,
            fit,
            losses: 0,
            reports: 0,
            avoid: None,
            since: self.now,
            deadline: deadline.map(|deadline| self.now.after(deadline)),
            position: 0,
            state: ModelState::Waiting(self.now),
        };
        let service = self.services.get(&fit).copied().unwrap_or_default().min(WALL);
        let patience = deadline.map(|deadline| deadline.saturating_sub(service));
        let patience = self.terms.queue_wait.min(patience.unwrap_or(Duration::MAX));
        if self.latest_for(&job).is_none() {
            let place = self.place(id, &job);
            let is_fresh = |job: &&ModelJob| {
                matches!(job.state, ModelState::Waiting(_)) && job.avoid.is_none()
            };
            let fresh: Vec<&ModelJob> = self.jobs.values().filter(is_fresh).collect();
            let own = fresh.iter().filter(|job| job.client == client).count();
            if fresh.len() >= self.terms.queue_jobs_max {
                return self.refuse(id, Refusal::QueueFull(place));
            }
            if own >= queued_max {
                return self.refuse(id, Refusal::ClientQueueFull(place));
            }
            if patience.is_zero() || place.wait.is_some_and(|wait| wait > patience) {
                return self.refuse(id, Refusal::TooLong(place));
            }
            job.position = place.position;
        }
        self.jobs.insert(id, job);
        self.wait_until(id, self.now.after(patience));
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
                    let place = self.place(id, &self.jobs[&id]);
                    let job = self.jobs.remove(&id).unwrap();
                    let refusal = match (job.losses + job.reports, self.offering(job.fit).len()) {
                        (1.., _) => Refusal::WorkerLost,
                        (0, 0) => Refusal::NoWorker,
                        (0, _) => Refusal::QueueTimeout(place),
                    };
                    self.refuse(id, refusal);
                }
                Timer::Lease(lease) => {
                    let (job, slot, _) = self.held(lease).unwrap();
                    if let Some(ModelJob { fit, state: ModelState::Leased(.., until), .. }) =
                        self.jobs.remove(&job)
                    {
                        self.served(fit, until);
                    }
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

fn next<'a>(
    waiting: impl Iterator<Item = (&'a JobId, &'a ModelJob)>,
    rotation: &[(ClientKey, u8)],
) -> Option<JobId> {
    let by_turn = |(id, job): &(&JobId, &ModelJob)| {
        let turn = rotation.iter().position(|(client, _)| *client == job.client);
        (job.avoid.is_none(), turn, **id)
    };
    waiting.min_by_key(by_turn).map(|(id, _)| *id)
}

/// A job that lost its worker takes no turn.
fn take_turn(rotation: &mut Vec<(ClientKey, u8)>, job: &ModelJob) {
    let at = rotation.iter().position(|(client, _)| *client == job.client).unwrap();
    if job.avoid.is_some() {
        return;
    }
    rotation[at].1 -= 1;
    if rotation[at].1 == 0 {
        let (client, _) = rotation.remove(at);
        rotation.push((client, priority(client.0[0]).get()));
    }
}
