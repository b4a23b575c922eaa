//! A request's body: parts that are in memory, sent in pieces that the progress line counts.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::limits::UPLOAD_PIECE_BYTES;
use crate::progress::Progress;

/// What is left to send.
#[derive(Debug)]
pub(super) struct Upload {
    parts: VecDeque<Bytes>,
    progress: Arc<Progress>,
}

impl Upload {
    pub(super) fn new(parts: impl IntoIterator<Item = Bytes>, progress: Arc<Progress>) -> Self {
        Self { parts: parts.into_iter().filter(|part| !part.is_empty()).collect(), progress }
    }

    pub(super) fn empty() -> Self {
        Self::new([], Arc::default())
    }

    pub(super) fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(part) = self.parts.front_mut() else {
            return Poll::Ready(None);
        };
        let piece = part.split_to(part.len().min(UPLOAD_PIECE_BYTES));
        if part.is_empty() {
            self.parts.pop_front();
        }
        self.progress.sent(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}
