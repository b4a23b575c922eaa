//! `POST /worker/v1/done/{lease}`: a result on its way to its client.
//!
//! The head is read and checked here; the archive is not: its stream is handed to the client's
//! side, which reads it at the client's pace. This side only waits for the receipt.

use std::sync::Arc;

use http::Response;
use hyper::body::Incoming;
use pe_proto::limits::LABEL_BYTES_MAX;
use pe_proto::link::{DoneHead, LeaseId};
use pe_proto::outcome::RanOn;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::frame::read_frame;
use super::pieces::WorkerPieces;
use super::{Link, no_content};
use crate::core::trust::ledger::Fault;
use crate::driver::{Delivery, Receipt};
use crate::limits::RESULT_TIME;
use crate::respond::LinkRefusal;
use crate::shell::outgoing::Outgoing;

impl Link {
    pub(super) async fn done(
        &self,
        lease: LeaseId,
        body: Incoming,
    ) -> Result<Response<Outgoing>, LinkRefusal> {
        let session = self.lock().clone().ok_or(LinkRefusal::Session)?;
        let origin = Arc::clone(&session.identity);
        let strike = |fault| self.app.driver.strike(Arc::clone(&origin.name), fault);
        let turn = session.results.try_acquire().map_err(|_| LinkRefusal::Busy)?;
        let (mut head, rest) = match read_frame::<DoneHead>(body).await {
            Ok(read) => read,
            Err(refusal) => {
                if refusal == LinkRefusal::Malformed {
                    strike(Fault::Malformed).await;
                }
                return Err(refusal);
            }
        };
        drop(turn);
        if head.session != session.id {
            return Err(LinkRefusal::Session);
        }
        if head.lease != lease {
            strike(Fault::Malformed).await;
            return Err(LinkRefusal::NotHeld);
        }
        head.ran_on = ran_on(&session.ran_on, head.ran_on);
        let (receipt, received) = oneshot::channel();
        let pieces = Box::pin(WorkerPieces::new(rest));
        let delivery = Box::new(Delivery { head, origin: Arc::clone(&origin), pieces, receipt });
        let worker = session.visit.worker;
        // Not kept: results must not keep a visit alive that has ended.
        drop(session);
        self.app.driver.deliver(worker, lease, delivery).await;
        match timeout(RESULT_TIME, received).await {
            Ok(Ok(Receipt::Bad)) => {
                strike(Fault::Malformed).await;
                Err(LinkRefusal::BadResult)
            }
            Ok(Ok(Receipt::NotHeld(_))) => Err(LinkRefusal::NotHeld),
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
