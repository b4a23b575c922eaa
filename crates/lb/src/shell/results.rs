//! `GET /api/v1/results/{digest}`: a result that is known, for whoever has its name.
//!
//! What is answered here is immutable and the same for everybody, so caches in front may keep it
//! for ever: a result that a later run replaced is as good as its successor. What is not known is
//! a problem that nobody may keep. Nothing is ever run for a name.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use pe_proto::Digest;
use pe_proto::api::{ProblemKind, RESULTS_PATH};

use super::app::App;
use super::outgoing::Outgoing;
use crate::cache::representation::Representation;
use crate::core::client::Client;
use crate::core::form::{Encoding, Form};
use crate::core::range::{Wanted, wanted};
use crate::metrics::Route;
use crate::respond::Failure;

/// The form of an answer to a request that names none.
const FORM_DEFAULT: Form = Form::Json;

/// The answer to a request for a result that is in memory as it is wanted. This is the way of
/// most requests of a busy service, so it does nothing else: no span, no id, no task.
///
/// # Errors
/// Whoever asks is not let in. It was asked for, and is not to be asked for again: guessing a key
/// is charged.
pub fn at_once<B>(
    app: &App,
    client: &Client,
    request: &Request<B>,
) -> Option<Result<Response<Outgoing>, Failure>> {
    let is_read = *request.method() == Method::GET || *request.method() == Method::HEAD;
    let digest = request.uri().path().strip_prefix(RESULTS_PATH).filter(|_| is_read)?;
    let digest = digest_of(digest)?;
    let headers = request.headers();
    let (form, encoding) = (Form::of_answer(headers, FORM_DEFAULT), Encoding::of_answer(headers));
    let known = app.cache.at_hand(digest, form, encoding)?;
    if let Err(denied) = app.admit.arrive(client, headers) {
        return Some(Err(denied));
    }
    let response = respond(&known, request.method(), headers);
    if response.status() == StatusCode::OK {
        app.metrics.results_answered.inc();
    } else {
        app.metrics.request(Route::Results, response.status());
    }
    Some(Ok(response))
}

/// The answer to any other.
///
/// # Errors
/// It is not known, or this is no name.
pub async fn answer(
    app: &Arc<App>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Response<Outgoing>, Failure> {
    let digest = path.strip_prefix(RESULTS_PATH).and_then(digest_of).ok_or_else(|| {
        let detail = "expected a job's digest: 64 lower-case hexadecimal digits";
        Failure::new(ProblemKind::BadRequest, detail)
    })?;
    let (form, encoding) = (Form::of_answer(headers, FORM_DEFAULT), Encoding::of_answer(headers));
    let known = app.cache.find(digest, form, encoding).await.ok_or_else(|| {
        let detail = "no such result is known; POST the job to /api/v1/run";
        Failure::new(ProblemKind::UnknownResult, detail)
    })?;
    Ok(respond(&known, method, headers))
}

/// A digest as it is spelled here: without prefix.
fn digest_of(text: &str) -> Option<Digest> {
    text.parse().ok().filter(|_| text.len() == 64)
}

/// A representation, a part of it, or word that the client has it.
pub(super) fn respond(
    known: &Representation,
    method: &Method,
    asked: &HeaderMap,
) -> Response<Outgoing> {
    let etag = known.etag.as_bytes();
    if asked.contains_key(IF_MATCH) && !names(asked, &IF_MATCH, etag, Compare::Strong) {
        return of(known, StatusCode::PRECONDITION_FAILED, Bytes::new());
    }
    if asked.contains_key(IF_NONE_MATCH) && names(asked, &IF_NONE_MATCH, etag, Compare::Weak) {
        return of(known, StatusCode::NOT_MODIFIED, Bytes::new());
    }
    let range = asked.get(RANGE).filter(|_| *method == Method::GET);
    // A part of another representation is of no use: then all of this one is sent.
    let is_of_this = asked.get(IF_RANGE).is_none_or(|given| given.as_bytes() == etag);
    let Some(range) = range.filter(|_| is_of_this) else {
        return of(known, StatusCode::OK, known.body.clone());
    };
    let length = known.body.len();
    match wanted(range.as_bytes(), length) {
        Wanted::Whole => of(known, StatusCode::OK, known.body.clone()),
        Wanted::Part(part) => {
            let said = format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1));
            let mut response = of(known, StatusCode::PARTIAL_CONTENT, known.body.slice(part));
            set_range(&mut response, &said);
            response
        }
        Wanted::Nothing => {
            let mut response = of(known, StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new());
            set_range(&mut response, &format!("bytes */{length}"));
            response
        }
    }
}

fn of(known: &Representation, status: StatusCode, body: Bytes) -> Response<Outgoing> {
    let is_without = status != StatusCode::OK && status != StatusCode::PARTIAL_CONTENT;
    let mut response = Response::new(Outgoing::whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.clone_from(&known.headers);
    if is_without {
        headers.remove(CONTENT_TYPE);
    }
    if status == StatusCode::PRECONDITION_FAILED || status == StatusCode::RANGE_NOT_SATISFIABLE {
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.remove(http::header::CONTENT_ENCODING);
    }
    response
}

fn set_range(response: &mut Response<Outgoing>, said: &str) {
    if let Ok(value) = HeaderValue::try_from(said) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
}

/// How tags are compared (RFC 9110, section 8.8.3.2). Ours are strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Strong,
    Weak,
}

fn names(
    headers: &HeaderMap,
    header: &'static http::HeaderName,
    etag: &[u8],
    compare: Compare,
) -> bool {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        let tag = match compare {
            Compare::Strong => tag,
            Compare::Weak => tag.strip_prefix("W/").unwrap_or(tag),
        };
        tag == "*" || tag.as_bytes() == etag
    })
}
