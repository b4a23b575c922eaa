//! Everything below the link: images, a VMM that works, a zygote.

use std::sync::Arc;
use std::time::Duration;

use pe_proto::Arch;
use tokio::time::Instant;

use crate::config::{Config, RestoreChoice};
use crate::fetch::FetchConfig;
use crate::host;
use crate::images::{Images, Pack};
use crate::jail::{Jail, Needs};
use crate::limits::COLDPLUG_MAX;
use crate::probe::{self, Candidate, Circumstances, Memory};
use crate::vm::accel::Accel;
use crate::vm::launch::LauncherTerms;
use crate::vm::process::{Census, Spawner};
use crate::vm::{Backend, StartError, ch, qemu};
use crate::worker::WorkerError;

/// Everything below the link: images, a VMM that works, a zygote.
#[derive(Debug)]
pub struct Foundation {
    site: Site,
    programs: Programs,
    candidate: Candidate,
    backend: Arc<dyn Backend>,
    trials: Vec<Trial>,
}

/// A way to run guests that was tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Which.
    pub candidate: Candidate,
    /// From the start of its VMM to a saved guest, or to giving up.
    pub took: Duration,
    /// Why it does not run guests here; `None` if it does.
    pub failure: Option<String>,
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
        let is_kept = config.images.join("catalogue.json").exists();
        let images = if config.fetch.is_some() && !is_kept {
            // They will come.
            Images::default()
        } else {
            Images::open(&config.images, arch, jail.other_users())?
        };
        if images.packs().is_empty() && config.fetch.is_none() {
            return Err(WorkerError::NoImages(config.images.clone()));
        }
        let images = Arc::new(images);
        let kernel = host::kernel_release(&config.vm_assets.join("vmlinuz"))
            .map_err(use_("the guests' kernel"))?;
        let programs = Programs::find(config, arch);
        let config = config.clone();
        let site = Site { config, arch, jail, images, census: Census::default(), kernel };
        site.build(programs).await
    }

    /// Architecture of host and guests.
    pub fn arch(&self) -> Arch {
        self.site.arch
    }

    /// Release of the guests' kernel.
    pub fn kernel(&self) -> &str {
        &self.site.kernel
    }

    /// What the VMM says to `--version`.
    pub fn version(&self) -> String {
        self.programs.version(self.candidate)
    }

    /// What executes guests.
    pub fn accel(&self) -> Accel {
        self.candidate.accel()
    }

    /// Whether every instruction of a guest is emulated.
    pub fn is_emulated(&self) -> bool {
        self.accel() == Accel::Tcg
    }

    /// What can be run.
    pub fn images(&self) -> &Arc<Images> {
        &self.site.images
    }

    /// The VMMs alive now.
    pub fn census(&self) -> &Census {
        &self.site.census
    }

    /// What confines VMMs.
    pub fn jail(&self) -> &Jail {
        &self.site.jail
    }

    /// Whether VMs are restored, not booted.
    pub fn has_zygote(&self) -> bool {
        self.backend.has_zygote()
    }

    /// What was tried, in order; the last is what is used.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// What makes VMs.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// What makes VMs, and nothing else.
    pub fn into_backend(self) -> Arc<dyn Backend> {
        self.backend
    }

    /// Whether the VMM can restore so.
    pub(crate) fn can(&self, restore: RestoreChoice) -> bool {
        match (self.candidate, &self.programs.cloud_hypervisor) {
            (Candidate::CloudHypervisor, Ok(program)) => ch::can(program.version, restore),
            (Candidate::CloudHypervisor, Err(_)) => false,
            (Candidate::Qemu(_), _) => qemu::can(restore),
        }
    }

    /// VMs of the same VMM made another way, for a comparison.
    pub(crate) async fn vary(
        &self,
        restore: RestoreChoice,
        coldplug: Option<Vec<String>>,
    ) -> Result<Box<dyn Backend>, StartError> {
        let config = Config { restore, coldplug, ..self.site.config.clone() };
        let site = Site { config, ..self.site.clone() };
        site.try_out(&self.programs, self.candidate).await
    }
}

