//! The answer to a ready request that got a job: head, archive, and then the open stream that is
//! the lease (`protocol.md 6.3`).
//!
//! Once the worker has read the head it ends the body of its request: the sign of life.
//!
//! It ends when the result has begun, and fails with CANCEL when nobody waits for the result.
//! When the worker resets the stream or its connection ends, it is dropped, and the lease is lost.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use pe_proto::codec::{self, BadMessage};
use pe_proto::link::{LeaseHead, LeaseId};
use tokio::sync::oneshot;

use crate::driver::{Assignment, LeaseEnd, Order, SlotHold};
use crate::shell::outgoing::Aborted;

/// See the module.
#[derive(Debug)]
pub struct LeaseBody {
    lease: LeaseId,
    head: Option<Bytes>,
    order: Arc<Order>,
    /// The next piece of the order's body.
    next: usize,
    ended: oneshot::Receiver<LeaseEnd>,
    is_settled: bool,
    /// The rest of the request, until its end.
    sign: Option<Incoming>,
    hold: SlotHold,
}

impl LeaseBody {
    /// The stream of a new lease.
    ///
    /// # Errors
    /// The job is over the bound of its message: it was checked before, so this is a defect.
    pub fn new(
        assignment: Assignment,
        hold: SlotHold,
        sign: Option<Incoming>,
    ) -> Result<Self, BadMessage> {
        let Assignment { lease, order, deadline, ended } = assignment;
        let head = codec::to_vec(&LeaseHead {
            lease,
            request_id: order.request_id.clone(),
            spec: order.spec.clone(),
            archive_bytes: order.body.bytes,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        })?;
        let head = Some(head.into());
        Ok(Self { lease, head, order, next: 0, ended, is_settled: false, sign, hold })
    }

    /// The next piece of the stream.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        if self.is_settled {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.ended).poll(cx) {
            Poll::Ready(Ok(LeaseEnd::Settled)) => {
                self.is_settled = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Ok(LeaseEnd::Cancelled) | Err(_)) => {
                return Poll::Ready(Some(Err(Aborted::Cancelled)));
            }
            Poll::Pending => {}
        }
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        self.poll_sign(cx);
        match self.order.body.pieces.get(self.next) {
            Some(piece) => {
                self.next += 1;
                Poll::Ready(Some(Ok(piece.clone())))
            }
            None => Poll::Pending,
        }
    }

    fn poll_sign(&mut self, cx: &mut Context<'_>) {
        while let Some(body) = &mut self.sign {
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => {
                    self.sign = None;
                    self.hold.accepted(self.lease);
                }
                // How the end comes: in a frame of its own.
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                // Bytes have no place here, and a broken stream is no sign: none is waited for.
                Poll::Ready(Some(_)) => self.sign = None,
            }
        }
    }
}
