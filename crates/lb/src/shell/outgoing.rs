//! Bodies of answers. One type for all of them, so that a body is no heap allocation more than
//! its content.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::access::Note;
use super::discard::Discard;
use super::link::lease_body::LeaseBody;
use super::link::packs::PackBody;
use super::memory::Room;
use super::run::replay::Replay;
use super::vitals::{Piece, Pulse};
use crate::limits::PIECE_BYTES;

/// See the module.
#[derive(Debug)]
pub struct Outgoing {
    source: Source,
    /// Lives as long as the answer is being sent.
    pulse: Option<Pulse>,
    /// What is kept until then, such as a share of memory.
    kept: Option<Room>,
    /// Becomes a line of the access log when the answer is over.
    note: Option<Note>,
    /// What is still to be received before the answer ends.
    discard: Option<Box<Discard>>,
}

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Replay(Box<Replay>),
    Lease(Box<LeaseBody>),
    Pack(Box<PackBody>),
}

/// An answer is not finished; the peer sees its stream reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aborted {
    /// The lease was cancelled.
    Cancelled,
    /// The result broke off or was none.
    Broken,
}

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "lease cancelled",
            Self::Broken => "result broke off",
        })
    }
}

impl std::error::Error for Aborted {}

/// How hyper learns the code of the reset: it looks for h2's error in what a body fails with.
impl From<Aborted> for h2::Error {
    fn from(aborted: Aborted) -> Self {
        match aborted {
            Aborted::Cancelled => h2::Reason::CANCEL.into(),
            Aborted::Broken => h2::Reason::INTERNAL_ERROR.into(),
        }
    }
}

impl Outgoing {
    /// Nothing.
    pub fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    /// Something that is all there.
    pub fn whole(bytes: Bytes) -> Self {
        Self::new(Source::Whole(bytes))
    }

    /// A result as it lands.
    pub fn replay(replay: Box<Replay>) -> Self {
        Self::new(Source::Replay(replay))
    }

    /// A job, and then the lease.
    pub fn lease(body: LeaseBody) -> Self {
        Self::new(Source::Lease(Box::new(body)))
    }

    /// A pack, or a part of it.
    pub fn pack(body: PackBody) -> Self {
        Self::new(Source::Pack(Box::new(body)))
    }

    fn new(source: Source) -> Self {
        Self { source, pulse: None, kept: None, note: None, discard: None }
    }

    /// Receives the rest of the request, within bounds, before the answer ends.
    #[must_use]
    pub fn discarding(mut self, rest: Option<Incoming>) -> Self {
        self.discard = rest.map(|body| Box::new(Discard::new(body)));
        self
    }

    /// Keeps something until the answer was sent.
    #[must_use]
    pub fn keeping(mut self, kept: Option<Room>) -> Self {
        self.kept = kept;
        self
    }

    /// Makes it a sign of life of its connection.
    #[must_use]
    pub fn with_pulse(mut self, pulse: Pulse) -> Self {
        // The answer's head is given: with a closed window, this body is never asked.
        pulse.gave();
        self.pulse = Some(pulse);
        self
    }

    /// Tells the access log what is sent.
    #[must_use]
    pub fn with_note(mut self, note: Option<Note>) -> Self {
        self.note = note;
        // Nobody asks an answer without content for any.
        if let (Some(note), true) = (&self.note, self.is_end_stream()) {
            note.finished();
        }
        self
    }

    /// Drops what would be sent, for `HEAD`; the answer's length is to be set before.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        self.source = Source::Whole(Bytes::new());
        self
    }
}

impl Body for Outgoing {
    type Data = Piece;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, h2::Error>>> {
        let polled = match &mut self.source {
            Source::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Whole(bytes) => {
                Poll::Ready(Some(Ok(bytes.split_to(bytes.len().min(PIECE_BYTES)))))
            }
            Source::Replay(replay) => replay.poll_piece(cx),
            Source::Lease(lease) => lease.poll_piece(cx),
            Source::Pack(pack) => pack.poll_piece(cx),
        };
        let polled = match (polled, &mut self.discard) {
            (Poll::Ready(None), Some(discard)) => discard.poll_done(cx).map(|()| None),
            (polled, _) => polled,
        };
        if let Some(note) = &self.note {
            match &polled {
                Poll::Ready(Some(Ok(piece))) => note.gave(piece.len()),
                Poll::Ready(None | Some(Err(_))) | Poll::Pending => {}
            }
            if matches!(polled, Poll::Ready(None)) || self.is_end_stream() {
                note.finished();
            }
        }
        if let Some(pulse) = &self.pulse {
            match &polled {
                Poll::Ready(_) => pulse.gave(),
                Poll::Pending => pulse.waits(),
            }
        }
        let counted = |bytes: Bytes| match &self.pulse {
            Some(pulse) => pulse.piece(bytes),
            None => bytes.into(),
        };
        let framed = |piece: Result<Bytes, Aborted>| {
            piece.map(|bytes| Frame::data(counted(bytes))).map_err(h2::Error::from)
        };
        polled.map(|piece| piece.map(framed))
    }

    fn is_end_stream(&self) -> bool {
        if self.discard.is_some() {
            return false;
        }
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Replay(replay) => replay.bytes_left() == 0,
            Source::Lease(_) => false,
            Source::Pack(pack) => pack.bytes_left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Replay(replay) => SizeHint::with_exact(replay.bytes_left()),
            Source::Lease(_) => SizeHint::default(),
            Source::Pack(pack) => SizeHint::with_exact(pack.bytes_left()),
        }
    }
}
