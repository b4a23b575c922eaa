//! Waiting jobs, and who goes next.
//!
//! Jobs that the same slots may take wait in the same lane. Clients take turns: each client with
//! a waiting job has a number, the smallest goes next, and a client that was served goes to the
//! end. A lane knows its clients by their numbers, so picking is a look at the first entry of
//! each lane that a slot admits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::core::ids::{ClientKey, Fit, JobId, WorkerId};

/// Jobs that the same slots may take. The order is that of preference: `avoid` first, as a job
/// with something to avoid has already lost a worker and goes before others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane {
    /// The worker that lost them, not to be used if there is another.
    pub(super) avoid: Option<WorkerId>,
    /// What they need.
    pub(super) fit: Fit,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Never an empty lane; in it, clients by turn.
    lanes: HashMap<Lane, BTreeMap<u64, ClientKey>>,
    /// Never a client without a job.
    clients: HashMap<ClientKey, Waiting>,
    jobs: BTreeSet<JobId>,
    fresh: usize,
    next_turn: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    turn: u64,
    /// Never an empty set.
    lanes: BTreeMap<Lane, BTreeSet<JobId>>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Those that never were leased.
    pub(super) fn len_fresh(&self) -> usize {
        self.fresh
    }

    pub(super) fn oldest(&self) -> Option<JobId> {
        self.jobs.first().copied()
    }

    pub(super) fn push(&mut self, job: JobId, client: ClientKey, lane: Lane) {
        if !self.jobs.insert(job) {
            return;
        }
        self.fresh += usize::from(lane.avoid.is_none());
        let next_turn = &mut self.next_turn;
        let waiting = self.clients.entry(client).or_insert_with(|| {
            *next_turn += 1;
            Waiting { turn: *next_turn, lanes: BTreeMap::new() }
        });
        waiting.lanes.entry(lane).or_default().insert(job);
        self.lanes.entry(lane).or_default().insert(waiting.turn, client);
    }

    /// The job to go next among those in lanes that are `admitted`. It stays until it is removed;
    /// its client goes to the end.
    pub(super) fn pick(&mut self, admitted: impl Fn(Lane) -> bool) -> Option<JobId> {
        let (_, _, job, client) = self
            .lanes
            .iter()
            .filter(|(lane, _)| admitted(**lane))
            .filter_map(|(lane, by_turn)| {
                let (turn, client) = by_turn.first_key_value()?;
                let head = self.clients.get(client)?.lanes.get(lane)?.first()?;
                Some((lane.avoid.is_none(), *turn, *head, *client))
            })
            .min()?;
        self.send_to_the_end(client);
        Some(job)
    }

    pub(super) fn remove(&mut self, job: JobId, client: ClientKey, lane: Lane) {
        if !self.jobs.remove(&job) {
            return;
        }
        self.fresh -= usize::from(lane.avoid.is_none());
        let Some(waiting) = self.clients.get_mut(&client) else {
            return;
        };
        let Some(jobs) = waiting.lanes.get_mut(&lane) else {
            return;
        };
        jobs.remove(&job);
        if !jobs.is_empty() {
            return;
        }
        waiting.lanes.remove(&lane);
        if let Some(by_turn) = self.lanes.get_mut(&lane) {
            by_turn.remove(&waiting.turn);
            if by_turn.is_empty() {
                self.lanes.remove(&lane);
            }
        }
        if waiting.lanes.is_empty() {
            self.clients.remove(&client);
        }
    }

    fn send_to_the_end(&mut self, client: ClientKey) {
        let Some(waiting) = self.clients.get_mut(&client) else {
            return;
        };
        self.next_turn += 1;
        for lane in waiting.lanes.keys() {
            if let Some(by_turn) = self.lanes.get_mut(lane) {
                by_turn.remove(&waiting.turn);
                by_turn.insert(self.next_turn, client);
            }
        }
        waiting.turn = self.next_turn;
    }
}
