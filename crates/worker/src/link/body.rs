//! What the worker sends: a frame, and after the frame of a result its archive, read from the io
//! file of the dead VM piece by piece as the connection takes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::iofile::collect::ResultArchive;
use crate::limits::UPLOAD_CHUNK_BYTES;

/// Body of a request on the link.
#[derive(Debug)]
pub(super) struct LinkBody {
    frame: Option<Bytes>,
    archive: Option<Archive>,
}

#[derive(Debug)]
struct Archive {
    source: ResultArchive,
    sent: u64,
}

impl LinkBody {
    pub(super) fn frame(frame: Vec<u8>) -> Self {
        Self { frame: Some(Bytes::from(frame)), archive: None }
    }

    pub(super) fn result(frame: Vec<u8>, source: ResultArchive) -> Self {
        Self { frame: Some(Bytes::from(frame)), archive: Some(Archive { source, sent: 0 }) }
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
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(frame) = self.frame.take() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match &mut self.archive {
            Some(archive) if archive.left() > 0 => {
                Poll::Ready(Some(archive.piece().map(Frame::data)))
            }
            Some(_) | None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
