//! The worker put together, run, and taken down.
//!
//! One order of going down: stop offering, finish what runs, deadline, kill. The first signal
//! begins it; the second skips to its end. Whatever way the process ends, its VMMs end with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pe_proto::Arch;
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
use crate::host;
use crate::images::{Images, ImagesError, Pack};
use crate::jail::{Jail, Needs};
use crate::job::JobTerms;
use crate::limits::{COLDPLUG_MAX, DEADLINE_RESERVE, MEMORY_MIB_KVM, MEMORY_MIB_TCG, SETTLE_DOWN};
use crate::link::{LbAddress, Link, LinkTerms, Token};
use crate::memory::{self, Rooms};
use crate::metrics::{self, Metrics, MetricsError};
use crate::probe::{self, Circumstances, Memory};
use crate::signals::Signals;
use crate::verify::verify;
use crate::vm::process::{Census, Spawner};
use crate::vm::qemu::{Accel, Assets, Launcher, LauncherTerms, Qemu, Zygote};
use crate::vm::{Backend, StartError};

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
    /// The accelerator asked for does not run a guest.
    #[error("kvm was asked for and does not run a guest")]
    Kvm(#[source] StartError),
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

/// Everything below the link: images, a VMM that works, a zygote.
#[derive(Debug)]
pub struct Foundation {
    pub(crate) arch: Arch,
    pub(crate) images: Arc<Images>,
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) accel: Accel,
    pub(crate) zygote: Option<Zygote>,
    pub(crate) zygote_took: Duration,
    pub(crate) census: Census,
    pub(crate) jail: Jail,
    pub(crate) kernel: String,
    pub(crate) qemu: String,
}

impl Foundation {
    /// Opens what is to be opened, finds out what executes guests, and saves a zygote.
    ///
    /// # Errors
    /// Something that cannot be done without.
    pub async fn lay(config: &Config) -> Result<Self, WorkerError> {
        host::raise_descriptor_limit();
        let arch = Arch::of_this_host().ok_or(WorkerError::Arch)?;
        let use_ = |what| move |source| WorkerError::Host { what, source };
        let jail = Jail::prepare(config).map_err(use_("what confines vmms"))?;
        let images = Arc::new(Images::open(&config.images, arch, jail.other_users())?);
        if images.packs().is_empty() {
            return Err(WorkerError::NoImages(config.images.clone()));
        }
        let program =
            host::qemu(arch, config.qemu.as_deref()).map_err(use_("qemu"))?.into_os_string();
        let qemu = host::version(&program).map_err(use_("qemu"))?;
        let kernel = host::kernel_release(&config.vm_assets.join("vmlinuz"))
            .map_err(use_("the guests' kernel"))?;
        let census = Census::default();
        let (coldplug, hotplug_bytes) = coldplug(config, &images);
        let launcher = |accel: Accel| -> Result<Arc<Launcher>, WorkerError> {
            let terms = LauncherTerms {
                qemu: program.clone(),
                memory_mib: config.memory_mib.unwrap_or(memory_mib(accel)),
                jail: jail.clone(),
                coldplug: coldplug.clone(),
                hotplug_bytes,
            };
            let needs = Needs {
                program: program.clone().into(),
                dirs: vec![config.images.clone(), config.vm_assets.clone()],
                kvm: accel == Accel::Kvm,
                userfaultfd: false,
            };
            let spawner =
                Spawner::start(census.clone(), &jail, &needs).map_err(use_("the jail"))?;
            let assets = Assets::open(&config.vm_assets).map_err(use_("vm_assets"))?;
            Ok(Arc::new(Launcher::new(spawner, assets, terms)))
        };
        let boot = host::boot_id();
        let here = Circumstances { arch, qemu: qemu.clone(), kernel: kernel.clone(), boot };
        let memory = config.state_dir.as_deref().map(Memory::in_dir);
        let known = probe::hint(config.accel, &here)
            .or_else(|| memory.as_ref().and_then(|memory| memory.recall(&here)));
        let began = tokio::time::Instant::now();
        let (accel, launcher, zygote) = match known {
            Some(accel) => {
                let launcher = launcher(accel)?;
                let zygote = Zygote::build(&launcher, accel).await;
                if config.accel == crate::config::AccelChoice::Kvm {
                    (accel, launcher, Some(zygote.map_err(WorkerError::Kvm)?))
                } else {
                    (accel, launcher, or_boot(zygote))
                }
            }
            None => {
                let kvm = launcher(Accel::Kvm)?;
                let decided = match probe::try_kvm(&kvm).await {
                    Ok(zygote) => (Accel::Kvm, kvm, Some(zygote)),
                    Err(_) => {
                        let tcg = launcher(Accel::Tcg)?;
                        let zygote = or_boot(Zygote::build(&tcg, Accel::Tcg).await);
                        (Accel::Tcg, tcg, zygote)
                    }
                };
                if let Some(memory) = &memory {
                    memory.keep(decided.0, &here);
                }
                decided
            }
        };
        let zygote_took = began.elapsed();
        jail.report().log();
        Ok(Self { arch, images, launcher, accel, zygote, zygote_took, census, jail, kernel, qemu })
    }

