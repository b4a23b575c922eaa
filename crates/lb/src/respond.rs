//! The one place where what went wrong becomes an HTTP answer: problems for clients
//! (`protocol.md 8.4`), bare statuses for workers (`protocol.md 6`).

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use pe_proto::api::{PROBLEM, Problem, ProblemKind};

use crate::core::admission::memory::NoRoom;
use crate::core::admission::{Denied, Limit};
use crate::core::broker::{Place, Refusal};
use crate::core::resolve::Unresolved;
use crate::core::trust::roster::Misfit;
use crate::driver::Busy;
use crate::shell::intake::NotTaken;
use crate::shell::outgoing::Outgoing;
use crate::shell::run::NotRun;

/// A request that is answered with a problem.
#[derive(Debug)]
pub struct Failure {
    kind: ProblemKind,
    detail: String,
    pointer: Option<String>,
    allow: Option<&'static str>,
    wait: Option<Box<Wait>>,
    rest: Option<Incoming>,
}

/// What is known about when it may be tried again, beyond its kind.
#[derive(Debug, Default)]
struct Wait {
    after: Option<Duration>,
    place: Option<Place>,
}

/// Where a job stands or would stand in the queue, from 1; 0 if it did not wait.
pub const QUEUE_POSITION: HeaderName = HeaderName::from_static("pe-queue-position");

/// How long a job waited, or would wait as it is estimated, in milliseconds.
pub const QUEUE_WAIT: HeaderName = HeaderName::from_static("pe-queue-wait-ms");

impl Failure {
    /// A problem with a sentence about this case.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), pointer: None, allow: None, wait: None, rest: None }
    }

    /// The same will be granted after this time.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait.get_or_insert_default().after = Some(wait);
        self
    }

    /// The job would stand here in the queue. When it may be tried again follows from it, if it
    /// is known how fast slots come free.
    #[must_use]
    pub fn in_place(mut self, place: Place) -> Self {
        self.wait = Some(Box::new(Wait { after: place.wait, place: Some(place) }));
        self
    }

    /// Points at a field of the request.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// The request was not read to its end: what is left of it is received and thrown away while
    /// the answer is sent, so that clients that only listen when they have spoken hear it. One
    /// that was too slow is not waited for again.
    #[must_use]
    pub fn with_rest_of(mut self, body: Incoming) -> Self {
        let is_worth_it = self.kind != ProblemKind::RequestTimeout && !body.is_end_stream();
        self.rest = is_worth_it.then_some(body);
        self
    }

    /// A path that is there, but not for this method.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let mut failure =
            Self::new(ProblemKind::MethodNotAllowed, format!("this path takes {allow}"));
        failure.allow = Some(allow);
        failure
    }

    /// Its kind.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// What happened here.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The answer.
    pub fn respond(self, request_id: &str) -> Response<Outgoing> {
        let Self { kind, detail, pointer, allow, wait, rest } = self;
        let Wait { after, place } = wait.map(|wait| *wait).unwrap_or_default();
        let status = status(kind);
        let retry_after = after.or_else(|| retry_after(kind));
        let problem = Problem {
            type_uri: format!("urn:pe:problem:{}", kind.as_str()),
            title: title(kind).to_owned(),
            status: status.as_u16(),
            detail,
            fault: kind.fault(),
            retry: retry_after.is_some(),
            pointer,
            request_id: Some(request_id.to_owned()),
        };
        // Strings and numbers always serialize; the empty body is for the compiler.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let body = Outgoing::whole(Bytes::from(body)).discarding(rest);
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        // What is wrong now may be right in a moment.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if let Some(Place { position, wait }) = place {
            headers.insert(QUEUE_POSITION, HeaderValue::from(position));
            if let Some(wait) = wait {
                headers.insert(QUEUE_WAIT, HeaderValue::from(whole_millis(wait)));
            }
        }
        if kind == ProblemKind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// Never too early, and never at once.
fn whole_seconds(wait: Duration) -> u64 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    seconds.max(1)
}

/// As headers tell it.
pub fn whole_millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

