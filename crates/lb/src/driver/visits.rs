//! The workers that are here, who they are, and what is held against them.
//!
//! Strikes and the operator's orders belong to a worker's name; a name may be here more than
//! once, as when it dials again before its old connection is known to be dead.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::core::ids::WorkerId;
use crate::core::moment::Moment;
use crate::core::trust::Identity;
use crate::core::trust::ledger::{Fault, Ledger, Regard, StrikeTerms};
use crate::limits::{
    QUARANTINE_FORGET, QUARANTINE_MAX, QUARANTINE_MIN, STRIKES_HALF_LIFE, STRIKES_MAX,
    WORKER_VISITS_MAX,
};
use pe_proto::Arch;

/// What is known of a worker that said hello.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Whether its token is its own: then it is not here more often than makes sense.
    pub is_own: bool,
    /// Of its guests.
    pub arch: Arch,
    /// What it says of itself.
    pub labels: Vec<String>,
    /// Its CPU.
    pub cpu: String,
    /// Its VMM and accelerator.
    pub vmm: String,
}

#[derive(Debug)]
pub(super) struct Visits {
    ledger: Ledger,
    by_id: HashMap<WorkerId, Visitor>,
    by_name: HashMap<Arc<str>, BTreeSet<WorkerId>>,
}

#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) profile: Profile,
    pub(super) slots_max: usize,
    pub(super) since: Moment,
}

impl Visits {
    pub(super) fn new() -> Self {
        let terms = StrikeTerms {
            limit: STRIKES_MAX,
            half_life: STRIKES_HALF_LIFE,
            quarantine_min: QUARANTINE_MIN,
            quarantine_max: QUARANTINE_MAX,
            forget: QUARANTINE_FORGET,
        };
        Self { ledger: Ledger::new(terms), by_id: HashMap::new(), by_name: HashMap::new() }
    }

    /// Writes a worker down; not if it is here too often.
    pub(super) fn arrive(&mut self, worker: WorkerId, visitor: Visitor) -> bool {
        let name = Arc::clone(&visitor.profile.identity.name);
        let visits = self.by_name.entry(name).or_default();
        if visitor.profile.is_own && visits.len() >= WORKER_VISITS_MAX {
            return false;
        }
        visits.insert(worker);
        self.by_id.insert(worker, visitor);
        true
    }

    pub(super) fn leave(&mut self, worker: WorkerId) {
        let Some(Visitor { profile, .. }) = self.by_id.remove(&worker) else {
            return;
        };
        let name = &profile.identity.name;
        if let Some(visits) = self.by_name.get_mut(name) {
            visits.remove(&worker);
            if visits.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    pub(super) fn name(&self, worker: WorkerId) -> Option<Arc<str>> {
        self.by_id.get(&worker).map(|visitor| Arc::clone(&visitor.profile.identity.name))
    }

    /// All visits of one name.
    pub(super) fn of(&self, name: &str) -> Vec<WorkerId> {
        self.by_name.get(name).into_iter().flatten().copied().collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (WorkerId, &Visitor)> + '_ {
        self.by_id.iter().map(|(id, visitor)| (*id, visitor))
    }

    pub(super) fn regard(&self, name: &str, now: Moment) -> Regard {
        self.ledger.regard(name, now)
    }

    /// Counts a fault; the end of the quarantine that it brings, if it does.
    pub(super) fn strike(&mut self, name: &Arc<str>, fault: Fault, now: Moment) -> Option<Moment> {
        self.ledger.strike(name, fault, now)
    }

    pub(super) fn condemn(&mut self, name: &Arc<str>, is_condemned: bool, now: Moment) -> bool {
        self.ledger.condemn(name, is_condemned, now)
    }

    pub(super) fn drain(&mut self, name: &Arc<str>, is_drained: bool, now: Moment) -> bool {
        self.ledger.drain(name, is_drained, now)
    }
}
