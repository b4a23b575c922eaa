//! A line of the access log: the names of its fields are a promise to whoever reads them
//! (`docs/metrics.md`, "Access log").

use http::{Method, StatusCode, Version};
use serde::Serialize;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::JobNote;

/// What is known of a request so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) request_id: String,
    pub(super) client: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) version: Version,
    pub(super) user_agent: Option<String>,
    pub(super) status: Option<StatusCode>,
    pub(super) answer_us: Option<u64>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) is_whole: bool,
    pub(super) digest: Option<String>,
    pub(super) job: JobNote,
    pub(super) problem: Option<&'static str>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    request_id: &'a str,
    client: &'a str,
    method: &'a str,
    path: &'a str,
    http: &'static str,
    /// Absent if the client left before there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    bytes_in: u64,
    bytes_out: u64,
    /// Whether all of the answer was given to the connection.
    whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_us: Option<u64>,
    total_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

impl Fields {
    /// The line, its line feed included. JSON escapes whatever would end a line too soon.
    pub(super) fn line(&self, total_us: u64) -> Vec<u8> {
        let job = &self.job;
        let ran = job.outcome.is_some();
        let line = Line {
            time: &now(),
            request_id: &self.request_id,
            client: &self.client,
            method: self.method.as_str(),
            path: &self.path,
            http: version(self.version),
            status: self.status.map(|status| status.as_u16()),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            whole: self.is_whole,
            answer_us: self.answer_us,
            total_us,
            job: self.digest.as_deref(),
            cache: job.cache,
            outcome: job.outcome,
            worker: job.worker.as_deref(),
            queue_us: ran.then_some(job.queue_us),
            run_us: ran.then_some(job.run_us),
            problem: self.problem,
            user_agent: self.user_agent.as_deref(),
        };
        // Strings and numbers always serialize; an empty line would be the sign of a defect.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// As in the other logs: UTC, to the microsecond.
fn now() -> String {
    let mut text = String::with_capacity(32);
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "other",
    }
}