fn status(kind: ProblemKind) -> StatusCode {
    match kind {
        ProblemKind::BadRequest => StatusCode::BAD_REQUEST,
        ProblemKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ProblemKind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ProblemKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ProblemKind::Forbidden => StatusCode::FORBIDDEN,
        ProblemKind::NotFound
        | ProblemKind::UnknownImage
        | ProblemKind::UnknownResult
        | ProblemKind::UnknownShare => StatusCode::NOT_FOUND,
        ProblemKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ProblemKind::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ProblemKind::TooManyRequests | ProblemKind::BudgetSpent => StatusCode::TOO_MANY_REQUESTS,
        ProblemKind::NoRoom
        | ProblemKind::TooManyConnections
        | ProblemKind::QueueFull
        | ProblemKind::QueueTooLong
        | ProblemKind::QueueTimeout
        | ProblemKind::NoWorker
        | ProblemKind::Draining => StatusCode::SERVICE_UNAVAILABLE,
        ProblemKind::WorkerLost => StatusCode::BAD_GATEWAY,
        ProblemKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn title(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::BadRequest => "The request is malformed",
        ProblemKind::TooLarge => "The request is too large",
        ProblemKind::UnsupportedMediaType => "The content type is not spoken here",
        ProblemKind::Unauthorized => "The request shows no token that is known",
        ProblemKind::Forbidden => "This may not be asked",
        ProblemKind::NotFound => "There is nothing at this path",
        ProblemKind::MethodNotAllowed => "The path does not take this method",
        ProblemKind::UnknownImage => "The catalogue has no such image",
        ProblemKind::UnknownResult => "No such result is known",
        ProblemKind::UnknownShare => "No such share is known",
        ProblemKind::RequestTimeout => "The request came too slowly",
        ProblemKind::TooManyRequests => "You ask too much at a time",
        ProblemKind::BudgetSpent => "The CPU time is used up",
        ProblemKind::NoRoom => "The memory for bodies is taken",
        ProblemKind::TooManyConnections => "All connections are in use",
        ProblemKind::QueueFull => "Too many jobs are waiting",
        ProblemKind::QueueTooLong => "The job would wait too long",
        ProblemKind::QueueTimeout => "No worker came free in time",
        ProblemKind::NoWorker => "No worker can run this image now",
        ProblemKind::WorkerLost => "The job's worker was lost",
        ProblemKind::Draining => "The service is shutting down",
        ProblemKind::Internal => "Something of ours failed",
    }
}

/// When the same request may be worth another try; `None` if it never is.
fn retry_after(kind: ProblemKind) -> Option<Duration> {
    let seconds = match kind {
        ProblemKind::BadRequest
        | ProblemKind::TooLarge
        | ProblemKind::UnsupportedMediaType
        | ProblemKind::Unauthorized
        | ProblemKind::Forbidden
        | ProblemKind::NotFound
        | ProblemKind::MethodNotAllowed
        | ProblemKind::UnknownImage
        | ProblemKind::UnknownResult
        | ProblemKind::UnknownShare
        | ProblemKind::Internal => return None,
        ProblemKind::RequestTimeout | ProblemKind::WorkerLost | ProblemKind::TooManyRequests => 1,
        ProblemKind::Draining | ProblemKind::NoRoom | ProblemKind::TooManyConnections => 2,
        ProblemKind::QueueFull | ProblemKind::QueueTooLong | ProblemKind::QueueTimeout => 5,
        ProblemKind::BudgetSpent => 60,
        ProblemKind::NoWorker => 10,
    };
    Some(Duration::from_secs(seconds))
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (kind, detail) = match refusal {
            Refusal::Draining => (ProblemKind::Draining, "try again; another process takes over"),
            Refusal::QueueFull(_) => (ProblemKind::QueueFull, "the queue is full; try again later"),
            Refusal::ClientQueueFull(_) => (
                ProblemKind::TooManyRequests,
                "as many of your jobs wait as may; wait for some of them to end",
            ),
            Refusal::TooLong(_) => (
                ProblemKind::QueueTooLong,
                "by its place in the queue the job would not be run in time; try again later",
            ),
            Refusal::QueueTimeout(_) => {
                (ProblemKind::QueueTimeout, "all slots that fit were taken until the deadline")
            }
            Refusal::NoWorker => {
                (ProblemKind::NoWorker, "no worker that is connected offers this image")
            }
            // Nobody waits for a spare run.
            Refusal::NoSpare => (ProblemKind::NoWorker, "no slot is to spare"),
            Refusal::WorkerLost => (
                ProblemKind::WorkerLost,
                "each worker that took the job was lost; it may be tried again",
            ),
        };
        let failure = Self::new(kind, detail);
        match refusal {
            Refusal::QueueFull(place)
            | Refusal::ClientQueueFull(place)
            | Refusal::TooLong(place)
            | Refusal::QueueTimeout(place) => failure.in_place(place),
            Refusal::Draining | Refusal::NoWorker | Refusal::WorkerLost | Refusal::NoSpare => {
                failure
            }
        }
    }
}

