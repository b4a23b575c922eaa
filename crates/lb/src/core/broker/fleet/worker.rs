//! One worker, as the fleet knows it.

use std::collections::{BTreeMap, VecDeque};

use pe_proto::link::LeaseId;

use super::{GroupId, Offer};
use crate::core::broker::rtt::Rtt;
use crate::core::broker::survey::WorkerCensus;
use crate::core::broker::terms::{Arrival, NotHeld};
use crate::core::ids::{OwnerKey, SlotId};
use crate::core::moment::Moment;
use crate::limits::LATE_RESULT_GRACE;

/// Why a worker gets no jobs for a while, though it offers slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core::broker) enum Hold {
    /// A lease of it shows no sign of life, nor did anything else since.
    Silent,
    /// It answered wrongly.
    Quarantined,
    /// The operator wants it empty.
    Drained,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) slots_max: usize,
    pub(super) offer: Offer,
    pub(super) owner: OwnerKey,
    pub(super) is_trusted: bool,
    pub(super) is_draining: bool,
    is_silent: bool,
    is_quarantined: bool,
    is_drained: bool,
    /// `None` while it drains or is held.
    pub(super) group: Option<GroupId>,
    pub(super) slots: BTreeMap<u64, SlotId>,
    pub(super) rtt: Rtt,
    past: VecDeque<Past>,
}

/// A lease that is over.
#[derive(Debug, Clone, Copy)]
struct Past {
    lease: LeaseId,
    /// When it ended, unless it was by its result.
    ended: Option<Moment>,
}

/// Leases of a worker that are remembered: as many as it can have twice over, and a few.
pub(in crate::core::broker) fn past_max(slots_max: usize) -> usize {
    2 * slots_max + 16
}

impl Worker {
    pub(super) fn new(arrival: Arrival) -> Self {
        let Arrival { slots_max, offer, owner, is_trusted } = arrival;
        Self {
            slots_max,
            offer,
            owner,
            is_trusted,
            is_draining: false,
            is_silent: false,
            is_quarantined: false,
            is_drained: false,
            group: None,
            slots: BTreeMap::new(),
            rtt: Rtt::default(),
            past: VecDeque::new(),
        }
    }

    /// What it is to get jobs of now.
    pub(super) fn effective_offer(&self) -> Option<&Offer> {
        let is_out = self.is_draining || self.is_silent || self.is_quarantined || self.is_drained;
        (!is_out).then_some(&self.offer)
    }

    /// Begins or ends a hold; tells whether that is a change.
    pub(super) fn set(&mut self, hold: Hold, is_held: bool) -> bool {
        let flag = match hold {
            Hold::Silent => &mut self.is_silent,
            Hold::Quarantined => &mut self.is_quarantined,
            Hold::Drained => &mut self.is_drained,
        };
        std::mem::replace(flag, is_held) != is_held
    }

    pub(super) fn census(&self) -> WorkerCensus {
        WorkerCensus {
            parked: self.slots.len(),
            leased: 0,
            round_trip: self.rtt.smoothed(),
            is_draining: self.is_draining || self.is_drained,
            is_silent: self.is_silent,
            is_quarantined: self.is_quarantined,
        }
    }

    pub(super) fn latest(&self) -> Option<u64> {
        self.slots.last_key_value().map(|(order, _)| *order)
    }

    /// Remembers a lease that is over.
    pub(super) fn remember(&mut self, lease: LeaseId, ended: Option<Moment>) {
        if self.past.len() >= past_max(self.slots_max) {
            self.past.pop_front();
        }
        self.past.push_back(Past { lease, ended });
    }

    /// What a result for a lease means that it does not hold.
    pub(super) fn not_held(&self, lease: LeaseId, now: Moment) -> NotHeld {
        match self.past.iter().rev().find(|past| past.lease == lease) {
            None => NotHeld::NotGiven,
            Some(Past { ended: None, .. }) => NotHeld::Twice,
            Some(Past { ended: Some(at), .. }) if now.since(*at) < LATE_RESULT_GRACE => {
                NotHeld::Crossed
            }
            Some(_) => NotHeld::Late,
        }
    }
}
