//! From a job handed to the broker to a result that can be answered with.

use std::sync::Arc;
use std::time::Duration;

use pe_proto::outcome::{Clock, Fault};
use pe_proto::{Outcome, ResultMeta};
use tracing::{info, warn};

use super::receive::{Unusable, receive};
use super::relay::Relay;
use crate::core::broker::{Loss, Refusal};
use crate::core::ids::ClientKey;
use crate::core::trust::Identity;
use crate::driver::{Delivery, JobVerdict, Order};
use crate::respond::Failure;
use crate::shell::app::{App, Gathered};
use pe_proto::outcome::{RanOn, WorkerPhases};
use tokio::sync::OwnedSemaphorePermit;

/// How much of a result must be here before it is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// Its beginning.
    Begun,
}

/// A result to answer with.
#[derive(Debug)]
pub struct Finished {
    pub(super) meta: ResultMeta,
    pub(super) worker_phases: WorkerPhases,
    pub(super) ran_on: Option<RanOn>,
    /// Who sent it.
    pub(super) origin: Option<Arc<Identity>>,
    /// How long the job waited for leases.
    pub(super) queued: Duration,
    pub(super) archive: Archive,
}

/// The archive of a result.
#[derive(Debug)]
pub(super) enum Archive {
    /// All of it, checked, and its share of the memory for results.
    Whole(Gathered, Option<OwnedSemaphorePermit>),
    /// Its beginning, and where the rest comes from.
    Begun(Box<Relay>),
}

impl Finished {
    /// How it ended.
    pub fn outcome(&self) -> &Outcome {
        &self.meta.outcome
    }

    /// Who sent it; nobody for one of ours.
    pub fn origin(&self) -> Option<&Arc<Identity>> {
        self.origin.as_ref()
    }

    /// A result without a worker.
    fn of_ours(outcome: Outcome) -> Self {
        Self {
            meta: ResultMeta::without_run(outcome),
            worker_phases: WorkerPhases::default(),
            ran_on: None,
            origin: None,
            queued: Duration::ZERO,
            archive: Archive::Whole(empty_archive(), None),
        }
    }
}

/// Runs a job.
///
/// A job whose worker did not begin to answer in time is answered as timed out by our clock, not
/// leased again: it had all the time it asked for and then some, and would likely take as long
/// elsewhere. A job that a worker reports as lost is leased once more; if that comes to nothing
/// too, the client gets what the last of them saved.
///
/// # Errors
/// It was not run.
///
/// # Cancel safety
/// A dropped future withdraws the job.
pub async fn execute(
    app: &App,
    client: ClientKey,
    order: Arc<Order>,
    wanted: Wanted,
) -> Result<Finished, Failure> {
    let mut running = app.driver.submit(client, Arc::clone(&order)).await?;
    let mut reported: Option<Finished> = None;
    loop {
        let (delivery, queued) = match running.verdict().await {
            JobVerdict::Delivered { delivery, queued } => (delivery, queued),
            JobVerdict::Refused(refusal) => {
                return reported.ok_or_else(|| not_run(refusal));
            }
            JobVerdict::Overdue => {
                warn!("lease overdue");
                let outcome = Outcome::TimedOut { clock: Clock::Lb };
                return Ok(reported.unwrap_or_else(|| Finished::of_ours(outcome)));
            }
        };
        let Delivery { head, origin, pieces, receipt } = *delivery;
        let meta = head.meta.bounded();
        // What a worker of ours could not do, another may: a VM that was lost, an image it lacks.
        let is_lost = match &meta.outcome {
            Outcome::Lost { .. } => true,
            Outcome::Refused { fault, .. } => *fault == Fault::Us,
            Outcome::Exited { .. }
            | Outcome::Signaled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::OutOfMemory => false,
        };
        let wanted = if is_lost { Wanted::Whole } else { wanted };
        let bytes = head.archive_bytes;
        let worker = head.ran_on.worker.clone();
        let received = receive(app, &order.spec.limits, wanted, bytes, pieces, receipt).await;
        let archive = match received {
            Ok(archive) => archive,
            Err(Unusable::NoRoom) => {
                return reported.ok_or_else(Failure::no_room_for_result);
            }
            Err(unusable) => {
                warn!(worker, reason = %unusable, "result unusable");
                app.metrics.results_retried.inc();
                running.retry(Loss::Link).await;
                continue;
            }
        };
        let (worker_phases, ran_on, origin) = (head.phases, Some(head.ran_on), Some(origin));
        let mut finished = Finished { meta, worker_phases, ran_on, origin, queued, archive };
        if !is_lost {
            // The job lives, and with it its place with the broker, until the answer was sent.
            if let Archive::Begun(relay) = &mut finished.archive {
                relay.own(running);
            }
            return Ok(finished);
        }
        info!(worker, "worker lost the vm");
        reported = Some(finished);
        running.retry(Loss::Reported).await;
    }
}

fn not_run(refusal: Refusal) -> Failure {
    info!(?refusal, "job refused");
    refusal.into()
}

fn empty_archive() -> Gathered {
    let mut gathered = Gathered::default();
    gathered.push(pe_proto::archive::Encoder::new().finish().into());
    gathered
}
