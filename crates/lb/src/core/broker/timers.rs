//! What becomes due when. Each thing has at most one timer and knows when it is, so that a timer
//! is found again without an index.

use std::collections::BTreeSet;

use pe_proto::link::LeaseId;

use crate::core::ids::{JobId, SlotId, WorkerId};
use crate::core::moment::Moment;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Leases come first: a job that is overdue is answered before anything is done for others.
    Lease(LeaseId),
    Job(JobId),
    /// The end of a quarantine, before jobs are hedged: it may bring the slot for one.
    Worker(WorkerId),
    /// No sign of life came.
    Hedge(LeaseId),
    Slot(SlotId),
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Moment, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Moment, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn unset(&mut self, at: Moment, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(super) fn take_due(&mut self, now: Moment) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
