//! Answers: the head that both forms share, and the two forms.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use pe_proto::api::{Answer, AnswerFile, AnswerHead, CacheStatus, Content, Phases, ProblemKind};
use pe_proto::archive::{Bounds, Kind, OUTPUT_PREFIX, Role, STDERR, STDOUT, for_each_entry};
use pe_proto::outcome::{GuestPhases, WorkerPhases};

use super::execute::{Archive, Finished};
use crate::driver::Order;
use crate::metrics::{Metrics, Phase};
use crate::respond::Failure;
use crate::shell::intake::Form;
use crate::shell::outgoing::Outgoing;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Results from this size on are turned into JSON where that does not hold up others.
const LARGE: usize = 128 * 1024;

pub(super) fn head(
    digest: &str,
    order: &Arc<Order>,
    finished: &Finished,
    total: Duration,
) -> AnswerHead {
    let Finished { meta, worker_phases, ran_on, queued, .. } = finished;
    AnswerHead {
        job: digest.to_owned(),
        request_id: order.request_id.clone(),
        cache: CacheStatus::Miss,
        outcome: meta.outcome.clone(),
        truncated: meta.truncated.clone(),
        notes: meta.notes.clone(),
        usage: meta.usage,
        phases: phases(*queued, worker_phases, &meta.phases, total),
        limits: order.spec.limits,
        image: order.spec.image,
        ran_on: ran_on.clone(),
    }
}

fn phases(queued: Duration, worker: &WorkerPhases, guest: &GuestPhases, total: Duration) -> Phases {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Phases {
        queue_us: micros(queued),
        transfer_us: worker.transfer_us,
        attach_us: worker.lease_us.saturating_add(worker.attach_us),
        mount_us: guest.mount_us,
        unpack_us: guest.unpack_us,
        start_us: guest.start_us,
        run_us: guest.run_us,
        collect_us: guest.collect_us,
        stop_us: worker.stop_us.saturating_add(worker.parse_us),
        total_us: micros(total),
    }
}

fn rows(phases: &Phases) -> [(Phase, u64); 10] {
    [
        (Phase::Queue, phases.queue_us),
        (Phase::Transfer, phases.transfer_us),
        (Phase::Attach, phases.attach_us),
        (Phase::Mount, phases.mount_us),
        (Phase::Unpack, phases.unpack_us),
        (Phase::Start, phases.start_us),
        (Phase::Run, phases.run_us),
        (Phase::Collect, phases.collect_us),
        (Phase::Stop, phases.stop_us),
        (Phase::Total, phases.total_us),
    ]
}

pub(super) fn count(metrics: &Metrics, head: &AnswerHead) {
    metrics.job(&head.outcome);
    for (phase, micros) in rows(&head.phases) {
        metrics.phase(phase, micros);
    }
}

/// Milliseconds, as the header wants them.
fn server_timing(phases: &Phases) -> String {
    let mut text = String::with_capacity(256);
    for (phase, micros) in rows(phases) {
        let comma = if text.is_empty() { "" } else { ", " };
        let (millis, rest) = (micros / 1000, micros % 1000);
        let _ = write!(text, "{comma}{};dur={millis}.{rest:03}", phase.as_str());
    }
    text
}

fn response(head: &AnswerHead, form: Form, body: Outgoing) -> Response<Outgoing> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(timing) = HeaderValue::try_from(server_timing(&head.phases)) {
        headers.insert(SERVER_TIMING, timing);
    }
    response
}

/// `u32le` length · head as JSON · archive.
pub(super) fn binary(head: &AnswerHead, finished: Finished) -> Result<Response<Outgoing>, Failure> {
    let json = serde_json::to_vec(head).map_err(|_| not_written())?;
    let length = u32::try_from(json.len()).map_err(|_| not_written())?;
    let mut first = Vec::with_capacity(4 + json.len());
    first.extend_from_slice(&length.to_le_bytes());
    first.extend_from_slice(&json);
    let body = match finished.archive {
        Archive::Whole(archive, room) => {
            first.extend_from_slice(&archive.into_vec());
            Outgoing::whole(first.into()).keeping(room)
        }
        Archive::Begun(mut relay) => {
            relay.prefix(first.into());
            Outgoing::relay(relay)
        }
    };
    Ok(response(head, Form::Binary, body))
}

/// Everything in one object.
pub(super) async fn json(
    head: &AnswerHead,
    finished: Finished,
) -> Result<Response<Outgoing>, Failure> {
    let Archive::Whole(archive, room) = finished.archive else {
        return Err(not_written());
    };
    let text = if archive.len() < LARGE {
        to_json(head.clone(), &archive.into_vec())
    } else {
        let head = head.clone();
        let written = tokio::task::spawn_blocking(move || to_json(head, &archive.into_vec()));
        written.await.unwrap_or(None)
    };
    let text = Bytes::from(text.ok_or_else(not_written)?);
    Ok(response(head, Form::Json, Outgoing::whole(text).keeping(room)))
}

fn to_json(head: AnswerHead, archive: &[u8]) -> Option<Vec<u8>> {
    let empty = || Content::Text(String::new());
    let (stdout, stderr) = (empty(), empty());
    let mut answer = Answer { head, stdout, stderr, files: BTreeMap::new() };
    for_each_entry(archive, Bounds::of(Role::Result), |kind, path, bytes| {
        let content = Content::from_bytes(bytes);
        if let Some(name) = path.strip_prefix(OUTPUT_PREFIX) {
            answer.files.insert(name.to_owned(), file(kind, name, content));
        } else if path == STDOUT {
            answer.stdout = content;
        } else if path == STDERR {
            answer.stderr = content;
        }
    })
    .ok()?;
    serde_json::to_vec(&answer).ok()
}

fn file(kind: Kind, name: &str, content: Content) -> AnswerFile {
    let mime = match kind {
        Kind::File | Kind::Executable => mime_guess::from_path(name).first_raw(),
        Kind::Directory => Some("inode/directory"),
        Kind::Symlink => Some("inode/symlink"),
    };
    AnswerFile {
        content: content.into(),
        mime: mime.unwrap_or("application/octet-stream").to_owned(),
        executable: kind == Kind::Executable,
        directory: kind == Kind::Directory,
        symlink: kind == Kind::Symlink,
    }
}

/// Results were checked before; that they cannot be written is a defect.
fn not_written() -> Failure {
    Failure::new(ProblemKind::Internal, "the result could not be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_timing_is_in_milliseconds() {
        let phases = Phases { queue_us: 1, run_us: 1_234_567, ..Phases::default() };
        let text = server_timing(&phases);
        assert!(text.starts_with("queue;dur=0.001, transfer;dur=0.000, "), "{text}");
        assert!(text.contains(", run;dur=1234.567, "), "{text}");
    }

    #[test]
    fn files_keep_their_kind_and_get_a_media_type() {
        let content = || Content::Text("x".to_owned());
        let check =
            |kind, name: &str, mime: &str| assert_eq!(file(kind, name, content()).mime, mime);
        check(Kind::File, "a.png", "image/png");
        check(Kind::File, "a.html", "text/html");
        check(Kind::File, "a", "application/octet-stream");
        check(Kind::Symlink, "a.png", "inode/symlink");
        check(Kind::Directory, "a", "inode/directory");
        assert!(file(Kind::Executable, "a", content()).executable);
    }
}