    /// What can be run.
    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }

    /// The VMMs alive now.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// Whether VMs are restored, not booted.
    pub fn has_zygote(&self) -> bool {
        self.zygote.is_some()
    }

    /// Whether every instruction of a guest is emulated.
    pub fn is_emulated(&self) -> bool {
        self.accel == Accel::Tcg
    }

    /// What makes VMs.
    pub fn into_backend(self) -> Qemu {
        Qemu::new(self.launcher, self.accel, self.zygote)
    }
}

fn memory_mib(accel: Accel) -> u64 {
    match accel {
        Accel::Kvm => MEMORY_MIB_KVM,
        Accel::Tcg => MEMORY_MIB_TCG,
    }
}

/// Without a zygote VMs are booted: slower, and nothing is lost.
fn or_boot(zygote: Result<Zygote, StartError>) -> Option<Zygote> {
    zygote
        .inspect_err(|error| {
            let error = crate::chain(error);
            tracing::error!(error, "no zygote; vms are booted instead");
        })
        .ok()
}

/// The packs of every VM, and the longest of the others.
fn coldplug(config: &Config, images: &Images) -> (Vec<Arc<Pack>>, u64) {
    let named = config.coldplug.as_ref().map(|names| {
        let mut packs: Vec<Arc<Pack>> = Vec::new();
        for name in names {
            match images.named(name).and_then(|digest| images.pack(digest)) {
                Some(pack) if packs.iter().any(|known| known.digest() == pack.digest()) => {}
                Some(pack) => packs.push(Arc::clone(pack)),
                None => tracing::warn!(image = name, "coldplug names an image that is not here"),
            }
        }
        packs
    });
    let cold = named.unwrap_or_else(|| images.packs().iter().take(COLDPLUG_MAX).cloned().collect());
    let is_cold = |pack: &Arc<Pack>| cold.iter().any(|known| known.digest() == pack.digest());
    let others = images.packs().iter().filter(|pack| !is_cold(pack));
    let hotplug_bytes = others.map(|pack| pack.bytes()).max().unwrap_or(0);
    (cold, hotplug_bytes)
}

/// Serves until `signals` say otherwise: one for a drain, a second for an end.
///
/// # Errors
/// It cannot serve, or was told twice to end.
pub async fn serve(config: Config, lb: LbAddress, mut signals: Signals) -> Result<(), WorkerError> {
    let token = config.token_file.as_deref().map(Token::read).transpose();
    let token = token.map_err(|source| WorkerError::Host { what: "token_file", source })?;
    let metrics = Metrics::new()?;
    // Both before anything is made of them.
    let budget_mib = config.memory_budget_mib.unwrap_or_else(memory::available_mib);
    let inputs =
        Inputs::of(["vmlinuz", "initramfs.cpio"].map(|name| config.vm_assets.join(name)).to_vec());
    let foundation = tokio::select! {
        biased;
        // Nothing runs yet, so there is nothing to finish.
        () = signals.end() => return Ok(()),
        foundation = Foundation::lay(&config) => foundation?,
    };
    let Foundation { arch, images, launcher, accel, zygote, census, jail, kernel, qemu, .. } =
        foundation;
    let memory_mib = config.memory_mib.unwrap_or(memory_mib(accel));
    let needs = budget::Needs { slots: config.slots, standby: config.standby, memory_mib };
    let plan = needs.within(budget_mib)?;
    if !plan.fits_all(config.slots) {
        tracing::warn!(budget_mib, "memory is too small for jobs in all slots at the same time");
    }
    let backend: Arc<dyn Backend> = Arc::new(Qemu::new(launcher, accel, zygote));
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
        qemu,
        kernel = hello.kernel,
        images = hello.images.len(),
        "worker starts"
    );
    let grace = config.grace.unwrap_or(accel.grace());
    let clock = ClockTerms { grace, reserve: DEADLINE_RESERVE };
    let packs = Arc::clone(&images);
    let jobs = Arc::new(JobTerms { images, arch, clock });
    let rooms = Rooms::new(plan, metrics.clone());
    let canary = Canary::new(Arc::clone(&jobs));
    let terms = LinkTerms { lb, token, hello, jobs, rooms };
    let pool_terms = PoolTerms::of(config.slots, config.standby);
    let (pool, handle) = driver::pool(pool_terms, backend, metrics.clone());
    let pool = pool.trying(Arc::new(canary)).watching(inputs);
    let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    if let Some(at) = config.metrics {
        let serve = metrics::serve(at, metrics.clone(), census, stop.clone());
        tasks.spawn(async move { serve.await.map(|()| Part::Metrics).map_err(Into::into) });
    }
    let verify = verify(packs, handle.clone(), metrics.clone(), stop.clone());
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
