//! Workers, what they offer, and their parked slots.
//!
//! Workers with the same offer (architecture and images) share one [`Group`]. An image knows the
//! groups that offer it, a group knows its workers by their most recently parked slot, a worker
//! knows its slots in the order they were parked: parking and taking a slot touch one entry of
//! each, however many images a worker offers.
//!
//! A worker that drains, or is held (see [`Hold`]), is in no group, and so gets no job. One that
//! is held keeps its parked slots: they are there again when the hold ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pe_proto::link::LeaseId;
use pe_proto::{Arch, Digest};

use super::queue::Lane;
use super::survey::WorkerCensus;
use super::terms::{Arrival, HedgeTerms, NotHeld, Spare};
use crate::core::ids::{Fit, SlotId, WorkerId};
use crate::core::moment::Moment;
use crate::limits::OFFERS_REMEMBERED_MAX;
use worker::Worker;

use fetchers::Fetcher;
pub(super) use worker::Hold;
#[cfg(test)]
pub(super) use worker::past_max;

mod fetchers;
mod worker;

/// What a worker can run: sorted, so that equal offers compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Offer {
    arch: Arch,
    images: Arc<[Digest]>,
}

impl Offer {
    /// Sorts the images and drops doubles.
    pub fn new(arch: Arch, mut images: Vec<Digest>) -> Self {
        images.sort_unstable();
        images.dedup();
        Self { arch, images: images.into() }
    }

    /// Its architecture.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    fn fits(&self) -> impl Iterator<Item = Fit> + '_ {
        self.images.iter().map(|image| Fit { arch: self.arch, image: *image })
    }

    fn holds(&self, fit: Fit) -> bool {
        self.arch == fit.arch && self.images.binary_search(&fit.image).is_ok()
    }
}

/// Why a slot cannot be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParkRefused {
    /// Its worker did not say hello, or is gone.
    #[error("worker is not known")]
    UnknownWorker,
    /// Its worker takes no more jobs.
    #[error("worker is draining")]
    Draining,
    /// Its worker has as many parked as it said it has slots.
    #[error("worker has parked all its slots")]
    TooMany,
}

#[derive(Debug)]
pub(super) struct Fleet {
    grace: Duration,
    workers: HashMap<WorkerId, Worker>,
    groups: HashMap<GroupId, Group>,
    group_ids: HashMap<Offer, GroupId>,
    by_fit: HashMap<Fit, Vec<GroupId>>,
    slots: HashMap<SlotId, Parked>,
    /// Those of the workers that could fetch something.
    fetchers: BTreeMap<WorkerId, Fetcher>,
    /// When the last worker with this on offer left.
    left: HashMap<Fit, Moment>,
    next_order: u64,
    next_group: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GroupId(u64);

#[derive(Debug)]
struct Group {
    offer: Offer,
    members: usize,
    /// Workers with a parked slot, by the order of their latest one.
    by_latest: BTreeMap<u64, WorkerId>,
}

#[derive(Debug, Clone, Copy)]
struct Parked {
    worker: WorkerId,
    order: u64,
    until: Moment,
    /// Whether a sign of life comes when its lease arrives.
    signs: bool,
}

/// A slot that was taken out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) worker: WorkerId,
    pub(super) until: Moment,
    pub(super) signs: bool,
}

