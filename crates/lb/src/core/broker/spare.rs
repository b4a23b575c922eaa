//! Runs that nobody waits for: made with what is left over, and given up for who does wait.

use pe_proto::link::LeaseId;

use super::queue::Lane;
use super::terms::{Decision, Refusal, Spare};
use super::{Broker, Lease, Over};
use crate::core::ids::{Fit, SlotId};
use crate::core::moment::Moment;

impl Broker {
    /// The slot that a spare run may have: nobody waits, and another that fits stays parked, so
    /// that the next client finds one.
    pub(super) fn slot_to_spare(&self, fit: Fit, spare: &Spare) -> Option<SlotId> {
        if self.queue.len() > 0 {
            return None;
        }
        self.fleet.latest_spare(fit, spare).filter(|slot| self.fleet.has_another(fit, *slot))
    }

    /// A client's job has to wait: a spare run that has a slot which the job could have is
    /// cancelled, the youngest one, of which the least is lost.
    pub(super) fn displace(&mut self, lane: Lane, now: Moment) {
        let (fleet, leases) = (&self.fleet, &self.leases);
        let is_in_the_way =
            |id: &LeaseId| leases.get(id).is_some_and(|lease| fleet.admits(lease.worker, lane));
        let Some(lease) = self.spare_leases.iter().rev().copied().find(is_in_the_way) else {
            return;
        };
        if let Some(Lease { job, slot, .. }) = self.end_lease(lease, Over::Cut, now) {
            self.jobs.remove(&job);
            self.decisions.push_back(Decision::Refuse { job, refusal: Refusal::NoSpare });
            self.decisions.push_back(Decision::Cancel { slot });
        }
    }
}