impl From<NoRoom> for Failure {
    fn from(no_room: NoRoom) -> Self {
        let kind = match no_room {
            NoRoom::All(_) => ProblemKind::NoRoom,
            NoRoom::Share(_) => ProblemKind::TooManyRequests,
        };
        Self::new(kind, no_room.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let (kind, detail, wait) = match denied {
            Denied::UnknownKey => {
                let detail = "no such key, or it was revoked; without one you are anonymous";
                return Self::new(ProblemKind::Unauthorized, detail);
            }
            Denied::Banned(left) => {
                (ProblemKind::Forbidden, "the operator has banned you for a while", left)
            }
            Denied::Spent(Limit::Requests, wait) => {
                (ProblemKind::TooManyRequests, "too many requests of yours; wait a little", wait)
            }
            Denied::Spent(Limit::Runs, wait) => (
                ProblemKind::TooManyRequests,
                "too many jobs of yours; results that are known are still answered",
                wait,
            ),
            Denied::Spent(Limit::Shares, wait) => (
                ProblemKind::TooManyRequests,
                "too many new shares of yours; the link with the state in itself needs none",
                wait,
            ),
            Denied::Spent(Limit::ClientCpu, wait) => (
                ProblemKind::BudgetSpent,
                "your jobs used up your CPU time; results that are known are still answered",
                wait,
            ),
            Denied::Spent(Limit::NetworkCpu, wait) => (
                ProblemKind::BudgetSpent,
                "jobs of your network used up its CPU time; with a key you have your own",
                wait,
            ),
            Denied::Spent(Limit::ImageCpu, wait) => (
                ProblemKind::BudgetSpent,
                "jobs of this image used up its CPU time; with a key you have your own",
                wait,
            ),
        };
        Self::new(kind, detail).after(wait)
    }
}

impl From<NotRun> for Failure {
    fn from(not_run: NotRun) -> Self {
        let full = |detail: &str| Self::new(ProblemKind::QueueFull, detail);
        match not_run {
            NotRun::Refused(refusal) => refusal.into(),
            NotRun::Busy(busy) => busy.into(),
            NotRun::NoRoom(no_room) => no_room.into(),
            NotRun::Crowded => full("too many wait for the same job; its result will be known"),
            NotRun::Crashed => Self::new(ProblemKind::Internal, "the run failed"),
        }
    }
}

impl From<Busy> for Failure {
    fn from(busy: Busy) -> Self {
        Self::new(ProblemKind::QueueFull, busy.to_string())
    }
}

impl From<Unresolved> for Failure {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::UnknownImage { ref near, .. } => {
                let hint = match near.as_slice() {
                    [] => "GET /api/v1/images lists all".to_owned(),
                    near => format!("there is {}", near.join(", ")),
                };
                Self::new(ProblemKind::UnknownImage, format!("{unresolved}; {hint}")).at("/image")
            }
            Unresolved::Bad(bad) => Self::new(ProblemKind::BadRequest, bad.problem).at(bad.field),
        }
    }
}

