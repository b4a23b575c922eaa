//! The worker put together, run, and taken down.
//!
//! One order of going down: stop offering, finish what runs, deadline, kill. The first signal
//! begins it; the second skips to its end. Whatever way the process ends, its VMMs end with it.

use std::path::PathBuf;
use std::time::Duration;

use pe_proto::link::Hello;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::core::clock::ClockTerms;
use crate::core::pool::PoolTerms;
use crate::driver::{self, PoolError};
use crate::host;
use crate::images::ImagesError;
use crate::job::JobTerms;
use crate::limits::{
    DEADLINE_RESERVE, RESTORES_MAX, START_BACKOFF_MAX, START_BACKOFF_MIN, STARTING_MAX,
};
use crate::link::{LbAddress, Link, LinkTerms, Token};
use crate::metrics::{self, Metrics, MetricsError};
use crate::signals::Signals;
use crate::vm::StartError;

mod foundation;

pub use foundation::{Foundation, Trial};

/// Why the worker does not run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No images.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// No image of the catalogue can be run here.
    #[error("no image in {} can be run here (see the warnings above)", .0.display())]
    NoImages(PathBuf),
    /// A file or program is not there, or the host refuses something.
    #[error("cannot use {what}")]
    Host {
        /// What.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// This program was built for an architecture that is not known.
    #[error("guests of this architecture are not known")]
    Arch,
    /// What was asked for does not run a guest, nor does anything else that may be used.
    #[error("{vmm} does not run a guest")]
    Vmm {
        /// What was tried last.
        vmm: &'static str,
        /// Why not.
        source: StartError,
    },
    /// A VMM cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Metrics contradict each other: a defect of ours.
    #[error("metrics cannot be registered")]
    Registry(#[from] prometheus::Error),
    /// A defect of ours.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Told twice to end.
    #[error("ended at once, as told")]
    Forced,
}

/// Serves until `signals` say otherwise: one for a drain, a second for an end.
///
/// # Errors
/// It cannot serve, or was told twice to end.
pub async fn serve(config: Config, lb: LbAddress, mut signals: Signals) -> Result<(), WorkerError> {
    let token = config.token_file.as_deref().map(Token::read).transpose();
    let token = token.map_err(|source| WorkerError::Host { what: "token_file", source })?;
    let metrics = Metrics::new()?;
    let foundation = tokio::select! {
        biased;
        // Nothing runs yet, so there is nothing to finish.
        () = signals.next() => return Ok(()),
        foundation = Foundation::lay(&config) => foundation?,
    };
    let (arch, accel, version) = (foundation.arch(), foundation.accel(), foundation.version());
    let (images, census) = (foundation.images().clone(), foundation.census().clone());
    let kernel = foundation.kernel().to_owned();
    let backend = foundation.into_backend();
    let hello = Hello {
        worker: config.name.clone().unwrap_or_else(host::name),
        arch,
        cpu: host::cpu(),
        vmm: backend.vmm().to_owned(),
        kernel,
        slots: config.slots,
        labels: config.labels.clone(),
        images: images.digests(),
    };
    tracing::info!(
        worker = hello.worker,
        slots = hello.slots,
        vmm = hello.vmm,
        version,
        kernel = hello.kernel,
        images = hello.images.len(),
        "worker starts"
    );
    let grace = config.grace.unwrap_or(accel.grace());
    let clock = ClockTerms { grace, reserve: DEADLINE_RESERVE };
    let terms = LinkTerms { lb, token, hello, jobs: JobTerms { images, arch, clock } };
    let (pool, handle) = driver::pool(pool_terms(config.slots), backend, metrics.clone());
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    if let Some(at) = config.metrics {
        let serve = metrics::serve(at, metrics.clone(), census, stop.clone());
        tasks.spawn(async move { serve.await.map(|()| Part::Metrics).map_err(Into::into) });
    }
    let link = Link::new(terms, handle.clone(), metrics, drain.clone());
    tasks.spawn(async move {
        link.run().await;
        Ok(Part::Link)
    });
    let stopped = stop.clone();
    tasks.spawn(async move { Ok(pool.run(stopped).await.map(|()| Part::Pool)?) });
    let ended = supervise(&mut tasks, &mut signals, &drain, &handle, config.drain).await;
    stop.cancel();
    // Dropped tasks drop their VMs, and dropped VMs are dead ones.
    tasks.shutdown().await;
    ended
}

/// A part of the worker that ended.
#[derive(Debug)]
enum Part {
    Link,
    Pool,
    Metrics,
}

async fn supervise(
    tasks: &mut JoinSet<Result<Part, WorkerError>>,
    signals: &mut Signals,
    drain: &CancellationToken,
    pool: &driver::PoolHandle,
    within: Duration,
) -> Result<(), WorkerError> {
    let mut deadline = std::pin::pin!(deadline(drain, within));
    let (mut link_ended, mut pool_ended) = (false, false);
    while !(link_ended && pool_ended) {
        tokio::select! {
            biased;
            // Told to end: first in good order, then at once.
            () = signals.next() => {
                if drain.is_cancelled() {
                    return Err(WorkerError::Forced);
                }
                tracing::info!(within_ms = within.as_millis(), "worker drains");
                drain.cancel();
                pool.drain();
            }
            // One part ended: the link when the last result was sent, the pool when the last VM
            // is gone.
            Some(part) = tasks.join_next() => match part.map_err(PoolError::Task)?? {
                Part::Link => link_ended = true,
                Part::Pool => pool_ended = true,
                Part::Metrics => {}
            },
            // What still runs had its time.
            () = &mut deadline => {
                tracing::warn!("drain took too long; what runs is killed");
                return Ok(());
            }
        }
    }
    tracing::info!("worker drained");
    Ok(())
}

/// Resolves `within` after draining began.
async fn deadline(drain: &CancellationToken, within: Duration) {
    drain.cancelled().await;
    sleep(within).await;
}

fn pool_terms(slots: u32) -> PoolTerms {
    PoolTerms {
        slots,
        starting_max: STARTING_MAX,
        restores_max: RESTORES_MAX,
        backoff_min: START_BACKOFF_MIN,
        backoff_max: START_BACKOFF_MAX,
    }
}
