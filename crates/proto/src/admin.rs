//! The admin API's JSON (`protocol.md 9`).
//!
//! What an operator asks a load balancer, and what it says. The types only: who may ask, and what
//! a change does, are the LB's.

mod changes;
mod views;

pub use changes::{
    Ban, BanRequest, Bans, Done, DrainWorker, Purge, QuarantineWorker, Reloaded, Unban,
};
pub use views::{
    Counts, Flight, Flights, Lease, Leases, Queue, QueuedJob, Status, Worker, Workers,
};

/// Everything of the admin API is below this.
pub const PREFIX: &str = "/admin/v1/";
/// `GET`: [`Status`].
pub const STATUS: &str = "/admin/v1/status";
/// `GET`: [`Workers`].
pub const WORKERS: &str = "/admin/v1/workers";
/// `GET`: [`Queue`].
pub const QUEUE: &str = "/admin/v1/queue";
/// `GET`: [`Leases`].
pub const LEASES: &str = "/admin/v1/leases";
/// `GET`: [`Flights`].
pub const FLIGHTS: &str = "/admin/v1/flights";
/// `GET`: [`Bans`].
pub const BANS: &str = "/admin/v1/bans";
/// `POST` [`DrainWorker`]: [`Done`].
pub const DRAIN_WORKER: &str = "/admin/v1/drain-worker";
/// `POST` [`QuarantineWorker`]: [`Done`].
pub const QUARANTINE_WORKER: &str = "/admin/v1/quarantine-worker";
/// `POST` `{}`: [`Done`]; the LB drains and ends.
pub const DRAIN: &str = "/admin/v1/drain";
/// `POST` [`Purge`]: [`Done`].
pub const PURGE: &str = "/admin/v1/purge";
/// `POST` [`BanRequest`]: [`Done`].
pub const BAN: &str = "/admin/v1/ban";
/// `POST` [`Unban`]: [`Done`].
pub const UNBAN: &str = "/admin/v1/unban";
/// `POST` `{}`: [`Reloaded`].
pub const RELOAD: &str = "/admin/v1/reload";

#[cfg(test)]
mod tests;
