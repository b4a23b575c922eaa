//! The admin listener: what operators and Prometheus ask (`protocol.md 9`).
//!
//! Nothing of it can be reached over the listeners for clients and workers: they have routers of
//! their own. Who may ask is [`guard`]'s; what can be seen is [`views`]', what can be changed
//! [`changes`]'. Every change is a line in the log.

mod changes;
mod guard;
mod views;

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use pe_proto::admin;
use pe_proto::api::ProblemKind;
use serde::Serialize;
use tracing::{Instrument as _, debug, info_span};

use super::app::App;
use super::outgoing::Outgoing;
use super::request_id::REQUEST_ID;
use super::router;
use crate::respond::Failure;

const READS: &str = "GET, HEAD";
const CHANGES: &str = "POST";

/// Answers one request of an operator.
pub async fn answer(app: Arc<App>, request: Request<Incoming>) -> Response<Outgoing> {
    let request_id = app.request_ids.of(request.headers());
    let is_head = *request.method() == Method::HEAD;
    let path = request.uri().path();
    let span = info_span!("admin", id = request_id, method = %request.method(), path);
    let result = dispatch(&app, request).instrument(span.clone()).await;
    let mut response = result.unwrap_or_else(|failure| {
        span.in_scope(|| {
            debug!(kind = failure.kind().as_str(), detail = failure.detail(), "refused");
        });
        failure.respond(&request_id)
    });
    if let Ok(id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if is_head { router::without_content(response) } else { response }
}

async fn dispatch(
    app: &Arc<App>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Failure> {
    let path = request.uri().path();
    let is_change = match path {
        // Probes of a supervisor know no token.
        "/healthz" | "/readyz" => return Ok(router::health(app, path).await),
        "/metrics" | admin::STATUS | admin::WORKERS | admin::QUEUE | admin::LEASES => false,
        admin::FLIGHTS | admin::BANS => false,
        admin::RELOAD | admin::DRAIN | admin::DRAIN_WORKER | admin::QUARANTINE_WORKER => true,
        admin::PURGE | admin::BAN | admin::UNBAN => true,
        _ => {
            let detail = "there is /metrics, /healthz, /readyz, and what protocol.md 9 lists";
            return Err(Failure::new(ProblemKind::NotFound, detail));
        }
    };
    guard::check(&app.live.now().admin, &request)?;
    let method = request.method();
    if is_change {
        if *method != Method::POST {
            return Err(Failure::method_not_allowed(CHANGES));
        }
        return changes::answer(app, request).await;
    }
    if *method != Method::GET && *method != Method::HEAD {
        return Err(Failure::method_not_allowed(READS));
    }
    match path {
        "/metrics" => views::metrics(app).await,
        admin::WORKERS => json(&views::workers(app).await),
        admin::QUEUE => json(&views::queue(app).await),
        admin::LEASES => json(&views::leases(app).await),
        admin::FLIGHTS => json(&views::flights(app)),
        admin::BANS => json(&views::bans(app)),
        _ => json(&views::status(app)),
    }
}

fn json(value: &impl Serialize) -> Result<Response<Outgoing>, Failure> {
    let json = serde_json::to_vec(value)
        .map_err(|_| Failure::new(ProblemKind::Internal, "the answer could not be written"))?;
    let mut response = Response::new(Outgoing::whole(json.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
