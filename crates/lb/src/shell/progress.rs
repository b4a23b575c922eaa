//! `GET /api/v1/progress/{digest}`: how far a job is that somebody waits for (`protocol.md 8.10`).
//!
//! It is asked while the job's own request is still waiting for its answer, by whoever has its
//! digest. The cost is a look at the flights and one message to the broker's task.

use std::sync::Arc;

use http::Response;
use pe_proto::Digest;
use pe_proto::api::{PROGRESS_PATH, ProblemKind, Progress};

use super::app::App;
use super::outgoing::Outgoing;
use super::router::text;
use crate::core::broker::{Place, Whereabouts};
use crate::driver::Order;
use crate::respond::{Failure, whole_millis};

/// The answer.
///
/// # Errors
/// Nobody waits for such a job, or this is no name.
pub async fn answer(app: &Arc<App>, path: &str) -> Result<Response<Outgoing>, Failure> {
    let name = path.strip_prefix(PROGRESS_PATH).unwrap_or_default();
    let digest: Digest = name.parse().ok().filter(|_| name.len() == 64).ok_or_else(|| {
        let detail = "expected a job's digest: 64 lower-case hexadecimal digits";
        Failure::new(ProblemKind::BadRequest, detail)
    })?;
    let order = app.flights.order(digest).ok_or_else(|| {
        let detail = "nobody waits for such a job; its result may be known";
        Failure::new(ProblemKind::UnknownResult, detail)
    })?;
    let progress = match app.driver.whereabouts(&order).await {
        Some(Whereabouts::Queued(Place { position, wait })) => {
            Progress::Queued { position: position as u64, wait_ms: wait.map(whole_millis) }
        }
        Some(Whereabouts::Fetching(fetch)) => {
            let total = || app.live.now().pack_bytes(order.spec.arch, order.spec.image);
            let (bytes, bytes_total) =
                fetch.map_or_else(|| (0, total()), |fetch| (fetch.bytes, fetch.bytes_total));
            Progress::fetching(bytes, bytes_total)
        }
        Some(Whereabouts::Running(time)) => Progress::Running { for_ms: whole_millis(time) },
        None => elsewhere(&order),
    };
    let json = serde_json::to_vec(&progress).unwrap_or_default();
    Ok(text("application/json", json.into()))
}

/// Of a job that the broker does not have: not yet, or not any more.
fn elsewhere(order: &Order) -> Progress {
    match order.held() {
        Some(time) => Progress::Running { for_ms: whole_millis(time) },
        None => Progress::Queued { position: 0, wait_ms: None },
    }
}