impl From<NotTaken> for Failure {
    fn from(not_taken: NotTaken) -> Self {
        let detail = not_taken.to_string();
        match not_taken {
            NotTaken::MediaType => Self::new(ProblemKind::UnsupportedMediaType, detail),
            NotTaken::TooLarge(_) | NotTaken::FilesTooLarge => {
                Self::new(ProblemKind::TooLarge, detail)
            }
            NotTaken::TooSlow => Self::new(ProblemKind::RequestTimeout, detail),
            NotTaken::NoRoom(no_room) => no_room.into(),
            NotTaken::CutOff
            | NotTaken::ConfigLength(_)
            | NotTaken::Archive(_)
            | NotTaken::Form(_) => Self::new(ProblemKind::BadRequest, detail),
            NotTaken::Field { pointer, .. } => {
                Self::new(ProblemKind::BadRequest, detail).at(pointer)
            }
            NotTaken::Unresolved(unresolved) => unresolved.into(),
            NotTaken::Crashed => Self::new(ProblemKind::Internal, detail),
        }
    }
}

/// Why a worker's request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefusal {
    /// No token, or a wrong one.
    #[error("unauthorized")]
    Unauthorized,
    /// No such path.
    #[error("no such path on the worker link")]
    NotFound,
    /// Another method than the path takes.
    #[error("the path does not take this method")]
    Method,
    /// The frame at the head of the body is not what it should be.
    #[error("malformed message")]
    Malformed,
    /// It did not come in time.
    #[error("too slow")]
    TooSlow,
    /// Hello was not said on this connection, or another session is named, or hello twice.
    #[error("not the session of this connection")]
    Session,
    /// The lease is not held by this session.
    #[error("lease is not held by this session")]
    NotHeld,
    /// More parked slots than announced.
    #[error("more ready requests than slots")]
    TooManySlots,
    /// No room for more.
    #[error("too much is going on")]
    Busy,
    /// The result is not what it says.
    #[error("result is malformed")]
    BadResult,
    /// Hello says what the token does not allow.
    #[error("{0}")]
    Misfit(Misfit),
    /// Of another deployment.
    #[error("this load balancer is of another deployment")]
    Deployment,
    /// This worker is connected too often.
    #[error("too many connections of this worker")]
    Visits,
    /// More slots than the load balancer takes.
    #[error("no room for more slots")]
    Slots,
    /// No such pack, or it is not here.
    #[error("no such pack here")]
    NoPack,
    /// Enough packs are being sent.
    #[error("too many packs at a time")]
    Transfers,
}

impl LinkRefusal {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Unauthorized,
        Self::NotFound,
        Self::Method,
        Self::Malformed,
        Self::TooSlow,
        Self::Session,
        Self::NotHeld,
        Self::TooManySlots,
        Self::Busy,
        Self::BadResult,
        Self::Misfit(Misfit::Name),
        Self::Misfit(Misfit::Arch),
        Self::Misfit(Misfit::Label),
        Self::Misfit(Misfit::Slots),
        Self::Misfit(Misfit::Certificate),
        Self::Deployment,
        Self::Visits,
        Self::Slots,
        Self::NoPack,
        Self::Transfers,
    ];

    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::Malformed => "malformed",
            Self::TooSlow => "too-slow",
            Self::Session => "session",
            Self::NotHeld => "not-held",
            Self::TooManySlots => "too-many-slots",
            Self::Busy => "busy",
            Self::BadResult => "bad-result",
            Self::Misfit(misfit) => misfit.as_str(),
            Self::Deployment => "deployment",
            Self::Visits => "visits",
            Self::Slots => "slots",
            Self::NoPack => "no-pack",
            Self::Transfers => "transfers",
        }
    }

    /// The answer.
    pub fn respond(self) -> Response<Outgoing> {
        let status = match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound | Self::NoPack => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Session | Self::NotHeld => StatusCode::CONFLICT,
            Self::TooManySlots | Self::Visits => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::Slots | Self::Transfers => StatusCode::SERVICE_UNAVAILABLE,
            Self::Misfit(_) => StatusCode::FORBIDDEN,
            Self::Deployment => StatusCode::MISDIRECTED_REQUEST,
            Self::BadResult => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut response = Response::new(Outgoing::whole(Bytes::from(self.to_string())));
        *response.status_mut() = status;
        response
    }
}