/// What is there before anything was booted.
#[derive(Debug, Clone)]
struct Site {
    config: Config,
    arch: Arch,
    jail: Jail,
    images: Arc<Images>,
    census: Census,
    kernel: String,
}

/// The VMMs of this host, or why there is none: an error only if it is the one that is needed.
#[derive(Debug)]
struct Programs {
    cloud_hypervisor: Result<ch::Program, ch::NoProgram>,
    qemu: std::io::Result<(std::path::PathBuf, String)>,
}

impl Programs {
    fn find(config: &Config, arch: Arch) -> Self {
        let qemu = || {
            let path = host::qemu(arch, config.qemu.as_deref())?.canonicalize()?;
            let version = host::version(path.as_os_str())?;
            Ok((path, version))
        };
        let cloud_hypervisor = ch::Program::find(config.cloud_hypervisor.as_deref());
        Self { cloud_hypervisor, qemu: qemu() }
    }

    fn versions(&self) -> String {
        let ch = self.cloud_hypervisor.as_ref().map_or("", |program| program.said.as_str());
        let qemu = self.qemu.as_ref().map_or("", |(_, version)| version.as_str());
        format!("{ch}; {qemu}")
    }

    fn version(&self, candidate: Candidate) -> String {
        let known = match candidate {
            Candidate::CloudHypervisor => {
                self.cloud_hypervisor.as_ref().ok().map(|program| program.said.clone())
            }
            Candidate::Qemu(_) => self.qemu.as_ref().ok().map(|(_, version)| version.clone()),
        };
        known.unwrap_or_default()
    }
}

impl Site {
    async fn build(self, programs: Programs) -> Result<Foundation, WorkerError> {
        let config = &self.config;
        let here = Circumstances {
            arch: self.arch,
            vmms: programs.versions(),
            kernel: self.kernel.clone(),
            boot: host::boot_id(),
        };
        let memory = config.state_dir.as_deref().map(Memory::in_dir);
        let remembered = memory.as_ref().and_then(|memory| memory.recall(&here));
        let no_kvm = probe::no_kvm(self.arch);
        let mut left = probe::candidates(config.vmm, config.accel, no_kvm, remembered).into_iter();
        let (mut trials, mut failure) = (Vec::new(), None);
        while let Some(candidate) = left.next() {
            let began = Instant::now();
            let tried = self.try_out(&programs, candidate).await;
            let took = began.elapsed();
            match tried {
                Ok(backend) => {
                    if let Some(memory) =
                        memory.as_ref().filter(|_| left.len() > 0 || !trials.is_empty())
                    {
                        memory.keep(candidate, &here);
                    }
                    trials.push(Trial { candidate, took, failure: None });
                    return Ok(self.finish(backend, candidate, programs, trials));
                }
                Err(error) => {
                    let reason = crate::chain(&error);
                    let vmm = candidate.as_str();
                    tracing::warn!(vmm, reason, took_ms = took.as_millis(), "does not run guests");
                    trials.push(Trial { candidate, took, failure: Some(reason) });
                    failure = Some((candidate, error));
                }
            }
        }
        let Some((candidate, error)) = failure else {
            return Err(WorkerError::Arch);
        };
        // Emulation needs nothing of the host; what keeps it from working now may pass.
        if candidate == Candidate::Qemu(Accel::Tcg) && programs.qemu.is_ok() {
            let terms = self.terms(&programs, candidate).map_err(WorkerError::Start)?;
            let backend = qemu::untried(terms, Accel::Tcg).map_err(WorkerError::Start)?;
            tracing::error!("no zygote; vms are booted instead");
            return Ok(self.finish(backend, candidate, programs, trials));
        }
        Err(WorkerError::Vmm { vmm: candidate.as_str(), source: error })
    }

