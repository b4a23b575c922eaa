//! `POST /api/v1/shares`, `GET /api/v1/shares/{id}`: states of the page (`protocol.md 8.11`).
//!
//! To the load balancer a state is one JSON object and nothing else. It is checked for that, and
//! answered as what a job wrote is: never as a page of ours, whatever is in it.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use pe_proto::api::{ProblemKind, SHARES_PATH};

use super::access::Note;
use super::app::{App, Gathered};
use super::intake::Upload;
use super::outgoing::Outgoing;
use super::results;
use crate::core::admission::Caller;
use crate::core::client::Client;
use crate::core::form::{Encoding, JSON};
use crate::core::share::ShareId;
use crate::limits::SHARE_BYTES_MAX;
use crate::respond::Failure;
use crate::shares::check;

/// Keeps a state, and answers with its name.
///
/// # Errors
/// It is none, or may not be kept.
pub async fn keep(
    app: &Arc<App>,
    client: &Client,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Failure> {
    let (parts, mut body) = request.into_parts();
    let note = parts.extensions.get::<Note>();
    let taken = match app.admit.arrive(client, &parts.headers) {
        Ok(caller) => take(app, &caller, &parts.headers, note, &mut body).await,
        Err(denied) => Err(denied),
    };
    let id = taken.map_err(|failure| failure.with_rest_of(body))?;
    let mut response = Response::new(Outgoing::whole(format!(r#"{{"share":"{id}"}}"#).into()));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::try_from(format!("{SHARES_PATH}/{id}")) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}

async fn take(
    app: &Arc<App>,
    caller: &Caller,
    headers: &HeaderMap,
    note: Option<&Note>,
    body: &mut Incoming,
) -> Result<ShareId, Failure> {
    if !is_json(headers) {
        // Also what keeps forms of other sites out: no browser sends this type for one unasked.
        let detail = format!("expected content-type `{JSON}`");
        return Err(Failure::new(ProblemKind::UnsupportedMediaType, detail));
    }
    let mut upload = Upload::new(app, caller, note, body, SHARE_BYTES_MAX)?;
    let mut gathered = Gathered::default();
    while let Some(piece) = upload.next().await? {
        gathered.push(piece);
    }
    let state = gathered.into_vec();
    check(&state).map_err(|bad| Failure::new(ProblemKind::BadRequest, bad.to_string()).at(""))?;
    let id = ShareId::of(&state);
    if app.shares.has(id) {
        return Ok(id);
    }
    app.admit.share(caller, state.len())?;
    let kept = app.shares.keep(state);
    kept.map_err(|full| Failure::new(ProblemKind::NoRoom, full.to_string()))
}

/// A state by its name.
///
/// # Errors
/// There is none, or this is no name.
pub async fn find(
    app: &App,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Response<Outgoing>, Failure> {
    let id = path.strip_prefix(SHARES_PATH).and_then(|rest| rest.strip_prefix('/'));
    let id = id.and_then(ShareId::parse).ok_or_else(|| {
        let detail = "expected the name of a share: 22 letters, digits, `-` and `_`";
        Failure::new(ProblemKind::BadRequest, detail)
    })?;
    let found = app.shares.find(id, Encoding::of_answer(headers)).await;
    let found = found.ok_or_else(|| {
        let detail =
            "it was never kept here, or not looked at for so long that others took its place";
        Failure::new(ProblemKind::UnknownShare, detail)
    })?;
    Ok(results::respond(&found, method, headers))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(JSON)
}
