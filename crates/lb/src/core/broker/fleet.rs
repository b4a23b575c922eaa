//! Workers, what they offer, and their parked slots.
//!
//! Workers with the same offer (architecture and images) share one [`Group`]. An image knows the
//! groups that offer it, a group knows its workers by their most recently parked slot, a worker
//! knows its slots in the order they were parked: parking and taking a slot touch one entry of
//! each, however many images a worker offers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pe_proto::{Arch, Digest};

use super::queue::Lane;
use crate::core::ids::{Fit, SlotId, WorkerId};
use crate::core::moment::Moment;
use crate::limits::OFFERS_REMEMBERED_MAX;

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
    /// When the last worker with this on offer left.
    left: HashMap<Fit, Moment>,
    next_order: u64,
    next_group: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GroupId(u64);

#[derive(Debug)]
struct Worker {
    slots_max: usize,
    /// `None` while it drains.
    group: Option<GroupId>,
    slots: BTreeMap<u64, SlotId>,
}

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

    pub(super) fn arrive(&mut self, worker: WorkerId, slots_max: usize, offer: Offer) {
        if self.workers.contains_key(&worker) {
            return;
        }
        let group = Some(self.join(offer));
        self.workers.insert(worker, Worker { slots_max, group, slots: BTreeMap::new() });
    }

    /// Changes what a worker offers; it keeps its parked slots, unless it drains: then the caller
    /// takes them.
    pub(super) fn change(&mut self, id: WorkerId, offer: Offer, is_draining: bool, now: Moment) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let old = worker.group;
        let latest = worker.latest();
        let is_same = old.and_then(|old| self.groups.get(&old)).map(|group| &group.offer)
            == (!is_draining).then_some(&offer);
        if is_same {
            return;
        }
        let new = (!is_draining).then(|| self.join(offer));
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.group = new;
        }
        self.set_latest(old, id, latest, None);
        self.set_latest(new, id, None, latest);
        self.part(old, now);
    }

    /// Forgets a worker, whose slots were taken before.
    pub(super) fn leave(&mut self, worker: WorkerId, now: Moment) {
        if let Some(Worker { group, .. }) = self.workers.remove(&worker) {
            self.part(group, now);
        }
    }

    pub(super) fn park(
        &mut self,
        slot: SlotId,
        id: WorkerId,
        until: Moment,
    ) -> Result<(), ParkRefused> {
        let worker = self.workers.get_mut(&id).ok_or(ParkRefused::UnknownWorker)?;
        if worker.group.is_none() {
            return Err(ParkRefused::Draining);
        }
        if worker.slots.len() >= worker.slots_max || self.slots.contains_key(&slot) {
            return Err(ParkRefused::TooMany);
        }
        self.next_order += 1;
        let order = self.next_order;
        let (group, before) = (worker.group, worker.latest());
        worker.slots.insert(order, slot);
        self.slots.insert(slot, Parked { worker: id, order, until });
        self.set_latest(group, id, before, Some(order));
        Ok(())
    }

    /// Takes a slot out; tells its worker and when it was to be released.
    pub(super) fn unpark(&mut self, slot: SlotId) -> Option<(WorkerId, Moment)> {
        let Parked { worker: id, order, until } = self.slots.remove(&slot)?;
        let worker = self.workers.get_mut(&id)?;
        let before = worker.latest();
        worker.slots.remove(&order);
        let (group, after) = (worker.group, worker.latest());
        if before != after {
            self.set_latest(group, id, before, after);
        }
        Some((id, until))
    }

    pub(super) fn unpark_all(&mut self, worker: WorkerId) -> Vec<(SlotId, Moment)> {
        let slots: Vec<SlotId> = self
            .workers
            .get(&worker)
            .map(|worker| worker.slots.values().copied().collect())
            .unwrap_or_default();
        slots
            .into_iter()
            .filter_map(|slot| self.unpark(slot).map(|(_, until)| (slot, until)))
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
        let groups = self.by_fit.get(&lane.fit)?.iter().filter_map(|id| self.groups.get(id));
        let latest = |group: &Group| {
            let mut workers = group.by_latest.iter().rev();
            workers.find(|(_, worker)| avoid != Some(**worker)).map(|(order, id)| (*order, *id))
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

impl Worker {
    fn latest(&self) -> Option<u64> {
        self.slots.last_key_value().map(|(order, _)| *order)
    }
}
