//! Errors as clients see them: RFC 9457, with a closed set of types (`protocol.md 8.4`).

use serde::{Deserialize, Serialize};

use crate::Fault;

/// The body of every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:pe:problem:` and the kind's name.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The same for every problem of the kind.
    pub title: String,
    /// HTTP status, repeated.
    pub status: u16,
    /// What happened here and what to do.
    pub detail: String,
    /// Whose fault.
    pub fault: Fault,
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// JSON pointer to the field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Request id, as in logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// Whether it is of a kind.
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.type_uri.strip_prefix("urn:pe:problem:") == Some(kind.as_str())
    }
}

/// Every kind of problem there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The request is malformed or a value is out of range.
    BadRequest,
    /// Body over its limit.
    TooLarge,
    /// A content type that is not spoken here.
    UnsupportedMediaType,
    /// No token, or one that nobody has.
    Unauthorized,
    /// It may not be asked by this client, or not in this way.
    Forbidden,
    /// No such path.
    NotFound,
    /// The path exists, not for this method.
    MethodNotAllowed,
    /// No such image in the catalogue.
    UnknownImage,
    /// The cache does not know the result of such a job.
    UnknownResult,
    /// No such share is kept.
    UnknownShare,
    /// The client was too slow to send.
    RequestTimeout,
    /// The client asks, runs or queues too much at a time.
    TooManyRequests,
    /// The CPU time that the client, its network or the image may have is used up.
    BudgetSpent,
    /// The memory for bodies is taken.
    NoRoom,
    /// As many connections are open as may be, of all clients or of this one.
    TooManyConnections,
    /// The queue is full.
    QueueFull,
    /// The job would wait longer than it may.
    QueueTooLong,
    /// No slot came free within the deadline.
    QueueTimeout,
    /// No worker can run this image now.
    NoWorker,
    /// The job's worker was lost, or did not answer in time.
    WorkerLost,
    /// The LB is shutting down.
    Draining,
    /// A defect of ours.
    Internal,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::BadRequest,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::UnknownImage,
        Self::UnknownResult,
        Self::UnknownShare,
        Self::RequestTimeout,
        Self::TooManyRequests,
        Self::BudgetSpent,
        Self::NoRoom,
        Self::TooManyConnections,
        Self::QueueFull,
        Self::QueueTooLong,
        Self::QueueTimeout,
        Self::NoWorker,
        Self::WorkerLost,
        Self::Draining,
        Self::Internal,
    ];

    /// Name: the last part of the type URI, and the metrics label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::UnknownImage => "unknown-image",
            Self::UnknownResult => "unknown-result",
            Self::UnknownShare => "unknown-share",
            Self::RequestTimeout => "request-timeout",
            Self::TooManyRequests => "too-many-requests",
            Self::BudgetSpent => "budget-spent",
            Self::NoRoom => "no-room",
            Self::TooManyConnections => "too-many-connections",
            Self::QueueFull => "queue-full",
            Self::QueueTooLong => "queue-too-long",
            Self::QueueTimeout => "queue-timeout",
            Self::NoWorker => "no-worker",
            Self::WorkerLost => "worker-lost",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }

    /// Whose fault it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::BadRequest
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::UnknownImage
            | Self::UnknownResult
            | Self::UnknownShare
            | Self::RequestTimeout
            | Self::TooManyRequests
            | Self::BudgetSpent => Fault::Client,
            Self::NoRoom
            | Self::TooManyConnections
            | Self::QueueFull
            | Self::QueueTooLong
            | Self::QueueTimeout
            | Self::NoWorker
            | Self::Draining => Fault::Capacity,
            Self::WorkerLost | Self::Internal => Fault::Us,
        }
    }
}
