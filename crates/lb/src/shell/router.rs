//! Which request is answered by what, and what all answers have in common: request id, counts,
//! and `HEAD`, `OPTIONS`, unknown paths and methods.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{self, Either};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use pe_proto::api::{IMAGES_PATH, ProblemKind, RUN_PATH, SHARES_PATH};
use tracing::{Instrument as _, debug, info_span};

use super::access::JobNote;
use super::app::App;
use super::health::Report;
use super::outgoing::Outgoing;
use super::request_id::{REQUEST_ID, RequestIds};
use super::vitals::Pulse;
use super::{progress, results, run, shares, site};
use crate::core::client::Client;
use crate::metrics::Route;
use crate::respond::Failure;

const READS: &str = "GET, HEAD, OPTIONS";
const RUNS: &str = "POST, OPTIONS";

/// A path of the API (`docs/openapi.json`).
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// With a name in braces for what comes last, if that is not always the same.
    pub path: &'static str,
    /// What it takes.
    pub allow: &'static str,
    route: Route,
}

/// All of them. Whatever else there is, is a page.
pub const API: [Endpoint; 8] = [
    Endpoint { path: RUN_PATH, allow: RUNS, route: Route::Run },
    Endpoint { path: "/api/v1/results/{digest}", allow: READS, route: Route::Results },
    Endpoint { path: "/api/v1/progress/{digest}", allow: READS, route: Route::Progress },
    Endpoint { path: IMAGES_PATH, allow: READS, route: Route::Images },
    Endpoint { path: SHARES_PATH, allow: RUNS, route: Route::Shares },
    Endpoint { path: "/api/v1/shares/{id}", allow: READS, route: Route::Shares },
    Endpoint { path: "/healthz", allow: READS, route: Route::Health },
    Endpoint { path: "/readyz", allow: READS, route: Route::Health },
];

impl Endpoint {
    /// Whether a path is this one. What stands for the name is looked at by who answers.
    fn is_at(&self, path: &str) -> bool {
        match self.path.split_once('{') {
            Some((before, _)) => path.starts_with(before),
            None => path == self.path,
        }
    }
}

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
    let note = app.access.note(client.address, &request_id, request);
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
    let note = app.access.note(client.address, &request_id, &request);
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
    let found =
        API.iter().find(|endpoint| endpoint.is_at(path)).map(|found| (found.route, found.allow));
    let is_page = || app.live.now().pages.find(path).is_some();
    let Some((route, allow)) = found.or_else(|| is_page().then_some((Route::Page, READS))) else {
        let paths = API.map(|endpoint| endpoint.path).join(", ");
        let detail = format!("there is /, {paths}; /docs/api tells about them");
        return (Route::Other, Err(Failure::new(ProblemKind::NotFound, detail)));
    };
    let method = request.method();
    if *method == Method::OPTIONS {
        return (route, Ok(options(allow)));
    }
    let is_read = *method == Method::GET || *method == Method::HEAD;
    let is_allowed = if allow == RUNS { *method == Method::POST } else { is_read };
    if !is_allowed {
        return (route, Err(Failure::method_not_allowed(allow)));
    }
    let headers = request.headers();
    let result = match route {
        Route::Run => run::answer(app, client, request_id, request).await,
        Route::Images => Ok(app.live.now().pages.images.respond(headers)),
        Route::Shares if allow == RUNS => shares::keep(app, &client, request).await,
        Route::Shares => match app.admit.arrive(&client, headers) {
            Ok(_) => shares::find(app, method, path, headers).await,
            Err(failure) => Err(failure),
        },
        Route::Results => match app.admit.arrive(&client, headers) {
            Ok(_) => results::answer(app, method, path, headers).await,
            Err(failure) => Err(failure),
        },
        Route::Progress => match app.admit.arrive(&client, headers) {
            Ok(_) => progress::answer(app, path).await,
            Err(failure) => Err(failure),
        },
        Route::Health => Ok(health(app, path).await),
        Route::Page | Route::Other => page(app, path, headers),
    };
    (route, result)
}

/// A page, or a part of one.
fn page(app: &App, path: &str, headers: &HeaderMap) -> Result<Response<Outgoing>, Failure> {
    site::may_be_asked(path, headers)?;
    let settings = app.live.now();
    // A reload came in between.
    let page = settings.pages.find(path);
    let page = page.ok_or_else(|| Failure::new(ProblemKind::NotFound, "the page was replaced"))?;
    Ok(page.respond(headers))
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
