//! From a job handed to the broker to a result that can be answered with.

use std::sync::Arc;

use pe_proto::outcome::{Clock, Fault, WorkerPhases};
use pe_proto::{Digest, Outcome, ResultMeta};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::landing::{Facts, Landing};
use super::receive::{Unusable, receive};
use crate::core::admission::memory::NoRoom;
use crate::core::broker::{Claim, Loss, Refusal, Spare};
use crate::core::ids::{ClientKey, NOBODY};
use crate::driver::{Busy, Delivery, JobVerdict, Order, RunningJob};
use crate::shell::app::App;

/// How far a run is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// There is nothing to be seen yet, or no longer.
    Running,
    /// The beginning of its result may be answered with.
    Begun(Arc<Landing>),
    /// All of its result is here.
    Landed(Arc<Landing>),
    /// There is no result.
    NotRun(NotRun),
}

/// Why a job has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    /// The broker refused it.
    #[error("refused by the broker")]
    Refused(Refusal),
    /// More is going on than the driver has places for.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// It was run, but its result cannot be held.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// Too many wait for the same run.
    #[error("too many wait for the same job")]
    Crowded,
    /// A defect.
    #[error("the run crashed")]
    Crashed,
}

/// Runs a job to its whole result. Who looks at `progress` sees a large one begin before; it is
/// for the caller to say there that the run is over.
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
/// A dropped future withdraws the job, and breaks off what had begun of its result.
pub async fn execute(
    app: &App,
    claim: impl Into<Claim>,
    digest: Digest,
    order: Arc<Order>,
    progress: &watch::Sender<Progress>,
) -> Result<Arc<Landing>, NotRun> {
    let claim = claim.into();
    let running = app.driver.submit(claim, Arc::clone(&order)).await?;
    finish(app, running, claim.client, digest, order, progress).await
}

/// The same for a job that nobody waits for: once, and only with a slot to spare.
///
/// # Errors
/// It was not run.
///
/// # Cancel safety
/// As that of [`execute`].
pub(super) async fn execute_spare(
    app: &App,
    spare: Spare,
    digest: Digest,
    order: Arc<Order>,
) -> Result<Arc<Landing>, NotRun> {
    let running = app.driver.submit_spare(spare, Arc::clone(&order)).await?;
    let (progress, _) = watch::channel(Progress::Running);
    finish(app, running, NOBODY, digest, order, &progress).await
}

async fn finish(
    app: &App,
    mut running: RunningJob,
    client: ClientKey,
    digest: Digest,
    order: Arc<Order>,
    progress: &watch::Sender<Progress>,
) -> Result<Arc<Landing>, NotRun> {
    let started = Instant::now();
    let mut reported: Option<Arc<Landing>> = None;
    let facts = |meta: ResultMeta| Facts {
        client,
        digest,
        request_id: order.request_id.clone(),
        image: order.spec.image,
        limits: order.spec.limits,
        meta,
        worker_phases: WorkerPhases::default(),
        ran_on: None,
        origin: None,
        queued: std::time::Duration::ZERO,
        position: 0,
        total: started.elapsed(),
    };
    loop {
        let (delivery, queued, position) = match running.verdict().await {
            JobVerdict::Delivered { delivery, queued, position } => (delivery, queued, position),
            JobVerdict::Refused(refusal) => {
                info!(?refusal, "job refused");
                return reported.ok_or(NotRun::Refused(refusal));
            }
            JobVerdict::Overdue => {
                warn!("lease overdue");
                let meta = ResultMeta::without_run(Outcome::TimedOut { clock: Clock::Lb });
                return Ok(reported.unwrap_or_else(|| of_ours(facts(meta))));
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
        let bytes = head.archive_bytes;
        let worker = head.ran_on.worker.clone();
        let (ran_on, origin) = (Some(head.ran_on), Some(origin));
        let facts =
            Facts { worker_phases: head.phases, ran_on, origin, queued, position, ..facts(meta) };
        let begun = |landing: &Arc<Landing>| {
            if !is_lost {
                progress.send_replace(Progress::Begun(Arc::clone(landing)));
            }
        };
        let landing = match receive(app, facts, bytes, pieces, receipt, begun).await {
            Ok(landing) => landing,
            Err(Unusable::NoRoom(no_room)) => return reported.ok_or(NotRun::NoRoom(no_room)),
            Err(unusable) => {
                warn!(worker, reason = %unusable, "result unusable");
                app.metrics.results_retried.inc();
                progress.send_replace(Progress::Running);
                running.retry(Loss::Link).await;
                continue;
            }
        };
        if !is_lost {
            return Ok(landing);
        }
        info!(worker, "worker lost the vm");
        reported = Some(landing);
        running.retry(Loss::Reported).await;
    }
}

/// A result without a worker.
fn of_ours(facts: Facts) -> Arc<Landing> {
    let archive = pe_proto::archive::Encoder::new().finish();
    let landing = Landing::new(facts, archive.len() as u64, None);
    landing.push(archive.into());
    landing.complete();
    Arc::new(landing)
}
