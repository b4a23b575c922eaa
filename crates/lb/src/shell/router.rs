//! Which request is answered by what, and what all answers have in common: request id, counts,
//! and `HEAD`, `OPTIONS`, unknown paths and methods.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{self, Either};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use pe_proto::api::{IMAGES_PATH, PROGRESS_PATH, ProblemKind, RESULTS_PATH, RUN_PATH};
use tracing::{Instrument as _, debug, info_span};

use super::access::JobNote;
use super::app::App;
use super::health::Report;
use super::outgoing::Outgoing;
use super::request_id::{REQUEST_ID, RequestIds};
use super::vitals::Pulse;
use super::{progress, results, run};
use crate::core::client::Client;
use crate::metrics::Route;
use crate::respond::Failure;

const READS: &str = "GET, HEAD, OPTIONS";
const RUNS: &str = "POST, OPTIONS";

/// How a request is answered: at once, or when what it takes was done.
pub type Answering =
    Either<future::Ready<Answered>, Pin<Box<dyn Future<Output = Answered> + Send>>>;

type Answered = Result<Response<Outgoing>, Infallible>;

/// Answers one request of a client.
pub fn answer(
    app: Arc<App>,
    client: Client,
    pulse: Pulse,
    request: Request<Incoming>,
) -> Answering {
    let denied = match at_once(&app, client, &request) {
        Some(Ok(response)) => {
            return Either::Left(future::ready(Ok(response.map(|body| body.with_pulse(pulse)))));
        }
        Some(Err(denied)) => Some(denied),
        None => None,
    };
    // On the heap: it is large, would be copied with the request's task several times, and
    // most requests do not need it.
    Either::Right(Box::pin(async move {
        Ok(in_time(app, client, request, denied).await.map(|body| body.with_pulse(pulse)))
    }))
}

/// The way of most requests: no span, and an id only for whom it is.
fn at_once(
    app: &App,
    client: Client,
    request: &Request<Incoming>,
) -> Option<Result<Response<Outgoing>, Failure>> {
    let mut response = match results::at_once(app, &client, request)? {
        Ok(response) => response,
        Err(denied) => return Some(Err(denied)),
    };
    if let Some(id) = RequestIds::given(request.headers()) {
        response.headers_mut().insert(REQUEST_ID, id.clone());
    }
    if *request.method() == Method::HEAD {
        response = without_content(response);
    }
    if !app.access.is_on() {
        return Some(Ok(response));
    }
    let request_id = app.request_ids.of(request.headers());
    let note = app.access.note(client.address.to_string(), &request_id, request);
    if let Some(note) = &note {
        note.job(JobNote::hit());
        note.answered(response.status());
    }
    Some(Ok(response.map(|body| body.with_note(note))))
}

/// `denied`: who asks for a known result, and may not.
async fn in_time(
    app: Arc<App>,
    client: Client,
    mut request: Request<Incoming>,
    denied: Option<Failure>,
) -> Response<Outgoing> {
    let request_id = app.request_ids.of(request.headers());
    let method = request.method().clone();
    let span = info_span!(
        "request",
        id = request_id,
        %method,
        path = request.uri().path(),
        client = %client.address,
        job = tracing::field::Empty
    );
    let note = app.access.note(client.address.to_string(), &request_id, &request);
    if let Some(note) = &note {
        request.extensions_mut().insert(note.clone());
    }
    let (route, result) = match denied {
        Some(denied) => (Route::Results, Err(denied)),
        None => dispatch(&app, client, &request_id, request).instrument(span.clone()).await,
    };
    let mut response = result.unwrap_or_else(|failure| {
        app.metrics.refusal(failure.kind());
        if let Some(note) = &note {
            note.problem(failure.kind().as_str());
        }
        span.in_scope(|| {
            debug!(kind = failure.kind().as_str(), detail = failure.detail(), "request refused");
        });
        failure.respond(&request_id)
    });
    app.metrics.request(route, response.status());
    if let Ok(id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if method == Method::HEAD {
        response = without_content(response);
    }
    if let Some(note) = &note {
        note.answered(response.status());
    }
    response.map(|body| body.with_note(note))
}

async fn dispatch(
    app: &Arc<App>,
    client: Client,
    request_id: &str,
    request: Request<Incoming>,
) -> (Route, Result<Response<Outgoing>, Failure>) {
    let path = request.uri().path();
    let (route, allow) = match path {
        RUN_PATH => (Route::Run, RUNS),
        IMAGES_PATH => (Route::Images, READS),
        path if path.starts_with(RESULTS_PATH) => (Route::Results, READS),
        path if path.starts_with(PROGRESS_PATH) => (Route::Progress, READS),
        "/" | "/style.css" => (Route::Page, READS),
        "/healthz" | "/readyz" => (Route::Health, READS),
        _ => {
            let detail = "there is /, /api/v1/run, /api/v1/results/{digest}, /api/v1/progress/{digest}, \
                          /api/v1/images, /healthz and /readyz";
            return (Route::Other, Err(Failure::new(ProblemKind::NotFound, detail)));
        }
    };
    let method = request.method();
    if *method == Method::OPTIONS {
        return (route, Ok(options(allow)));
    }
    let is_read = *method == Method::GET || *method == Method::HEAD;
    let is_allowed = if route == Route::Run { *method == Method::POST } else { is_read };
    if !is_allowed {
        return (route, Err(Failure::method_not_allowed(allow)));
    }
    let headers = request.headers();
    let result = match path {
        RUN_PATH => run::answer(app, client, request_id, request).await,
        IMAGES_PATH => Ok(app.live.now().pages.images.respond(headers)),
        path if route == Route::Results => match app.admit.arrive(&client, headers) {
            Ok(_) => results::answer(app, method, path, headers).await,
            Err(failure) => Err(failure),
        },
        path if route == Route::Progress => match app.admit.arrive(&client, headers) {
            Ok(_) => progress::answer(app, path).await,
            Err(failure) => Err(failure),
        },
        "/" => Ok(app.live.now().pages.index.respond(headers)),
        "/style.css" => Ok(app.live.now().pages.style.respond(headers)),
        _ => Ok(health(app, path).await),
    };
    (route, result)
}

/// `GET /healthz`, `GET /readyz`.
pub(super) async fn health(app: &App, path: &str) -> Response<Outgoing> {
    match path {
        "/healthz" => text("text/plain; charset=utf-8", "up\n".into()),
        _ => ready(app).await,
    }
}

async fn ready(app: &App) -> Response<Outgoing> {
    let report = if app.drain.is_cancelled() {
        Report::not_ready("draining")
    } else {
        app.readiness.report().await
    };
    let json = serde_json::to_vec(&report).unwrap_or_default();
    let mut response = text("application/json", json.into());
    if !report.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

pub(super) fn text(media_type: &'static str, content: Bytes) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::whole(content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn options(allow: &'static str) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// What `GET` would be answered with, less the content.
pub(super) fn without_content(mut response: Response<Outgoing>) -> Response<Outgoing> {
    if let Some(length) = response.body().size_hint().exact() {
        if response.status() != StatusCode::NOT_MODIFIED {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
    response.map(Outgoing::without_content)
}