impl Fleet {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            workers: HashMap::new(),
            groups: HashMap::new(),
            group_ids: HashMap::new(),
            by_fit: HashMap::new(),
            slots: HashMap::new(),
            fetchers: BTreeMap::new(),
            left: HashMap::new(),
            next_order: 0,
            next_group: 0,
        }
    }

    pub(super) fn parked(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn arrive(&mut self, id: WorkerId, arrival: Arrival, now: Moment) {
        if self.workers.contains_key(&id) {
            return;
        }
        self.workers.insert(id, Worker::new(arrival));
        self.regroup(id, now);
    }

    /// Changes what a worker offers, which shows that it is alive; it keeps its parked slots,
    /// unless it drains: then the caller takes them.
    pub(super) fn change(&mut self, id: WorkerId, offer: Offer, is_draining: bool, now: Moment) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.offer = offer;
            worker.is_draining = is_draining;
            worker.set(Hold::Silent, false);
            self.regroup(id, now);
        }
    }

    /// Begins or ends a hold of a worker; tells whether that is a change.
    pub(super) fn hold(&mut self, id: WorkerId, hold: Hold, is_held: bool, now: Moment) -> bool {
        let is_new = self.workers.get_mut(&id).is_some_and(|worker| worker.set(hold, is_held));
        if is_new {
            self.regroup(id, now);
        }
        is_new
    }

    /// Puts a worker into the group of what it offers now.
    fn regroup(&mut self, id: WorkerId, now: Moment) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let (old, latest) = (worker.group, worker.latest());
        let wanted = worker.effective_offer().cloned();
        let is_same =
            old.and_then(|old| self.groups.get(&old)).map(|group| &group.offer) == wanted.as_ref();
        if is_same {
            return;
        }
        let new = wanted.map(|offer| self.join(offer));
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.group = new;
        }
        self.set_latest(old, id, latest, None);
        self.set_latest(new, id, None, latest);
        self.part(old, now);
    }

    /// Forgets a worker, whose slots were taken before.
    pub(super) fn leave(&mut self, worker: WorkerId, now: Moment) {
        self.fetchers.remove(&worker);
        if let Some(Worker { group, .. }) = self.workers.remove(&worker) {
            self.part(group, now);
        }
    }

    /// A sign of life came this long after a lease.
    pub(super) fn timed(&mut self, id: WorkerId, took: Duration) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.rtt.heard(took);
        }
    }

    /// How long to wait for a sign of life.
    pub(super) fn patience(&self, id: WorkerId, terms: &HedgeTerms) -> Duration {
        self.workers.get(&id).map_or(terms.wait_first, |worker| worker.rtt.patience(terms))
    }

    /// Remembers that a worker's lease is over, and when, unless it was by its result.
    pub(super) fn over(&mut self, id: WorkerId, lease: LeaseId, ended: Option<Moment>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.remember(lease, ended);
        }
    }

    /// What a result for a lease means that the worker does not hold.
    pub(super) fn not_held(&self, id: WorkerId, lease: LeaseId, now: Moment) -> NotHeld {
        self.workers.get(&id).map_or(NotHeld::Crossed, |worker| worker.not_held(lease, now))
    }

    /// Whether a slot is parked.
    pub(super) fn is_parked(&self, slot: SlotId) -> bool {
        self.slots.contains_key(&slot)
    }

    /// Whether a worker is here.
    pub(super) fn knows(&self, id: WorkerId) -> bool {
        self.workers.contains_key(&id)
    }

    /// How each worker is.
    pub(super) fn standings(&self) -> impl Iterator<Item = (WorkerId, WorkerCensus)> + '_ {
        self.workers.iter().map(|(id, worker)| (*id, worker.census()))
    }

    pub(super) fn park(
        &mut self,
        slot: SlotId,
        id: WorkerId,
        until: Moment,
        signs: bool,
    ) -> Result<(), ParkRefused> {
        let worker = self.workers.get_mut(&id).ok_or(ParkRefused::UnknownWorker)?;
        if worker.is_draining {
            return Err(ParkRefused::Draining);
        }
        if worker.slots.len() >= worker.slots_max || self.slots.contains_key(&slot) {
            return Err(ParkRefused::TooMany);
        }
        self.next_order += 1;
        let order = self.next_order;
        let (group, before) = (worker.group, worker.latest());
        worker.slots.insert(order, slot);
        self.slots.insert(slot, Parked { worker: id, order, until, signs });
        self.set_latest(group, id, before, Some(order));
        Ok(())
    }

    /// Takes a slot out.
    pub(super) fn unpark(&mut self, slot: SlotId) -> Option<Taken> {
        let Parked { worker: id, order, until, signs } = self.slots.remove(&slot)?;
        let worker = self.workers.get_mut(&id)?;
        let before = worker.latest();
        worker.slots.remove(&order);
        let (group, after) = (worker.group, worker.latest());
        if before != after {
            self.set_latest(group, id, before, after);
        }
        Some(Taken { worker: id, until, signs })
    }

    pub(super) fn unpark_all(&mut self, worker: WorkerId) -> Vec<(SlotId, Moment)> {
        let slots: Vec<SlotId> = self
            .workers
            .get(&worker)
            .map(|worker| worker.slots.values().copied().collect())
            .unwrap_or_default();
        slots
            .into_iter()
            .filter_map(|slot| self.unpark(slot).map(|taken| (slot, taken.until)))
            .collect()
    }

    pub(super) fn unpark_everyone(&mut self) -> Vec<(SlotId, Moment)> {
        let mut workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        workers.sort_unstable();
        workers.into_iter().flat_map(|worker| self.unpark_all(worker)).collect()
    }

    /// Whether a worker that is here offers it.
    pub(super) fn offers(&self, fit: Fit) -> bool {
        self.by_fit.contains_key(&fit)
    }

    /// Whether it is worth waiting for a worker that offers it.
    pub(super) fn may_ever_run(&self, fit: Fit, now: Moment) -> bool {
        self.offers(fit)
            || now.since(Moment::START) < self.grace
            || self.left.get(&fit).is_some_and(|left| now.since(*left) < self.grace)
    }

    /// Whether there is a worker whose slots both may take.
    pub(super) fn are_rivals(&self, one: Fit, other: Fit) -> bool {
        let groups = |fit| self.by_fit.get(&fit).into_iter().flatten();
        one == other || groups(one).any(|group| groups(other).any(|each| each == group))
    }

    /// Whether a slot of this worker may take jobs of the lane.
    pub(super) fn admits(&self, worker: WorkerId, lane: Lane) -> bool {
        self.holds(worker, lane.fit) && (lane.avoid != Some(worker) || self.members(lane.fit) <= 1)
    }

    /// The most recently parked slot that may take jobs of the lane.
    pub(super) fn latest_parked(&self, lane: Lane) -> Option<SlotId> {
        // To avoid a worker is a wish: it is dropped if that worker is the only one.
        let avoid = lane
            .avoid
            .filter(|avoid| self.members(lane.fit) > usize::from(self.holds(*avoid, lane.fit)));
        self.latest_of(lane.fit, |worker| avoid != Some(worker))
    }

    /// The most recently parked slot that fits, of another worker than this one.
    pub(super) fn latest_elsewhere(&self, fit: Fit, than: WorkerId) -> Option<SlotId> {
        self.latest_of(fit, |id| id != than)
    }

    /// The most recently parked slot that may take a spare run.
    pub(super) fn latest_spare(&self, fit: Fit, spare: &Spare) -> Option<SlotId> {
        self.latest_of(fit, |id| {
            let worker = self.workers.get(&id);
            worker.is_some_and(|worker| spare.admits(worker.owner, worker.is_trusted))
        })
    }

    /// Whether a slot that fits is parked beside this one.
    pub(super) fn has_another(&self, fit: Fit, slot: SlotId) -> bool {
        let groups = self.by_fit.get(&fit).into_iter().flatten();
        let mut workers = groups
            .filter_map(|id| self.groups.get(id))
            .flat_map(|group| group.by_latest.values())
            .filter_map(|id| self.workers.get(id));
        workers.any(|worker| worker.slots.values().any(|each| *each != slot))
    }

    fn latest_of(&self, fit: Fit, is_wanted: impl Fn(WorkerId) -> bool) -> Option<SlotId> {
        let groups = self.by_fit.get(&fit)?.iter().filter_map(|id| self.groups.get(id));
        let latest = |group: &Group| {
            let mut workers = group.by_latest.iter().rev();
            workers.find(|(_, worker)| is_wanted(**worker)).map(|(order, id)| (*order, *id))
        };
        let (order, worker) = groups.filter_map(latest).max()?;
        self.workers.get(&worker)?.slots.get(&order).copied()
    }

    fn holds(&self, worker: WorkerId, fit: Fit) -> bool {
        self.workers
            .get(&worker)
            .and_then(|worker| self.groups.get(&worker.group?))
            .is_some_and(|group| group.offer.holds(fit))
    }

    /// Workers that offer it.
    fn members(&self, fit: Fit) -> usize {
        let groups = self.by_fit.get(&fit).into_iter().flatten();
        groups.filter_map(|id| self.groups.get(id)).map(|group| group.members).sum()
    }

    fn set_latest(
        &mut self,
        group: Option<GroupId>,
        worker: WorkerId,
        old: Option<u64>,
        new: Option<u64>,
    ) {
        let Some(group) = group.and_then(|group| self.groups.get_mut(&group)) else {
            return;
        };
        if let Some(old) = old {
            group.by_latest.remove(&old);
        }
        if let Some(new) = new {
            group.by_latest.insert(new, worker);
        }
    }

    fn join(&mut self, offer: Offer) -> GroupId {
        if let Some(id) = self.group_ids.get(&offer) {
            if let Some(group) = self.groups.get_mut(id) {
                group.members += 1;
                return *id;
            }
        }
        self.next_group += 1;
        let id = GroupId(self.next_group);
        for fit in offer.fits() {
            self.by_fit.entry(fit).or_default().push(id);
        }
        self.group_ids.insert(offer.clone(), id);
        self.groups.insert(id, Group { offer, members: 1, by_latest: BTreeMap::new() });
        id
    }

    fn part(&mut self, id: Option<GroupId>, now: Moment) {
        let Some((id, group)) = id.and_then(|id| Some((id, self.groups.get_mut(&id)?))) else {
            return;
        };
        group.members -= 1;
        if group.members > 0 {
            return;
        }
        let Some(Group { offer, .. }) = self.groups.remove(&id) else {
            return;
        };
        self.group_ids.remove(&offer);
        for fit in offer.fits() {
            if let Some(groups) = self.by_fit.get_mut(&fit) {
                groups.retain(|each| *each != id);
                if groups.is_empty() {
                    self.by_fit.remove(&fit);
                    self.remember(fit, now);
                }
            }
        }
    }

    fn remember(&mut self, fit: Fit, now: Moment) {
        if self.left.len() >= OFFERS_REMEMBERED_MAX {
            let grace = self.grace;
            self.left.retain(|_, left| now.since(*left) < grace);
        }
        if self.left.len() < OFFERS_REMEMBERED_MAX {
            self.left.insert(fit, now);
        }
    }
}
