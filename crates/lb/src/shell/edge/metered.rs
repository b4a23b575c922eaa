//! What a connection's bytes pass through between the socket and HTTP: bytes that were read too
//! early are given back, what moves is counted (see `vitals`), and a client's HTTP/2 frames are
//! watched for floods (see `core::frames`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::listener::Stream;
use crate::core::frames::{Frames, Terms};
use crate::shell::vitals::Vitals;

/// A stream before which some bytes were read.
#[derive(Debug)]
pub struct Prefixed<S = Stream> {
    prefix: Bytes,
    stream: S,
}

impl<S> Prefixed<S> {
    /// The bytes come first.
    pub fn new(prefix: Bytes, stream: S) -> Self {
        Self { prefix, stream }
    }

    /// Gives back what was read last.
    pub fn unread(&mut self, bytes: Bytes) {
        self.prefix = bytes;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let now = self.prefix.len().min(buf.remaining());
        buf.put_slice(self.prefix.chunk().get(..now).unwrap_or_default());
        self.prefix.advance(now);
        if self.prefix.is_empty() {
            // Nothing is kept of what it was cut from.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Clear text as it was accepted, or TLS after its handshake. One type for both, so that HTTP is
/// compiled once.
pub type Transport = Either<Prefixed, Box<TlsStream<Prefixed>>>;

/// What a client begins with, if HTTP/2 is what it speaks.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits until the client says something; returns whether that is HTTP/2, with what was read.
/// Nothing is held for a client until then but its socket.
///
/// # Errors
/// The connection ended.
pub async fn listen(transport: &mut (impl AsyncRead + Unpin)) -> io::Result<(bool, Bytes)> {
    let mut first = [0; PREFACE.len()];
    let mut have = 0;
    loop {
        let read = transport.read(first.get_mut(have..).unwrap_or_default()).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        have += read;
        let said = first.get(..have).unwrap_or_default();
        let may_be_h2 = PREFACE.starts_with(said);
        if !may_be_h2 || have == PREFACE.len() {
            return Ok((may_be_h2, Bytes::copy_from_slice(said)));
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Metered {
    stream: Prefixed<Transport>,
    vitals: Vitals,
    frames: Option<Box<Frames>>,
}

impl Metered {
    /// Counts for `vitals`; watches frames if there are to be any.
    pub fn new(stream: Prefixed<Transport>, vitals: Vitals, frames: Option<Terms>) -> Self {
        let frames = frames.map(|terms| Box::new(Frames::new(terms, vitals.now())));
        Self { stream, vitals, frames }
    }

    /// The stream below, for reading what is not counted yet.
    pub fn below(&mut self) -> &mut Prefixed<Transport> {
        &mut self.stream
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, vitals, frames } = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        let bytes = buf.filled().get(before..).unwrap_or_default();
        vitals.read(bytes.len());
        if let Some(frames) = frames {
            frames.read(bytes, || vitals.now()).map_err(|flood| {
                vitals.flooded(flood);
                io::Error::other(flood)
            })?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Metered {
    fn wrote(&mut self, bytes: usize) {
        self.vitals.wrote(bytes);
        if let Some(frames) = &mut self.frames {
            frames.wrote(bytes);
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.vitals.blocked(polled.is_pending());
        let bytes = ready!(polled)?;
        self.wrote(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.vitals.blocked(polled.is_pending());
        let bytes = ready!(polled)?;
        self.wrote(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.vitals.blocked(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
