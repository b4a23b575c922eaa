//! What can be looked at (`protocol.md 9.1`). Times are ages: clocks need not agree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Arch, Digest};

/// The load balancer in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// Whether it is about to end.
    pub is_draining: bool,
    /// How many of everything.
    pub counts: Counts,
    /// Settings that are not at their default, as given in the file or by flags. Secrets are in
    /// files of their own, of which only the path is here.
    pub config: BTreeMap<String, String>,
}

/// How many of everything there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Workers.
    pub workers: u64,
    /// Slots that wait for a job.
    pub slots_parked: u64,
    /// Jobs that wait for a slot.
    pub jobs_waiting: u64,
    /// Jobs that a worker has.
    pub jobs_leased: u64,
    /// All jobs, those being answered included.
    pub jobs: u64,
    /// How long the job that waits longest has waited.
    pub oldest_wait_ms: u64,
}

/// All workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Workers {
    /// In the order they came.
    pub workers: Vec<Worker>,
}

/// One worker's visit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Number of the visit: two visits may have one name.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whose it is; empty if it has no token of its own.
    pub owner: String,
    /// Of its guests.
    pub arch: Arch,
    /// Its CPU.
    pub cpu: String,
    /// Its VMM and accelerator.
    pub vmm: String,
    /// `name=value`.
    pub labels: Vec<String>,
    /// VMs that it said it has.
    pub slots: u64,
    /// Of them, those that wait for a job.
    pub parked: u64,
    /// And those that have one.
    pub leased: u64,
    /// Wrong answers that are held against it; they weigh less as time goes by.
    pub strikes: f64,
    /// Whether it gets no jobs for its wrong answers, or because an operator wished so.
    pub is_quarantined: bool,
    /// How long that holds; absent if until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine_left_ms: Option<u64>,
    /// Whether it gets no jobs as it, or somebody here, wished so.
    pub is_draining: bool,
    /// Whether a sign of life is missed.
    pub is_silent: bool,
    /// How long it takes until it shows that a lease arrived, if that was ever timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// Whether its results are believed without a second opinion.
    pub is_trusted: bool,
    /// How long it has been here.
    pub age_ms: u64,
}

/// Jobs that wait for a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Oldest first; cut at a number that is the LB's.
    pub jobs: Vec<QueuedJob>,
    /// Those that were left out.
    pub more: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedJob {
    /// As in logs.
    pub request_id: String,
    /// Whom it counts for: an address or network, or the name of a key.
    pub client: String,
    /// What it needs.
    pub arch: Arch,
    /// What it needs.
    pub image: Digest,
    /// How long it has waited.
    pub waited_ms: u64,
}

/// Jobs that workers have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// Oldest first; cut at a number that is the LB's.
    pub leases: Vec<Lease>,
    /// Those that were left out.
    pub more: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name, 16 hexadecimal digits.
    pub lease: String,
    /// As in logs.
    pub request_id: String,
    /// Name of the worker that has it.
    pub worker: String,
    /// How long it has had it.
    pub age_ms: u64,
    /// Whether another worker has the job, too, and had it first.
    pub is_hedge: bool,
}

/// Runs whose results more than one request may wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flights {
    /// Oldest first; cut at a number that is the LB's.
    pub flights: Vec<Flight>,
    /// Those that were left out.
    pub more: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// Job digest, 64 hexadecimal digits.
    pub job: String,
    /// Of the request that began it.
    pub request_id: String,
    /// Requests that wait for it, or still read its result.
    pub clients: u64,
    /// Whether it still runs.
    pub is_open: bool,
    /// How long ago it began.
    pub age_ms: u64,
}