    fn finish(
        self,
        backend: Box<dyn Backend>,
        candidate: Candidate,
        programs: Programs,
        trials: Vec<Trial>,
    ) -> Foundation {
        self.jail.report().log();
        Foundation { site: self, programs, candidate, backend: backend.into(), trials }
    }

    async fn try_out(
        &self,
        programs: &Programs,
        candidate: Candidate,
    ) -> Result<Box<dyn Backend>, StartError> {
        let restore = self.config.restore;
        let terms = self.terms(programs, candidate)?;
        match (candidate, &programs.cloud_hypervisor) {
            (Candidate::CloudHypervisor, Ok(program)) => {
                ch::try_out(terms, program.version, restore).await
            }
            (Candidate::CloudHypervisor, Err(none)) => {
                Err(StartError::Unsupported(crate::chain(none)))
            }
            (Candidate::Qemu(accel), _) => qemu::try_out(terms, accel, restore).await,
        }
    }

    /// What the VMs of a candidate are made with.
    fn terms(
        &self,
        programs: &Programs,
        candidate: Candidate,
    ) -> Result<LauncherTerms, StartError> {
        let config = &self.config;
        let program = match candidate {
            Candidate::CloudHypervisor => programs.cloud_hypervisor.as_ref().map(|it| &it.path),
            Candidate::Qemu(_) => Ok(match &programs.qemu {
                Ok((path, _)) => path,
                Err(none) => return Err(StartError::Unsupported(none.to_string())),
            }),
        };
        let program = program.map_err(|none| StartError::Unsupported(crate::chain(none)))?;
        let host = |what| move |source| StartError::Host { what, source };
        let canonical =
            |dir: &std::path::Path| dir.canonicalize().map_err(host("find a directory"));
        // Packs may be on another disk than the catalogue.
        let dirs = [&config.images, &config.images.join("packs"), &config.vm_assets];
        // What will be fetched has its place made when the worker serves; the doctor makes none.
        let is_there = |dir: &&std::path::PathBuf| config.fetch.is_none() || dir.exists();
        let dirs = dirs.into_iter().filter(is_there);
        let dirs: Result<Vec<_>, StartError> = dirs.map(|dir| canonical(dir)).collect();
        let needs = Needs {
            program: program.clone(),
            dirs: dirs?,
            kvm: candidate.accel() == Accel::Kvm,
            userfaultfd: candidate == Candidate::CloudHypervisor,
        };
        let spawner = Spawner::start(self.census.clone(), &self.jail, &needs);
        let (coldplug, hotplug_bytes) = coldplug(config, &self.images);
        Ok(LauncherTerms {
            program: program.clone().into_os_string(),
            assets: config.vm_assets.clone(),
            memory_mib: config.memory_mib.unwrap_or(candidate.accel().memory_mib()),
            boot_within: config.boot.unwrap_or(candidate.accel().boot_within()),
            patience: config.boot.unwrap_or_default(),
            jail: self.jail.clone(),
            spawner: spawner.map_err(host("enter the jail"))?,
            coldplug,
            hotplug_bytes,
        })
    }
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
    // What is in every VM cannot make room for anything else.
    let count = if config.fetch.is_some() { 0 } else { COLDPLUG_MAX };
    let cold = named.unwrap_or_else(|| images.packs().iter().take(count).cloned().collect());
    let is_cold = |pack: &Arc<Pack>| cold.iter().any(|known| known.digest() == pack.digest());
    let others = images.packs().iter().filter(|pack| !is_cold(pack));
    let longest = others.map(|pack| pack.bytes()).max().unwrap_or(0);
    let may_come = config.fetch.as_ref().map_or(0, FetchConfig::pack_bytes_max);
    let hotplug_bytes = longest.max(may_come);
    (cold, hotplug_bytes)
}
