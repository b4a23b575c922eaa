//! A result's archive, piece by piece as its worker sends it, within three bounds: a time between
//! two pieces, a rate on the whole, and an end. The first two run while we wait for the worker,
//! not while the client is slow; the end does not ask whose fault it is.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Future as _, Stream};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::frame::Rest;
use crate::driver::PieceLost;
use crate::limits::{RESULT_BYTES_PER_SECOND_MIN, RESULT_IDLE, RESULT_TIME};

/// See the module.
pub(super) struct WorkerPieces<B = Incoming> {
    first: Bytes,
    body: B,
    clock: Pin<Box<Sleep>>,
    end: Instant,
    /// Since when the worker is waited for.
    waiting: Option<Instant>,
    /// How long it was waited for before.
    waited: Duration,
    received: u64,
}

impl WorkerPieces {
    pub(super) fn new(rest: Rest) -> Self {
        let Rest { first, body } = rest;
        Self::of(first, body)
    }
}

impl<B> WorkerPieces<B> {
    fn of(first: Bytes, body: B) -> Self {
        Self {
            first,
            body,
            clock: Box::pin(sleep(RESULT_IDLE)),
            end: Instant::now() + RESULT_TIME,
            waiting: None,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// How long it may be waited for the worker in all, by what it has sent so far.
    fn allowed(&self) -> Duration {
        RESULT_IDLE + Duration::from_secs(self.received / RESULT_BYTES_PER_SECOND_MIN)
    }

    fn took(&mut self, piece: &Bytes) {
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        self.received += piece.len() as u64;
    }
}

impl<B, E> Stream for WorkerPieces<B>
where
    B: Body<Data = Bytes, Error = E> + Unpin,
{
    type Item = Result<Bytes, PieceLost>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(cx).map_ok(Frame::into_data) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(PieceLost))),
                Poll::Ready(Some(Ok(Err(_)))) => {}
                Poll::Ready(Some(Ok(Ok(piece)))) => {
                    if Instant::now() >= self.end {
                        return Poll::Ready(Some(Err(PieceLost)));
                    }
                    self.took(&piece);
                    return Poll::Ready(Some(Ok(piece)));
                }
                Poll::Pending => break,
            }
        }
        if self.waiting.is_none() {
            let now = Instant::now();
            self.waiting = Some(now);
            let by_rate = self.allowed().saturating_sub(self.waited);
            let until = (now + RESULT_IDLE.min(by_rate)).min(self.end);
            self.clock.as_mut().reset(until);
        }
        self.clock.as_mut().poll(cx).map(|()| Some(Err(PieceLost)))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::StreamExt as _;
    use http_body_util::StreamBody;
    use tokio::time::timeout;

    use super::*;

    /// Sends pieces of a length, so far apart, without end; counts what came until it was cut off.
    async fn drip(length: usize, apart: Duration) -> (u64, Duration) {
        let drops = futures_util::stream::unfold((), move |()| async move {
            sleep(apart).await;
            Some((Ok::<_, Infallible>(Frame::data(vec![0; length].into())), ()))
        });
        let mut pieces = WorkerPieces::of(Bytes::new(), StreamBody::new(Box::pin(drops)));
        let began = Instant::now();
        let mut bytes = 0;
        loop {
            match timeout(RESULT_TIME * 2, pieces.next()).await.expect("an end") {
                Some(Ok(piece)) => bytes += piece.len() as u64,
                Some(Err(PieceLost)) => return (bytes, began.elapsed()),
                None => panic!("it has no end"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_trickles_is_cut_off_by_its_rate() {
        let (bytes, took) = drip(1, Duration::from_secs(1)).await;
        assert_eq!(took, RESULT_IDLE);
        assert!(bytes <= 20, "{bytes}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_falls_silent_is_cut_off_by_the_pause() {
        let (bytes, took) = drip(1 << 20, RESULT_IDLE * 2).await;
        assert_eq!((bytes, took), (0, RESULT_IDLE));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_on_beyond_its_end() {
        let (bytes, took) = drip(64 * 1024, Duration::from_secs(1)).await;
        assert!(took <= RESULT_TIME + Duration::from_secs(1), "{took:?}");
        assert!(bytes > 290 * 64 * 1024, "{bytes}: fast enough until then");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_not_the_workers_fault() {
        let pieces = futures_util::stream::repeat_with(|| {
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        });
        let mut pieces = WorkerPieces::of(Bytes::new(), StreamBody::new(pieces));
        for _ in 0..10 {
            sleep(RESULT_IDLE).await;
            assert!(matches!(pieces.next().await, Some(Ok(_))));
        }
    }
}
