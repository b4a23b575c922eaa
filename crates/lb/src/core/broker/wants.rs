//! Cold images: jobs that wait for a worker to fetch what they need, and what is known of them.
//!
//! Such a job waits in the queue as any other, and holds no slot. It may wait longer, as long as
//! a fetch may take; the moment a worker offers the image, it is leased.

use std::time::Duration;

use super::queue::Lane;
use super::terms::{Fetches, Place, Whereabouts};
use super::{Broker, Job, JobState};
use crate::core::ids::{Fit, JobId, WorkerId};
use crate::core::moment::Moment;

impl Broker {
    /// A worker told what it could fetch, and how far it is.
    pub fn worker_fetches(&mut self, worker: WorkerId, fetches: Fetches) {
        let had = self.fleet.has_fetchers();
        self.fleet.fetches(worker, fetches);
        self.is_wanted_stale |= !had;
    }

    /// What jobs wait for, if that changed since it was asked last, or may have: first what
    /// nobody offers, then what too few do; each in the order of its oldest job. Nothing while
    /// nobody could fetch it.
    pub fn wanted(&mut self) -> Option<Vec<Fit>> {
        let is_changed = self.queue.take_changed() || self.is_wanted_stale;
        if !is_changed || !self.fleet.has_fetchers() {
            return None;
        }
        self.is_wanted_stale = false;
        let waited_for = self.queue.fits().into_iter();
        let mut wanted: Vec<_> =
            waited_for.map(|(fit, oldest)| (self.fleet.offers(fit), oldest, fit)).collect();
        wanted.sort_unstable();
        Some(wanted.into_iter().map(|(_, _, fit)| fit).collect())
    }

    /// Where a job is, as far as its client may know. The cost is that of its place in the queue.
    pub fn whereabouts(&self, job: JobId, now: Moment) -> Option<Whereabouts> {
        let found = self.jobs.get(&job)?;
        Some(match found.state {
            JobState::Waiting { lane, .. } if !self.fleet.offers(found.fit) => {
                match self.fleet.fetching(found.fit) {
                    Some(fetch) => Whereabouts::Fetching(Some(fetch)),
                    None if self.fleet.could_fetch(found.fit) => Whereabouts::Fetching(None),
                    None => self.queued(job, found, lane),
                }
            }
            JobState::Waiting { lane, .. } => self.queued(job, found, lane),
            JobState::Leased { first, .. } => {
                let began = self.leases.get(&first).map_or(now, |lease| lease.began);
                Whereabouts::Running(now.since(began))
            }
            JobState::Answering { .. } => Whereabouts::Running(now.since(found.waiting_since)),
        })
    }

    fn queued(&self, job: JobId, found: &Job, lane: Lane) -> Whereabouts {
        if lane.avoid.is_none() {
            let Job { client, priority, fit, .. } = *found;
            return Whereabouts::Queued(self.place(Some(job), client, priority, fit));
        }
        let rivals = |other: Fit| self.fleet.are_rivals(found.fit, other);
        let position = 1 + self.queue.ahead_again(job, found.client, rivals);
        Whereabouts::Queued(Place { position, wait: self.pace.wait(position, rivals) })
    }

    /// How long a job may wait, whatever its client says.
    pub(super) fn queue_wait(&self, fit: Fit) -> Duration {
        let is_cold = !self.fleet.offers(fit) && self.fleet.could_fetch(fit);
        let most = if is_cold { self.terms.fetch_wait } else { Duration::ZERO };
        self.terms.queue_wait.max(most)
    }

    /// Whether a job has a chance at all.
    pub(super) fn may_ever_run(&self, fit: Fit, now: Moment) -> bool {
        self.fleet.may_ever_run(fit, now) || self.fleet.could_fetch(fit)
    }
}
