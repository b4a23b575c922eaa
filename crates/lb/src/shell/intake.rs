//! A job on its way in: from a request's body to a job that can be handed to the broker.
//!
//! The body is read to its end before the broker hears of the job, so a slow upload holds no
//! slot. Every byte is counted against the cap of the form and against the memory that all bodies
//! share, as it comes and whatever `Content-Length` says; time runs against the client throughout.

mod binary;
mod json;
mod multipart;
mod tree;

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use pe_proto::api::{BINARY, CachePolicy};
use pe_proto::archive::BadArchive;
use pe_proto::limits::CONFIG_BYTES_MAX;
use pe_proto::{Digest, JobSpec};
use tokio::time::{Instant, timeout_at};

use super::access::Note;
use super::app::App;
use super::memory::Room;
use crate::core::admission::Caller;
use crate::core::admission::memory::{Kind, NoRoom};
use crate::core::form::{Form, JSON, JobForm, MULTIPART};
use crate::core::resolve::Unresolved;
use crate::driver::JobBody;
use crate::limits::{
    BINARY_BYTES_MAX, BODY_TIME, INPUT_BYTES, JSON_BYTES_MAX, MULTIPART_BYTES_MAX,
};

/// A job that may be run.
#[derive(Debug)]
pub struct Intake {
    /// What to run.
    pub spec: JobSpec,
    /// Its archive.
    pub body: JobBody,
    /// Its name: the same in every form.
    pub digest: Digest,
    /// What the client wants of the cache.
    pub cache: CachePolicy,
}

/// Why a body is no job.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Neither of the forms.
    #[error("expected content-type `{JSON}`, `{BINARY}` or `{MULTIPART}` with a boundary")]
    MediaType,
    /// Over the cap of its form.
    #[error("the body may have at most {0} bytes in this form")]
    TooLarge(usize),
    /// Its files and standard input are over the cap of the archive.
    #[error("files and stdin may have at most {INPUT_BYTES} bytes together, names included")]
    FilesTooLarge,
    /// It did not come in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The memory for bodies is taken.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// It ended too soon.
    #[error("the body is cut off")]
    CutOff,
    /// The length at the head of the binary form.
    #[error("the config may have at most {CONFIG_BYTES_MAX} bytes, not {0}")]
    ConfigLength(u32),
    /// The archive of the binary form.
    #[error(transparent)]
    Archive(#[from] BadArchive),
    /// The parts of an HTML form.
    #[error("{0}")]
    Form(String),
    /// A field.
    #[error("{problem}")]
    Field {
        /// JSON pointer.
        pointer: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// It says nothing that can be run.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// A defect.
    #[error("reading the job failed")]
    Crashed,
}

/// Reads a job.
///
/// # Errors
/// The first thing that is wrong with it.
pub async fn take(
    app: &Arc<App>,
    caller: &Caller,
    note: Option<&Note>,
    form: JobForm,
    body: &mut Incoming,
) -> Result<Intake, NotTaken> {
    let bytes_max = match form {
        JobForm::Plain(Form::Json) => JSON_BYTES_MAX,
        JobForm::Plain(Form::Binary) => BINARY_BYTES_MAX,
        JobForm::Multipart { .. } => MULTIPART_BYTES_MAX,
    };
    let upload = Upload::new(app, caller, note, body, bytes_max)?;
    match form {
        JobForm::Plain(Form::Json) => json::take(app, upload).await,
        JobForm::Plain(Form::Binary) => binary::take(app, upload).await,
        // Rare, and larger than the others together.
        JobForm::Multipart { boundary } => Box::pin(multipart::take(app, boundary, upload)).await,
    }
}

/// A body being read, within its bounds.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    app: &'a App,
    caller: &'a Caller,
    note: Option<&'a Note>,
    body: &'a mut Incoming,
    bytes_max: usize,
    bytes: usize,
    room: Room,
    deadline: Instant,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        app: &'a App,
        caller: &'a Caller,
        note: Option<&'a Note>,
        body: &'a mut Incoming,
        bytes_max: usize,
    ) -> Result<Self, NotTaken> {
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(NotTaken::TooLarge(bytes_max));
        }
        let deadline = Instant::now() + BODY_TIME;
        let room = app.memory.room(Kind::Request, caller.key);
        Ok(Self { app, caller, note, body, bytes_max, bytes: 0, room, deadline })
    }

    /// The most wall clock that its caller may ask for, if that is less than all may.
    fn wall_ms_max(&self) -> Option<u64> {
        self.caller.class.wall_ms_max
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, NotTaken> {
        loop {
            let until = self.deadline.min(Instant::now() + self.app.patience.body_idle);
            let frame = match timeout_at(until, self.body.frame()).await {
                Err(_) => return Err(NotTaken::TooSlow),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(NotTaken::CutOff),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers say nothing here.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            self.bytes += piece.len();
            if let Some(note) = self.note {
                note.received(piece.len());
            }
            if self.bytes > self.bytes_max {
                return Err(NotTaken::TooLarge(self.bytes_max));
            }
            self.room.grow(piece.len())?;
            return Ok(Some(piece));
        }
    }

    /// The memory that it holds.
    fn into_room(self) -> Room {
        self.app.metrics.job_bytes.inc_by(self.bytes as u64);
        self.room
    }
}
