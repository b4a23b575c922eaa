//! What operators see (`protocol.md 9.1`).

use http::Response;
use pe_proto::admin::{Ban, Bans, Counts, Flight, Flights, Status};
use pe_proto::api::ProblemKind;

use crate::core::admission::bans::BanRow;
use crate::core::flights::Phase;
use crate::limits::ADMIN_ROWS_MAX;
use crate::respond::Failure;
use crate::shell::app::App;
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
pub(super) fn metrics(app: &App) -> Result<Response<Outgoing>, Failure> {
    app.metrics.ops.queue_age(app.driver.queue_age());
    match app.metrics.text() {
        Ok(metrics) => Ok(router::text("text/plain; version=0.0.4", metrics.into())),
        Err(_) => Err(Failure::new(ProblemKind::Internal, "metrics could not be written")),
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
