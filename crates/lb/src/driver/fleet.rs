//! What the driver does about workers beside giving them jobs: strikes, quarantines, drains, and
//! what the operator is shown.

use std::sync::Arc;
use std::time::Duration;

use pe_proto::Arch;
use pe_proto::link::LeaseId;
use tracing::{info, warn};

use super::Driver;
use super::visits::{Profile, Visitor};
use crate::core::broker::{Arrival, NotHeld};
use crate::core::ids::{ClientKey, Fit, JobId, WorkerId};
use crate::core::trust::ledger::Fault;

/// Everything the operator may look at.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Workers, in the order they came.
    pub workers: Vec<WorkerRow>,
    /// Jobs that wait, in the order they came.
    pub queue: Vec<QueueRow>,
    /// Leases, in the order they were made.
    pub leases: Vec<LeaseRow>,
}

/// A worker that is here.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    /// This visit of it.
    pub id: WorkerId,
    /// Who it is.
    pub name: Arc<str>,
    /// Whose it is; empty if it has no token of its own.
    pub owner: Arc<str>,
    /// Whether its results count without another's word.
    pub is_trusted: bool,
    /// What it says of itself.
    pub labels: Vec<String>,
    /// Of its guests.
    pub arch: Arch,
    /// Its CPU.
    pub cpu: String,
    /// Its VMM and accelerator.
    pub vmm: String,
    /// Slots that it may have parked.
    pub slots_max: usize,
    /// Slots parked.
    pub parked: usize,
    /// Leases held.
    pub leased: usize,
    /// Its strikes, as they weigh now.
    pub strikes: f64,
    /// How long its quarantine lasts; [`Duration::MAX`] if the operator ordered it.
    pub quarantine: Option<Duration>,
    /// Whether it gets no more jobs, by its own word or the operator's.
    pub is_draining: bool,
    /// Whether a sign of life of it is missed.
    pub is_silent: bool,
    /// Smoothed time until it shows that a lease arrived.
    pub round_trip: Option<Duration>,
    /// How long it has been here.
    pub age: Duration,
}

/// A job that waits.
#[derive(Debug, Clone)]
pub struct QueueRow {
    /// Which.
    pub job: JobId,
    /// Of which request.
    pub request_id: String,
    /// Whose.
    pub client: ClientKey,
    /// What it needs.
    pub fit: Fit,
    /// For how long, this time.
    pub waited: Duration,
}

/// A job that a worker has.
#[derive(Debug, Clone)]
pub struct LeaseRow {
    /// Which lease.
    pub lease: LeaseId,
    /// Of which job.
    pub job: JobId,
    /// Of which request.
    pub request_id: String,
    /// Who has it.
    pub worker: WorkerId,
    /// For how long.
    pub age: Duration,
    /// Whether another worker has the job, too, and had it first.
    pub is_hedge: bool,
}

impl Driver {
    /// Writes a worker down, unless it is here too often already.
    pub(super) fn admit(&mut self, worker: WorkerId, arrival: Arrival, profile: Profile) -> bool {
        let now = self.now();
        let regard = self.visits.regard(&profile.identity.name, now);
        let slots_max = arrival.slots_max;
        if !self.visits.arrive(worker, Visitor { profile, slots_max, since: now }) {
            return false;
        }
        self.broker.worker_arrives(worker, arrival, now);
        if regard.is_condemned || regard.quarantined.is_some() {
            let until = regard.quarantined.filter(|_| !regard.is_condemned);
            self.broker.quarantine(worker, until, now);
        }
        if regard.is_drained {
            self.broker.drain_worker(worker, true, now);
        }
        true
    }

    pub(super) fn strike_visit(&mut self, worker: WorkerId, fault: Fault) {
        if let Some(name) = self.visits.name(worker) {
            self.strike(&name, fault);
        }
    }

