//! Waiting jobs, and who goes next.
//!
//! Jobs that the same slots may take wait in the same lane. Clients take turns: each client with
//! a waiting job has a number, the smallest goes next; in its turn a client may have as many jobs
//! leased as its priority says, and then goes to the end. A lane knows its clients by their
//! numbers, so picking is a look at the first entry of each lane that a slot admits.
//!
//! Jobs that lost their worker go before all others, and take no turn: it was taken before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU8;

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
    /// Whether a lane came or went since somebody asked.
    is_changed: bool,
}

#[derive(Debug)]
struct Waiting {
    turn: u64,
    /// Jobs that it may have leased before its turn is over.
    left: usize,
    priority: usize,
    fresh: usize,
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

    /// A client's jobs that never were leased.
    pub(super) fn len_of(&self, client: ClientKey) -> usize {
        self.clients.get(&client).map_or(0, |waiting| waiting.fresh)
    }

    pub(super) fn oldest(&self) -> Option<JobId> {
        self.jobs.first().copied()
    }

    pub(super) fn push(&mut self, job: JobId, client: ClientKey, priority: NonZeroU8, lane: Lane) {
        if !self.jobs.insert(job) {
            return;
        }
        let is_fresh = usize::from(lane.avoid.is_none());
        self.fresh += is_fresh;
        let priority = usize::from(priority.get());
        let next_turn = &mut self.next_turn;
        let waiting = self.clients.entry(client).or_insert_with(|| {
            *next_turn += 1;
            let lanes = BTreeMap::new();
            Waiting { turn: *next_turn, left: priority, priority, fresh: 0, lanes }
        });
        waiting.fresh += is_fresh;
        waiting.lanes.entry(lane).or_default().insert(job);
        let by_turn = self.lanes.entry(lane).or_default();
        self.is_changed |= by_turn.is_empty();
        by_turn.insert(waiting.turn, client);
    }

    /// The job to go next among those in lanes that are `admitted`. It stays until it is removed;
    /// its client goes to the end if its turn is over.
    pub(super) fn pick(&mut self, admitted: impl Fn(Lane) -> bool) -> Option<JobId> {
        let (is_fresh, _, job, client) = self
            .lanes
            .iter()
            .filter(|(lane, _)| admitted(**lane))
            .filter_map(|(lane, by_turn)| {
                let (turn, client) = by_turn.first_key_value()?;
                let head = self.clients.get(client)?.lanes.get(lane)?.first()?;
                Some((lane.avoid.is_none(), *turn, *head, *client))
            })
            .min()?;
        if is_fresh {
            self.take_turn(client);
        }
        Some(job)
    }

    /// How many jobs go before one of this client's, if nobody comes or leaves and slots take the
    /// lanes of these kinds: a job that waits, or else one that would come now.
    pub(super) fn ahead(
        &self,
        job: Option<JobId>,
        client: ClientKey,
        priority: NonZeroU8,
        kinds: impl Fn(Fit) -> bool,
    ) -> usize {
        let of = |waiting: &Waiting, is_fresh: bool, is_before: &dyn Fn(JobId) -> bool| {
            let lanes = waiting.lanes.iter();
            let lanes =
                lanes.filter(|(lane, _)| lane.avoid.is_none() == is_fresh && kinds(lane.fit));
            lanes.map(|(_, jobs)| jobs.iter().filter(|job| is_before(**job)).count()).sum::<usize>()
        };
        let mine = self.clients.get(&client);
        let is_before = |other: JobId| job.is_none_or(|job| other < job);
        let own = mine.map_or(0, |mine| of(mine, true, &is_before));
        // A client that comes goes to the end.
        let (turn, left) =
            mine.map_or((u64::MAX, usize::from(priority.get())), |mine| (mine.turn, mine.left));
        let rounds_before = match (own + 1).checked_sub(left) {
            None | Some(0) => 0,
            Some(later) => later.div_ceil(usize::from(priority.get())),
        };
        let mut ahead = own;
        for (other, waiting) in &self.clients {
            ahead += of(waiting, false, &|_| true);
            if *other != client {
                let rounds = rounds_before + usize::from(waiting.turn < turn);
                let most = match rounds {
                    0 => 0,
                    more => waiting.left + (more - 1) * waiting.priority,
                };
                ahead += of(waiting, true, &|_| true).min(most);
            }
        }
        ahead
    }

    /// How many jobs go before one that lost its worker: only others that did.
    pub(super) fn ahead_again(
        &self,
        job: JobId,
        client: ClientKey,
        kinds: impl Fn(Fit) -> bool,
    ) -> usize {
        let Some(turn) = self.clients.get(&client).map(|mine| mine.turn) else { return 0 };
        let before = |waiting: &Waiting| {
            let lanes = waiting.lanes.iter();
            let lanes = lanes.filter(|(lane, _)| lane.avoid.is_some() && kinds(lane.fit));
            let jobs = lanes.flat_map(|(_, jobs)| jobs);
            jobs.filter(|other| (waiting.turn, **other) < (turn, job)).count()
        };
        self.clients.values().map(before).sum()
    }

    pub(super) fn remove(&mut self, job: JobId, client: ClientKey, lane: Lane) {
        if !self.jobs.remove(&job) {
            return;
        }
        let is_fresh = usize::from(lane.avoid.is_none());
        self.fresh -= is_fresh;
        let Some(waiting) = self.clients.get_mut(&client) else {
            return;
        };
        waiting.fresh -= is_fresh;
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
                self.is_changed = true;
            }
        }
        if waiting.lanes.is_empty() {
            self.clients.remove(&client);
        }
    }

    /// Whether what is waited for may have changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// What is waited for, and the oldest job that does.
    pub(super) fn fits(&self) -> BTreeMap<Fit, JobId> {
        let mut fits: BTreeMap<Fit, JobId> = BTreeMap::new();
        for (lane, by_turn) in &self.lanes {
            let clients = by_turn.values().filter_map(|client| self.clients.get(client));
            let heads = clients.filter_map(|waiting| waiting.lanes.get(lane)?.first().copied());
            if let Some(oldest) = heads.min() {
                let known = fits.entry(lane.fit).or_insert(oldest);
                *known = oldest.min(*known);
            }
        }
        fits
    }

    fn take_turn(&mut self, client: ClientKey) {
        let Some(waiting) = self.clients.get_mut(&client) else {
            return;
        };
        waiting.left = waiting.left.saturating_sub(1);
        if waiting.left > 0 {
            return;
        }
        waiting.left = waiting.priority;
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
