//! The rest of a request that was refused before its end.
//!
//! An HTTP/2 stream that ends while its client still sends is reset, and some clients (curl 7.88
//! is one) then forget that they had an answer. So the answer's end is put off while the rest is
//! received and thrown away, within a bound of bytes and time.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use crate::limits::{DISCARD_BYTES_MAX, DISCARD_TIME};

/// See the module.
#[derive(Debug)]
pub struct Discard {
    body: Incoming,
    left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Discard {
    /// Begins now.
    pub fn new(body: Incoming) -> Self {
        Self { body, left: DISCARD_BYTES_MAX, deadline: Box::pin(sleep(DISCARD_TIME)) }
    }

    /// Ready when the request is over, or the patience with it.
    pub fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let Some(Ok(frame)) = frame else {
                return Poll::Ready(());
            };
            let bytes = frame.data_ref().map_or(0, bytes::Bytes::len);
            match self.left.checked_sub(bytes) {
                Some(left) => self.left = left,
                None => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}
