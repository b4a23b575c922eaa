//! What a connection has to send, gathered until its turn is over.
//!
//! HTTP/2 writes and flushes each frame of content on its own. A connection that answers many
//! requests at a time would make a system call, and over TLS a record, for each of them, and these
//! cost more than all else that is done for a small answer. So its stream is wrapped: what is
//! written is held here, flushing does nothing, and when the connection's task has done all there
//! was to do for now, [`Sending`] sends everything at once.
//!
//! It holds at most [`OUTBOX_BYTES`]; beyond that the connection waits, as it would for the socket.
//! Nothing is held, and no memory used, while there is nothing to send. It ends with its stream:
//! shutting that down sends what is left first.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::OUTBOX_BYTES;

/// The connection's end: a stream that holds back what is written.
#[derive(Debug)]
pub struct Held<S>(Arc<Mutex<Inner<S>>>);

/// The other end, which sends it.
#[derive(Debug)]
pub struct Outbox<S>(Arc<Mutex<Inner<S>>>);

/// A leaf lock: both ends are used by the same task, one after the other.
#[derive(Debug)]
struct Inner<S> {
    stream: S,
    bytes: Vec<u8>,
    /// How many of them were sent.
    sent: usize,
    /// How many there were in the last turn that sent something: about as many as the next has.
    usual: usize,
    is_flushed: bool,
    /// Sending failed: every later use of the stream fails likewise.
    failed: Option<io::ErrorKind>,
}

/// Wraps a stream.
pub fn gathered<S>(stream: S) -> (Held<S>, Outbox<S>) {
    let inner =
        Inner { stream, bytes: Vec::new(), sent: 0, usual: 0, is_flushed: true, failed: None };
    let inner = Arc::new(Mutex::new(inner));
    (Held(Arc::clone(&inner)), Outbox(inner))
}

/// A connection over [`Held`], with what sends what it writes.
#[derive(Debug)]
pub struct Sending<C, S> {
    connection: Pin<Box<C>>,
    outbox: Outbox<S>,
}

impl<S> Outbox<S> {
    /// Sends for this connection.
    pub fn of<C>(self, connection: C) -> Sending<C, S> {
        Sending { connection: Box::pin(connection), outbox: self }
    }
}

impl<C, S> Sending<C, S> {
    /// The connection.
    pub fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C: Future, S: AsyncWrite + Unpin> Future for Sending<C, S> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let Self { connection, outbox } = self.get_mut();
        let polled = connection.as_mut().poll(cx);
        let mut inner = lock(&outbox.0);
        if let Poll::Ready(Err(error)) = inner.poll_send(cx) {
            // The connection hears of it when it reads or writes again: now. Nothing is left to
            // be sent, so it is woken once.
            inner.failed = Some(error.kind());
            inner.bytes = Vec::new();
            inner.is_flushed = true;
            cx.waker().wake_by_ref();
        }
        polled
    }
}

impl<S> Inner<S> {
    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    /// Ready when everything was sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.bytes.get(self.sent..).filter(|left| !left.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        if !self.bytes.is_empty() {
            self.usual = self.bytes.len();
            self.bytes = Vec::new();
            self.sent = 0;
        }
        if !self.is_flushed {
            // TLS may have taken bytes that the socket had no room for.
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// How many bytes there is room for, after sending if that is needed.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.bytes.len() >= OUTBOX_BYTES {
            ready!(self.poll_send(cx))?;
        }
        self.is_flushed = false;
        Poll::Ready(Ok(OUTBOX_BYTES - self.bytes.len()))
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(FIRST_BYTES.max(self.usual).max(bytes.len()));
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// Room for one small answer with its head, so that most turns allocate once.
const FIRST_BYTES: usize = 8 * 1024;

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = lock(&self.0);
        let room = ready!(inner.poll_room(cx))?;
        let mut taken = 0;
        for piece in pieces {
            let fits = piece.len().min(room - taken);
            inner.push(piece.get(..fits).unwrap_or_default());
            taken += fits;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: it is sent when the connection's turn is over.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(lock(&self.0).check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        inner.check()?;
        ready!(inner.poll_send(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        inner.check()?;
        Pin::new(&mut inner.stream).poll_read(cx, into)
    }
}

fn lock<S>(inner: &Mutex<Inner<S>>) -> MutexGuard<'_, Inner<S>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_written_in_one_turn_is_sent_together() {
        let (near, mut far) = duplex(2 * OUTBOX_BYTES);
        let (mut held, outbox) = gathered(near);
        let sending = outbox.of(async {
            for _ in 0..3 {
                held.write_all(b"piece").await.unwrap();
                held.flush().await.unwrap();
            }
            let mut byte = [0];
            // Nothing was sent yet: there is nothing to be read at the far end.
            let mut read = pin!(far.read(&mut byte));
            assert!(poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending())).await);
        });
        sending.await;
        drop(held);
        let mut read = [0; 15];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"piecepiecepiece");
    }

    #[tokio::test]
    async fn a_writer_waits_for_a_peer_that_does_not_read() {
        let (near, mut far) = duplex(16);
        let (mut held, outbox) = gathered(near);
        let content = vec![7; 3 * OUTBOX_BYTES];
        let mut sending = outbox.of(async {
            held.write_all(&content).await.unwrap();
            held.shutdown().await.unwrap();
        });
        // One turn takes what the outbox and the pipe hold, and no more.
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut sending).poll(cx).is_pending())).await);
        assert!(lock(&sending.outbox.0).bytes.len() <= OUTBOX_BYTES);
        let mut read = Vec::new();
        let reading = async {
            while read.len() < content.len() {
                far.read_buf(&mut read).await.unwrap();
            }
        };
        tokio::join!(&mut sending, reading);
        assert_eq!(read, content);
        assert_eq!(lock(&sending.outbox.0).bytes.capacity(), 0);
    }

    #[tokio::test]
    async fn a_stream_that_fails_fails_the_connection() {
        let (near, far) = duplex(16);
        let (mut held, outbox) = gathered(near);
        drop(far);
        let sending = outbox.of(async {
            held.write_all(b"to nobody").await?;
            held.flush().await?;
            // The turn ends here; what was written cannot be sent.
            tokio::task::yield_now().await;
            held.write_all(b"more").await
        });
        assert_eq!(sending.await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
