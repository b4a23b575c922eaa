//! What operators see (`protocol.md 9.1`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use pe_proto::admin::{
    Ban, Bans, Counts, Flight, Flights, Lease, Leases, Queue, QueuedJob, Status, Worker, Workers,
};
use pe_proto::api::ProblemKind;

use crate::core::admission::bans::BanRow;
use crate::core::flights::Phase;
use crate::core::ids::{ClientKey, WorkerId};
use crate::driver::{LeaseRow, QueueRow, Survey, WorkerRow};
use crate::limits::ADMIN_ROWS_MAX;
use crate::respond::Failure;
use crate::shell::app::App;
use crate::shell::health::CANARY_CLIENT;
use crate::shell::outgoing::Outgoing;
use crate::shell::router;
use crate::shell::run::FlightRow;

/// `GET /admin/v1/status`.
pub(super) fn status(app: &App) -> Status {
    let census = *app.driver.census().borrow();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: millis(app.driver.now().0),
        is_draining: app.drain.is_cancelled() || app.stop.is_cancelled(),
        counts: Counts {
            workers: census.workers as u64,
            slots_parked: census.parked as u64,
            jobs_waiting: census.waiting as u64,
            jobs_leased: census.leased as u64,
            jobs: census.jobs as u64,
            oldest_wait_ms: millis(app.driver.queue_age()),
        },
        config: app.reload.given(),
    }
}

/// `GET /admin/v1/workers`.
pub(super) async fn workers(app: &App) -> Workers {
    let worker = |row: WorkerRow| Worker {
        id: row.id.0,
        name: row.name.to_string(),
        owner: row.owner.to_string(),
        arch: row.arch,
        cpu: row.cpu,
        vmm: row.vmm,
        labels: row.labels,
        slots: row.slots_max as u64,
        parked: row.parked as u64,
        leased: row.leased as u64,
        strikes: row.strikes,
        is_quarantined: row.quarantine.is_some(),
        // For ever is no number.
        quarantine_left_ms: row.quarantine.filter(|left| *left < Duration::MAX).map(millis),
        is_draining: row.is_draining,
        is_silent: row.is_silent,
        round_trip_us: row.round_trip.map(|time| time.as_micros().try_into().unwrap_or(u64::MAX)),
        is_trusted: row.is_trusted,
        age_ms: millis(row.age),
    };
    Workers { workers: app.driver.survey().await.workers.into_iter().map(worker).collect() }
}

/// `GET /admin/v1/queue`.
pub(super) async fn queue(app: &App) -> Queue {
    let job = |row: QueueRow| QueuedJob {
        request_id: row.request_id,
        client: client(row.client),
        arch: row.fit.arch,
        image: row.fit.image,
        waited_ms: millis(row.waited),
    };
    let rows = app.driver.survey().await.queue;
    let more = rows.len().saturating_sub(ADMIN_ROWS_MAX) as u64;
    Queue { jobs: rows.into_iter().take(ADMIN_ROWS_MAX).map(job).collect(), more }
}

/// Whom a job counts for, as far as a key of 16 bytes tells.
fn client(key: ClientKey) -> String {
    if key == CANARY_CLIENT {
        return "the canary".to_owned();
    }
    let address = std::net::Ipv6Addr::from(key.0);
    match address.to_canonical() {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) if key.0.ends_with(&[0; 8]) => format!("{v6}/64"),
        // Who has an API key is known by a digest of its name.
        std::net::IpAddr::V6(_) => "an api key".to_owned(),
    }
}

/// `GET /admin/v1/leases`.
pub(super) async fn leases(app: &App) -> Leases {
    let Survey { workers, leases, .. } = app.driver.survey().await;
    let names: HashMap<WorkerId, Arc<str>> =
        workers.into_iter().map(|row| (row.id, row.name)).collect();
    let lease = |row: LeaseRow| Lease {
        lease: row.lease.to_string(),
        request_id: row.request_id,
        worker: names.get(&row.worker).map(ToString::to_string).unwrap_or_default(),
        age_ms: millis(row.age),
        is_hedge: row.is_hedge,
    };
    let more = leases.len().saturating_sub(ADMIN_ROWS_MAX) as u64;
    Leases { leases: leases.into_iter().take(ADMIN_ROWS_MAX).map(lease).collect(), more }
}

/// `GET /admin/v1/flights`.
pub(super) fn flights(app: &App) -> Flights {
    let mut rows = app.flights.rows();
    rows.sort_by_key(|row| std::cmp::Reverse(row.age));
    let more = rows.len().saturating_sub(ADMIN_ROWS_MAX) as u64;
    let flight = |row: FlightRow| Flight {
        job: row.job.hex(),
        request_id: row.request_id.to_string(),
        clients: row.seats as u64,
        is_open: row.phase == Phase::Running,
        age_ms: millis(row.age),
    };
    Flights { flights: rows.into_iter().take(ADMIN_ROWS_MAX).map(flight).collect(), more }
}

/// `GET /admin/v1/bans`.
pub(super) fn bans(app: &App) -> Bans {
    let ban =
        |row: BanRow| Ban { client: row.target, left_ms: millis(row.left), reason: row.reason };
    Bans { bans: app.admit.bans().into_iter().map(ban).collect() }
}

/// `GET /metrics`.
pub(super) async fn metrics(app: &App) -> Result<Response<Outgoing>, Failure> {
    app.metrics.ops.queue_age(app.driver.queue_age());
    match app.metrics.text(&app.driver.survey().await.workers) {
        Ok(metrics) => Ok(router::text("text/plain; version=0.0.4", metrics.into())),
        Err(_) => Err(Failure::new(ProblemKind::Internal, "metrics could not be written")),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
