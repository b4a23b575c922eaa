//! Answers: the head that all forms share, and the two forms.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use pe_proto::api::{AnswerHead, CacheStatus, Phases, ProblemKind};
use pe_proto::outcome::{GuestPhases, WorkerPhases};

use super::flight::Seat;
use super::landing::{Facts, Landing};
use super::receive::{RESULT_PATIENCE, make_room};
use super::replay::Replay;
use crate::cache::derive::{apart, to_json};
use crate::cache::representation::{JOB, Representation, binary_prefix, secure};
use crate::core::admission::memory::NoRoom;
use crate::core::form::Form;
use crate::limits::APART_BYTES_MIN;
use crate::metrics::{Metrics, Phase};
use crate::respond::Failure;
use crate::shell::app::App;
use crate::shell::memory::Room;
use crate::shell::outgoing::Outgoing;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What all forms of an answer begin with. A run has one, whoever waits for it: times are those
/// of the run.
pub(super) fn head(facts: &Facts, cache: CacheStatus) -> AnswerHead {
    let Facts { meta, .. } = facts;
    AnswerHead {
        job: facts.digest.hex(),
        request_id: facts.request_id.clone(),
        cache,
        outcome: meta.outcome.clone(),
        truncated: meta.truncated.clone(),
        notes: meta.notes.clone(),
        usage: meta.usage,
        phases: phases(facts.queued, &facts.worker_phases, &meta.phases, facts.total),
        limits: facts.limits,
        image: facts.image,
        ran_on: facts.ran_on.clone(),
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
    headers.insert(CACHE_CONTROL, NO_STORE);
    secure(headers);
    if let Ok(job) = HeaderValue::try_from(head.job.as_str()) {
        headers.insert(JOB, job);
    }
    if let Ok(timing) = HeaderValue::try_from(server_timing(&head.phases)) {
        headers.insert(SERVER_TIMING, timing);
    }
    response
}

/// An answer to a POST is for whoever asked; what everybody may keep has a path of its own.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A result that was known.
pub(super) fn hit(known: &Representation) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::whole(known.body.clone()));
    let headers = response.headers_mut();
    headers.clone_from(&known.headers);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// `u32le` length · head as JSON · archive, of which a part may still be coming.
pub(super) fn binary(
    head: &AnswerHead,
    landing: Arc<Landing>,
    seat: Seat,
) -> Result<Response<Outgoing>, Failure> {
    let prefix = binary_prefix(head).ok_or(NotWritten::Defect)?;
    let replay = Replay::new(prefix.into(), landing, seat);
    Ok(response(head, Form::Binary, Outgoing::replay(Box::new(replay))))
}

/// Everything in one object. All who joined a flight get the same bytes.
pub(super) async fn json(
    app: &App,
    head: &AnswerHead,
    landing: &Landing,
) -> Result<Response<Outgoing>, Failure> {
    let (text, room) = match head.cache {
        CacheStatus::Miss | CacheStatus::Hit => text(app, head, landing).await?,
        CacheStatus::Joined => {
            let shared = landing.joined.get_or_init(|| text(app, head, landing)).await;
            let (text, _) = shared.as_ref().map_err(|not| *not)?;
            (text.clone(), None)
        }
    };
    Ok(response(head, Form::Json, Outgoing::whole(text).keeping(room)))
}

/// A result as JSON, and its share of the memory for results if it is large.
pub(super) type Text = (Bytes, Option<Room>);

/// Why a result is not there as JSON.
#[derive(Debug, Clone, Copy)]
pub(super) enum NotWritten {
    /// There is no memory for it.
    NoRoom(NoRoom),
    /// It was checked before, so this is a defect.
    Defect,
}

/// The share is taken before the text is made: who asks for many results has no more of them in
/// hand than he may. It is longer than the archive if that has bytes that are no text.
async fn text(app: &App, head: &AnswerHead, landing: &Landing) -> Result<Text, NotWritten> {
    let (head, pieces) = (head.clone(), landing.pieces());
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let mut room = match length < APART_BYTES_MIN {
        true => None,
        false => Some(make_room(app, landing.client(), length as u64).await?),
    };
    let text = apart(length, move || to_json(head, &pieces.concat())).await;
    let text = text.ok_or(NotWritten::Defect)?;
    if let Some(room) = &mut room {
        let more = text.len().saturating_sub(length);
        room.grow_in_time(more, RESULT_PATIENCE).await?;
    }
    Ok((text.into(), room))
}

impl From<NoRoom> for NotWritten {
    fn from(no_room: NoRoom) -> Self {
        Self::NoRoom(no_room)
    }
}

impl From<NotWritten> for Failure {
    fn from(not: NotWritten) -> Self {
        match not {
            NotWritten::NoRoom(no_room) => no_room.into(),
            NotWritten::Defect => {
                Self::new(ProblemKind::Internal, "the result could not be written")
            }
        }
    }
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
}
