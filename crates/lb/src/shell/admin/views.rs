//! What operators see (`protocol.md 9.1`).

use http::Response;
use pe_proto::admin::{Counts, Status};
use pe_proto::api::ProblemKind;

use crate::respond::Failure;
use crate::shell::app::App;
use crate::shell::outgoing::Outgoing;
use crate::shell::router;

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
