//! `POST /worker/v1/done/{lease}`: a result on its way to its client.
//!
//! The head is read and checked here; the archive is not: its stream is handed to the client's
//! side, which reads it at the client's pace. This side only waits for the receipt.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Future as _, Stream};
use http::Response;
use http_body::Body as _;
use hyper::body::Incoming;
use pe_proto::limits::LABEL_BYTES_MAX;
use pe_proto::link::{DoneHead, LeaseId};
use pe_proto::outcome::RanOn;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::frame::{Rest, read_frame};
use super::{Link, no_content};
use crate::driver::{Delivery, PieceLost, Receipt};
use crate::limits::{RESULT_IDLE, RESULT_TIME};
use crate::respond::LinkRefusal;
use crate::shell::outgoing::Outgoing;

impl Link {
    pub(super) async fn done(
        &self,
        lease: LeaseId,
        body: Incoming,
    ) -> Result<Response<Outgoing>, LinkRefusal> {
        let (mut head, rest) = read_frame::<DoneHead>(body).await?;
        let session = self.session(head.session)?;
        if head.lease != lease {
            return Err(LinkRefusal::NotHeld);
        }
        head.ran_on = ran_on(&session.ran_on, head.ran_on);
        let (receipt, received) = oneshot::channel();
        let pieces = Box::pin(WorkerPieces::new(rest));
        let delivery = Delivery { head, pieces, receipt };
        let worker = session.visit.worker;
        // Not kept: results must not keep a visit alive that has ended.
        drop(session);
        let delivered = self.app.driver.deliver(worker, lease, delivery).await;
        delivered.map_err(|_| LinkRefusal::NotHeld)?;
        match timeout(RESULT_TIME, received).await {
            Ok(Ok(Receipt::Bad)) => Err(LinkRefusal::BadResult),
            Err(_) => Err(LinkRefusal::TooSlow),
            // Taken; or its client left, which is nothing to the worker.
            Ok(Ok(Receipt::Taken) | Err(_)) => Ok(no_content()),
        }
    }
}

/// Who ran it is what hello said; what it ran on may be said more exactly, within bounds.
fn ran_on(hello: &RanOn, done: RanOn) -> RanOn {
    let bounded = |said: String, known: &String| {
        let is_fine = !said.is_empty() && said.len() <= LABEL_BYTES_MAX;
        if is_fine { said } else { known.clone() }
    };
    RanOn {
        arch: hello.arch,
        worker: hello.worker.clone(),
        kernel: bounded(done.kernel, &hello.kernel),
        cpu: bounded(done.cpu, &hello.cpu),
        vmm: bounded(done.vmm, &hello.vmm),
    }
}

/// The archive's pieces, with a bound on the time between two of them.
struct WorkerPieces {
    first: Bytes,
    body: Incoming,
    idle: Pin<Box<Sleep>>,
    is_idle_set: bool,
}

impl WorkerPieces {
    fn new(rest: Rest) -> Self {
        let Rest { first, body } = rest;
        Self { first, body, idle: Box::pin(sleep(RESULT_IDLE)), is_idle_set: true }
    }
}

impl Stream for WorkerPieces {
    type Item = Result<Bytes, PieceLost>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(PieceLost))),
                Poll::Ready(Some(Ok(frame))) => {
                    self.is_idle_set = false;
                    if let Ok(piece) = frame.into_data() {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Poll::Pending => break,
            }
        }
        // The clock runs while we wait for the worker, not while the client is slow.
        if !self.is_idle_set {
            self.is_idle_set = true;
            let until = Instant::now() + RESULT_IDLE;
            self.idle.as_mut().reset(until);
        }
        match self.idle.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(PieceLost))),
            Poll::Pending => Poll::Pending,
        }
    }
}
