//! The access log: one JSON object a line for each request of a client, when its answer is over.
//!
//! A request leaves a [`Note`] that those who answer it write to; the note travels with the
//! answer's body and is written as a line when the body is dropped, so that an answer that was
//! cut off has its line, too. Writing is a thread's ([`writer`]): a request never waits for a
//! disk or a pipe. When the thread does not keep up, lines are dropped and counted.
//!
//! No line has a secret: no query of a path, no header but the user agent, no body.

mod line;
mod writer;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use pe_proto::api::{AnswerHead, CacheStatus};
use prometheus::IntCounter;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::limits::{ACCESS_PATH_CHARS, ACCESS_USER_AGENT_CHARS};
use line::Fields;
use writer::Message;

/// Where lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere; requests leave no notes.
    #[default]
    Off,
    /// Among the other logs.
    Stderr,
    /// At the end of a file, which is opened anew on SIGUSR1 and on reload.
    File(PathBuf),
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccessLog {
    is_on: Arc<AtomicBool>,
    queue: SyncSender<Message>,
    dropped: IntCounter,
}

impl AccessLog {
    /// Starts the thread, which ends when all copies are gone.
    ///
    /// # Errors
    /// The file cannot be opened, or there is no thread.
    pub fn open(destination: Destination, dropped: IntCounter) -> std::io::Result<Self> {
        let is_on = Arc::new(AtomicBool::new(destination != Destination::Off));
        let queue = writer::start(destination, dropped.clone())?;
        Ok(Self { is_on, queue, dropped })
    }

    /// Changes where lines go, and opens the file anew in any case. A file that cannot be opened
    /// leaves things as they are and is told in the log.
    pub fn reopen(&self, destination: Destination) {
        self.is_on.store(destination != Destination::Off, Ordering::Relaxed);
        // A full queue means a thread that hangs; asking again later is all that can be done.
        let _ = self.queue.try_send(Message::Reopen(Some(destination)));
    }

    /// Opens the file anew, as after it was renamed.
    pub fn rotate(&self) {
        let _ = self.queue.try_send(Message::Reopen(None));
    }

    /// Waits until what was logged so far is written, but not for long.
    pub async fn flush(&self, patience: Duration) {
        let (done, written) = oneshot::channel();
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = timeout(patience, written).await;
        }
    }

    /// Whether anybody wants to know.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// A note for a request; `None` if nobody wants to know.
    pub fn note<B>(&self, client: IpAddr, request_id: &str, request: &Request<B>) -> Option<Note> {
        if !self.is_on() {
            return None;
        }
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let fields = Fields {
            request_id: request_id.to_owned(),
            client: client.to_string(),
            method: request.method().clone(),
            path: cut(request.uri().path(), ACCESS_PATH_CHARS),
            version: request.version(),
            user_agent: header("user-agent").map(|agent| cut(agent, ACCESS_USER_AGENT_CHARS)),
            ..Fields::default()
        };
        let (log, began, fields) = (self.clone(), Instant::now(), Mutex::new(fields));
        Some(Note(Arc::new(Inner { log, began, fields })))
    }

    fn write(&self, line: Vec<u8>) {
        match self.queue.try_send(Message::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped.inc(),
        }
    }
}

/// What is known of a request. Cheap to clone; the line is written when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Note(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: AccessLog,
    began: Instant,
    /// A leaf lock, held for a few instructions.
    fields: Mutex<Fields>,
}

/// What became of a job, for its line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobNote {
    /// `miss`, `hit`, `joined`.
    pub cache: Option<&'static str>,
    /// Kind of the outcome.
    pub outcome: Option<&'static str>,
    /// Who ran it.
    pub worker: Option<String>,
    /// How long it waited for a slot.
    pub queue_us: u64,
    /// How long its program ran.
    pub run_us: u64,
}

impl JobNote {
    /// A result that was known.
    pub fn hit() -> Self {
        Self { cache: Some("hit"), ..Self::default() }
    }

    /// A result of a run.
    pub fn of(head: &AnswerHead) -> Self {
        let cache = match head.cache {
            CacheStatus::Miss => "miss",
            CacheStatus::Hit => "hit",
            CacheStatus::Joined => "joined",
        };
        Self {
            cache: Some(cache),
            outcome: Some(head.outcome.kind()),
            worker: head.ran_on.as_ref().map(|ran_on| ran_on.worker.clone()),
            queue_us: head.phases.queue_us,
            run_us: head.phases.run_us,
        }
    }
}

impl Note {
    /// So much of the request's body came.
    pub fn received(&self, bytes: usize) {
        self.with(|fields| fields.bytes_in += bytes as u64);
    }

    /// So much of the answer's body was given to the connection.
    pub fn gave(&self, bytes: usize) {
        self.with(|fields| fields.bytes_out += bytes as u64);
    }

    /// The answer's body was given whole.
    pub fn finished(&self) {
        self.with(|fields| fields.is_whole = true);
    }

    /// The job's digest.
    pub fn digest(&self, digest: &str) {
        self.with(|fields| fields.digest = Some(digest.to_owned()));
    }

    /// What became of the job.
    pub fn job(&self, job: JobNote) {
        self.with(|fields| fields.job = job);
    }

    /// The answer is a problem.
    pub fn problem(&self, kind: &'static str) {
        self.with(|fields| fields.problem = Some(kind));
    }

    /// The answer begins.
    pub fn answered(&self, status: http::StatusCode) {
        let after = self.0.began.elapsed();
        self.with(|fields| {
            fields.status = Some(status);
            fields.answer_us = Some(micros(after));
        });
    }

    fn with(&self, change: impl FnOnce(&mut Fields)) {
        change(&mut self.0.fields.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let fields = self.fields.get_mut().unwrap_or_else(PoisonError::into_inner);
        let total_us = micros(self.began.elapsed());
        self.log.write(fields.line(total_us));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests;
