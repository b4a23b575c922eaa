//! What the worker sends: a frame, and after the frame of a result its archive, read from the io
//! file of the dead VM piece by piece as the connection takes it. The body of a ready request is
//! left open: its end is the sign that the lease has arrived.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use crate::iofile::collect::ResultArchive;
use crate::limits::UPLOAD_CHUNK_BYTES;

/// Body of a request on the link.
#[derive(Debug)]
pub(super) struct LinkBody {
    frame: Option<Bytes>,
    archive: Option<Archive>,
    /// Resolves when the body is to end, if that is not when all of it was sent.
    open: Option<oneshot::Receiver<()>>,
}

#[derive(Debug)]
struct Archive {
    source: ResultArchive,
    sent: u64,
}

impl LinkBody {
    pub(super) fn frame(frame: Vec<u8>) -> Self {
        Self { frame: Some(Bytes::from(frame)), archive: None, open: None }
    }

    /// A frame, and the end of the body when what this returns is dropped.
    pub(super) fn open(frame: Vec<u8>) -> (Self, oneshot::Sender<()>) {
        let (sign, open) = oneshot::channel();
        (Self { open: Some(open), ..Self::frame(frame) }, sign)
    }

    pub(super) fn result(frame: Vec<u8>, source: ResultArchive) -> Self {
        Self {
            frame: Some(Bytes::from(frame)),
            archive: Some(Archive { source, sent: 0 }),
            open: None,
        }
    }

    fn left(&self) -> u64 {
        let frame = self.frame.as_ref().map_or(0, Bytes::len);
        let archive = self.archive.as_ref().map_or(0, Archive::left);
        u64::try_from(frame).unwrap_or(u64::MAX).saturating_add(archive)
    }
}

impl Archive {
    fn left(&self) -> u64 {
        self.source.len() - self.sent
    }

    fn piece(&mut self) -> io::Result<Bytes> {
        let len = usize::try_from(self.left()).unwrap_or(usize::MAX).min(UPLOAD_CHUNK_BYTES);
        let mut piece = vec![0; len];
        match &self.source {
            ResultArchive::InIoFile(io, range) => {
                io.read_at(&mut piece, range.start + self.sent)?;
            }
            ResultArchive::InMemory(bytes) => {
                let from = usize::try_from(self.sent).unwrap_or(usize::MAX);
                let there = bytes.get(from..).and_then(|rest| rest.get(..len));
                piece.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
        }
        self.sent += u64::try_from(len).unwrap_or(u64::MAX);
        Ok(Bytes::from(piece))
    }
}

impl Body for LinkBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(frame) = self.frame.take() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match &mut self.archive {
            Some(archive) if archive.left() > 0 => {
                Poll::Ready(Some(archive.piece().map(Frame::data)))
            }
            Some(_) | None => match &mut self.open {
                Some(open) => Pin::new(open).poll(cx).map(|_| {
                    self.open = None;
                    None
                }),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0 && self.open.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.open {
            None => SizeHint::with_exact(self.left()),
            Some(_) => SizeHint::default(),
        }
    }
}
