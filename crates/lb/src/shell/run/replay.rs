//! The body of an answer whose result is landing: what came before the client did, and then each
//! piece as it comes.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::flight::Seat;
use super::landing::Landing;
use crate::shell::outgoing::Aborted;

/// See the module.
#[derive(Debug)]
pub struct Replay {
    prefix: Bytes,
    landing: Arc<Landing>,
    next: usize,
    /// Bytes of the archive that have not been given.
    left: u64,
    /// The run goes on for as long as somebody reads.
    _seat: Seat,
}

impl Replay {
    /// Sends `prefix`, and then the archive.
    pub(super) fn new(prefix: Bytes, landing: Arc<Landing>, seat: Seat) -> Self {
        let left = landing.bytes();
        Self { prefix, landing, next: 0, left, _seat: seat }
    }

    /// Bytes that have not been given.
    pub fn bytes_left(&self) -> u64 {
        self.left.saturating_add(self.prefix.len() as u64)
    }

    /// The next piece of the answer.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        if !self.prefix.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.prefix))));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = ready!(self.landing.poll_piece(self.next, cx));
        if let Ok(piece) = &piece {
            self.next += 1;
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(Some(piece))
    }
}