    pub(super) fn strike(&mut self, name: &Arc<str>, fault: Fault) {
        let now = self.now();
        self.metrics.trust.strike(fault);
        let until = self.visits.strike(name, fault, now);
        info!(worker = &**name, fault = fault.as_str(), "worker struck");
        let Some(until) = until else { return };
        self.metrics.trust.quarantines.inc();
        warn!(worker = &**name, seconds = until.since(now).as_secs(), "worker quarantined");
        if self.visits.regard(name, now).is_condemned {
            return;
        }
        for worker in self.visits.of(name) {
            self.broker.quarantine(worker, Some(until), now);
        }
    }

    /// A result came for a lease that its worker does not hold.
    pub(super) fn strike_for(&mut self, worker: WorkerId, not_held: NotHeld) {
        match not_held {
            NotHeld::NotGiven => self.strike_visit(worker, Fault::NotGiven),
            NotHeld::Twice => self.strike_visit(worker, Fault::Twice),
            NotHeld::Late => self.strike_visit(worker, Fault::Late),
            // A result that crosses with its lease's cancel is nobody's fault.
            NotHeld::Crossed => {}
        }
    }

    /// The operator's word; `false` if there is no such worker.
    pub(super) fn order_quarantine(&mut self, worker: WorkerId, is_on: bool) -> bool {
        let now = self.now();
        let Some(name) = self.visits.name(worker) else { return false };
        if !self.visits.condemn(&name, is_on, now) {
            return false;
        }
        info!(worker = &*name, is_on, "quarantine ordered");
        for worker in self.visits.of(&name) {
            if is_on {
                self.broker.quarantine(worker, None, now);
            } else {
                self.broker.pardon(worker, now);
            }
        }
        true
    }

    /// The operator's word; `false` if there is no such worker.
    pub(super) fn order_drain(&mut self, worker: WorkerId, is_on: bool) -> bool {
        let now = self.now();
        let Some(name) = self.visits.name(worker) else { return false };
        if !self.visits.drain(&name, is_on, now) {
            return false;
        }
        info!(worker = &*name, is_on, "drain of a worker ordered");
        for worker in self.visits.of(&name) {
            self.broker.drain_worker(worker, is_on, now);
        }
        true
    }

    pub(super) fn survey(&self) -> Survey {
        let now = self.now();
        let counts = self.broker.workers();
        let request_id =
            |job| self.jobs.get(&job).map_or(String::new(), |job| job.order.request_id.clone());
        let mut workers: Vec<WorkerRow> = self
            .visits
            .all()
            .map(|(id, visitor)| {
                let count = counts.get(&id).copied().unwrap_or_default();
                let Profile { identity, arch, labels, cpu, vmm, .. } = &visitor.profile;
                let regard = self.visits.regard(&identity.name, now);
                WorkerRow {
                    id,
                    name: Arc::clone(&identity.name),
                    owner: Arc::clone(&identity.owner),
                    is_trusted: identity.is_trusted,
                    labels: labels.clone(),
                    arch: *arch,
                    cpu: cpu.clone(),
                    vmm: vmm.clone(),
                    slots_max: visitor.slots_max,
                    parked: count.parked,
                    leased: count.leased,
                    strikes: regard.strikes,
                    quarantine: match regard.quarantined {
                        _ if regard.is_condemned => Some(Duration::MAX),
                        until => until.map(|until| until.since(now)),
                    },
                    is_draining: count.is_draining,
                    is_silent: count.is_silent,
                    round_trip: count.round_trip,
                    age: now.since(visitor.since),
                }
            })
            .collect();
        workers.sort_unstable_by_key(|row| row.id);
        let waiting = self.broker.waiting(now).into_iter();
        let queue = waiting.map(|row| QueueRow {
            job: row.job,
            request_id: request_id(row.job),
            client: row.client,
            fit: row.fit,
            waited: row.waited,
        });
        let held = self.broker.held(now).into_iter();
        let leases = held.map(|row| LeaseRow {
            lease: row.lease,
            job: row.job,
            request_id: request_id(row.job),
            worker: row.worker,
            age: row.age,
            is_hedge: row.is_hedge,
        });
        Survey { workers, queue: queue.collect(), leases: leases.collect() }
    }
}
