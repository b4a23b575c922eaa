//! The body of an answer whose result is still arriving: pieces go to the client as they come
//! from the worker, unchanged, each checked before it is passed on. Backpressure is that of the
//! streams: nothing is read from the worker that the client does not take.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pe_proto::archive::Decoder;
use prometheus::IntCounter;
use tokio::sync::oneshot;

use crate::driver::{Pieces, Receipt, RunningJob};
use crate::metrics::Metrics;
use crate::shell::outgoing::Aborted;

/// See the module.
pub struct Relay {
    held: VecDeque<Bytes>,
    held_bytes: u64,
    arriving: Arriving,
    is_over: bool,
    job: Option<RunningJob>,
    bytes: IntCounter,
    bad: IntCounter,
}

/// A result of which a part has not come.
pub(super) struct Arriving {
    pub(super) pieces: Pieces,
    /// Has seen all that came.
    pub(super) decoder: Decoder,
    /// Bytes that have not come.
    pub(super) left: u64,
    pub(super) receipt: oneshot::Sender<Receipt>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("held_bytes", &self.held_bytes)
            .field("left", &self.arriving.left)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

impl Relay {
    pub(super) fn new(held: VecDeque<Bytes>, arriving: Arriving, metrics: &Metrics) -> Self {
        let held_bytes = held.iter().map(|piece| piece.len() as u64).sum();
        let (bytes, bad) = (metrics.result_bytes.clone(), metrics.results_bad.clone());
        bytes.inc_by(held_bytes);
        Self { held, held_bytes, arriving, is_over: false, job: None, bytes, bad }
    }

    /// Keeps the job for as long as its result is being sent.
    pub(super) fn own(&mut self, job: RunningJob) {
        self.job = Some(job);
    }

    /// Sends something before the archive.
    pub(super) fn prefix(&mut self, piece: Bytes) {
        self.held_bytes += piece.len() as u64;
        self.held.push_front(piece);
    }

    /// Bytes that have not been sent.
    pub fn bytes_left(&self) -> u64 {
        self.held_bytes.saturating_add(self.arriving.left)
    }

    /// Whether all was sent.
    pub fn is_finished(&self) -> bool {
        self.is_over && self.held.is_empty()
    }

    /// The next piece of the answer.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        if let Some(piece) = self.held.pop_front() {
            self.held_bytes = self.held_bytes.saturating_sub(piece.len() as u64);
            return Poll::Ready(Some(Ok(piece)));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let Some(Ok(piece)) = ready!(self.arriving.pieces.as_mut().poll_next(cx)) else {
            // The end before the end, or a broken link: there is nothing to be said to the
            // worker, and to the client only that its answer is not whole.
            self.is_over = true;
            return Poll::Ready(Some(Err(Aborted::Broken)));
        };
        let length = piece.len() as u64;
        let Arriving { decoder, left, .. } = &mut self.arriving;
        let is_good = length <= *left && decoder.check(&piece).is_ok();
        *left = left.saturating_sub(length);
        if !is_good || decoder.is_complete() != (*left == 0) {
            self.bad.inc();
            self.end(Receipt::Bad);
            return Poll::Ready(Some(Err(Aborted::Broken)));
        }
        self.bytes.inc_by(length);
        if self.arriving.left == 0 {
            self.end(Receipt::Taken);
        }
        Poll::Ready(Some(Ok(piece)))
    }

    fn end(&mut self, receipt: Receipt) {
        self.is_over = true;
        // The sender is used once; in its place goes one that nobody listens to.
        let (unheard, _) = oneshot::channel();
        let sender = std::mem::replace(&mut self.arriving.receipt, unheard);
        let _ = sender.send(receipt);
    }
}
