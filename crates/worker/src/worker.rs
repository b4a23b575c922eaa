//! The worker put together, run, and taken down.
//!
//! One order of going down: stop offering, finish what runs, deadline, kill. The first signal
//! begins it; the second skips to its end. Whatever way the process ends, its VMMs end with it.

use std::path::PathBuf;
use std::sync::Arc;

use pe_proto::link::Hello;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::canary::Canary;
use crate::config::Config;
use crate::core::budget::{self, TooSmall};
use crate::core::clock::ClockTerms;
use crate::core::pool::PoolTerms;
use crate::drain::{Drain, Part};
use crate::driver::{self, Inputs, PoolError};
use crate::fetch::{Cellar, Desk, FetchTerms, Fetcher};
use crate::host;
use crate::images::ImagesError;
use crate::job::JobTerms;
use crate::library::Library;
use crate::limits::{DEADLINE_RESERVE, SETTLE_DOWN};
use crate::link::{LbAddress, Link, LinkTerms, Token};
use crate::memory::{self, Rooms};
use crate::metrics::{self, Metrics, MetricsError};
use crate::signals::Signals;
use crate::verify::verify;
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
    /// Too many VMs for the memory there is.
    #[error(transparent)]
    Memory(#[from] TooSmall),
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
    let tls = config.lb_tls.clone();
    if lb.is_tls {
        tls.check().map_err(|source| WorkerError::Host { what: "TLS to the lb", source })?;
    }
    let metrics = Metrics::new()?;
    // Both before anything is made of them.
    let budget_mib = config.memory_budget_mib.unwrap_or_else(memory::available_mib);
    let inputs =
        Inputs::of(["vmlinuz", "initramfs.cpio"].map(|name| config.vm_assets.join(name)).to_vec());
    // Nobody else writes there while guests are looked after.
    let cellar = config.fetch.is_some().then(|| Cellar::open(&config.images)).transpose();
    let cellar = cellar.map_err(|source| WorkerError::Host { what: "images_cache", source })?;
    let foundation = tokio::select! {
        biased;
        // Nothing runs yet, so there is nothing to finish.
        () = signals.end() => return Ok(()),
        foundation = Foundation::lay(&config) => foundation?,
    };
    let (arch, accel, version) = (foundation.arch(), foundation.accel(), foundation.version());
    let (images, census) = (Arc::clone(foundation.images()), foundation.census().clone());
    let library = Library::new(images.as_ref().clone());
    let (jail, kernel) = (foundation.jail().clone(), foundation.kernel().to_owned());
    let backend = foundation.into_backend();
    let memory_mib = config.memory_mib.unwrap_or(accel.memory_mib());
    let needs = budget::Needs { slots: config.slots, standby: config.standby, memory_mib };
    let plan = needs.within(budget_mib)?;
    if !plan.fits_all(config.slots) {
        tracing::warn!(budget_mib, "memory is too small for jobs in all slots at the same time");
    }
    let hello = Hello {
        worker: config.name.clone().unwrap_or_else(host::name),
        arch,
        cpu: host::cpu(),
        vmm: backend.vmm().to_owned(),
        kernel,
        slots: config.slots,
        labels: config.labels.clone(),
        images: images.digests(),
        deployment: config.deployment.clone(),
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
    let jobs = Arc::new(JobTerms { images: library.clone(), arch, clock });
    let rooms = Rooms::new(plan, metrics.clone());
    let canary = Canary::new(Arc::clone(&jobs));
    let desk = config.fetch.as_ref().map(|_| Desk::default());
    let terms = LinkTerms { lb, tls, token, hello, jobs, rooms, desk: desk.clone() };
    let pool_terms = PoolTerms::of(config.slots, config.standby);
    let (pool, handle) = driver::pool(pool_terms, backend, metrics.clone());
    let pool = pool.trying(Arc::new(canary)).watching(inputs);
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    if let Some(at) = config.metrics {
        let serve = metrics::serve(at, metrics.clone(), census, stop.clone());
        tasks.spawn(async move { serve.await.map(|()| Part::Metrics).map_err(Into::into) });
    }
    if let (Some(cellar), Some(desk), Some(fetch)) = (cellar, desk, &config.fetch) {
        let pinned = config.coldplug.iter().flatten().filter_map(|name| {
            let image = images.named(name)?;
            images.pack(image).map(|pack| pack.hold())
        });
        let for_all = jail.other_users();
        let terms = FetchTerms { config: fetch.clone(), arch, for_all, pinned: pinned.collect() };
        let (library, metrics) = (library.clone(), metrics.clone());
        let fetcher = Fetcher::new(terms, Arc::new(cellar), library, handle.clone(), desk, metrics);
        let fetcher =
            fetcher.map_err(|source| WorkerError::Host { what: "images_cache", source })?;
        let ended = drain.clone();
        tasks.spawn(async move {
            fetcher.run(ended).await;
            Ok(Part::Packs)
        });
    }
    let verify = verify(library, handle.clone(), metrics.clone(), stop.clone());
    tasks.spawn(async move {
        verify.await;
        Ok(Part::Packs)
    });
    let link = Link::new(terms, handle.clone(), metrics, drain.clone());
    tasks.spawn(async move {
        link.run().await;
        Ok(Part::Link)
    });
    let stopped = stop.clone();
    tasks.spawn(async move { Ok(pool.run(stopped).await.map(|()| Part::Pool)?) });
    let drain = Drain { token: drain, pool: handle, within: config.drain };
    let ended = drain.supervise(&mut tasks, async || signals.next().await).await;
    stop.cancel();
    // Dropped tasks drop their VMs, and dropped VMs are dead ones.
    tasks.shutdown().await;
    drop(drain);
    // Dead ones are reaped elsewhere; with the last of them goes what they had.
    let _ = tokio::task::spawn_blocking(move || jail.settle(SETTLE_DOWN)).await;
    ended
}
