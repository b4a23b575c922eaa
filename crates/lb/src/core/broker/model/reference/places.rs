//! What becomes of a job that is new: whose turn it is, where a job stands, and how long it will wait: by playing the queue.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Model, ModelJob, ModelLease, ModelState, WALL};
use crate::core::broker::model::events::{owner, priority};
use crate::core::broker::{Claim, Place, Refusal, Spare};
use crate::core::ids::{ClientKey, Fit, JobId, SlotId};
use crate::core::moment::Moment;
use crate::limits::PACE_ENDS_MIN;

impl Model {
    /// Whether some worker's slots may take both.
    fn are_rivals(&self, one: Fit, other: Fit) -> bool {
        let offering = self.offering(other);
        one == other || self.offering(one).iter().any(|worker| offering.contains(worker))
    }

    /// Where a job stands that waits: the queue is played to where it is leased.
    pub(super) fn place(&self, id: JobId, waiting: &ModelJob) -> Place {
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
        for lease in self.leases.values() {
            if self.are_rivals(fit, lease.fit) {
                *leased.entry(lease.fit).or_default() += 1;
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
    pub(super) fn served(&mut self, lease: &ModelLease) {
        let took = self.now.since(lease.since);
        let before = self.services.get(&lease.fit).map(|service| (*service * 7 + took) / 8);
        self.services.insert(lease.fit, before.unwrap_or(took));
        *self.ends.entry(lease.fit).or_default() += 1;
    }

    /// Whether enough ended of what is under way.
    fn is_sure(&self, fit: Fit) -> bool {
        let under_way = |other: &Fit| self.leases.values().any(|lease| lease.fit == *other);
        let counts = |(other, _): &(&Fit, &u64)| under_way(other) && self.are_rivals(fit, **other);
        self.ends.iter().filter(counts).map(|(_, ends)| ends).sum::<u64>() >= PACE_ENDS_MIN
    }

    pub(super) fn submit(&mut self, id: JobId, claim: Claim, fit: Fit, spare: Option<Spare>) {
        let graced = |at: Moment| self.now.since(at) < self.terms.worker_grace;
        let may_run = !self.offering(fit).is_empty()
            || self.could_fetch(fit)
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
            is_spare: spare.is_some(),
            is_hedged: false,
            state: ModelState::Waiting(self.now),
        };
        if let Some(spare) = spare {
            let offering = self.offering(fit);
            let slot = self.latest(|worker| {
                let (owner, is_trusted) = owner(worker);
                offering.contains(&worker) && spare.admits(owner, is_trusted)
            });
            let is_another = |slot: &SlotId| {
                let mut others = self.parked.iter().filter(|(each, ..)| each != slot);
                others.any(|(_, worker, ..)| offering.contains(worker))
            };
            match slot.filter(|slot| self.waiting() == 0 && is_another(slot)) {
                None => self.refuse(id, Refusal::NoSpare),
                Some(slot) => {
                    self.jobs.insert(id, job);
                    self.lease(id, slot, false);
                }
            }
            return;
        }
        let service = self.services.get(&fit).copied().unwrap_or_default().min(WALL);
        let patience = deadline.map(|deadline| deadline.saturating_sub(service));
        let patience = self.queue_wait(fit).min(patience.unwrap_or(Duration::MAX));
        if self.latest_for(&job).is_none() {
            self.displace(&job);
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
            let is_too_long = place.wait.is_some_and(|wait| wait > patience) && self.is_sure(fit);
            if patience.is_zero() || is_too_long {
                return self.refuse(id, Refusal::TooLong(place));
            }
            job.position = place.position;
        }
        self.jobs.insert(id, job);
        self.wait_until(id, self.now.after(patience));
    }
}

pub(super) fn next<'a>(
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
pub(super) fn take_turn(rotation: &mut Vec<(ClientKey, u8)>, job: &ModelJob) {
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
