//! Settings: a TOML file and flags, merged, then checked whole before anything is done.
//!
//! [`RawConfig`] is what people write, [`Config`] what the worker runs on. Nothing is read from
//! the environment.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::core::pool::slots_of;
use crate::fetch::{FetchConfig, PacksUrl};
use crate::jail::UidRange;
use crate::limits::{
    COLDPLUG_MAX, CONFIG_FILE_BYTES_MAX, DISK_BUDGET_MIB, DISK_BUDGET_MIB_MAX, DRAIN,
    MEMORY_MIB_MAX, MEMORY_MIB_MIN, SLOTS_MAX,
};
use crate::link::{LbAddress, LinkTls};
use pe_proto::limits::LABEL_BYTES_MAX;

/// Which accelerator to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AccelChoice {
    /// KVM if a guest boots with it, else emulation.
    #[default]
    Auto,
    /// KVM, or fail.
    Kvm,
    /// Emulation.
    Tcg,
}

/// Whether VMs are bound to cores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PinChoice {
    /// Each VM to a physical core of its own, if there are enough.
    #[default]
    Auto,
    /// No.
    Off,
}

/// Which VMM to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum VmmChoice {
    /// cloud-hypervisor if it is there and boots a guest, else QEMU.
    #[default]
    Auto,
    /// cloud-hypervisor, or fail.
    CloudHypervisor,
    /// QEMU.
    Qemu,
}

/// How VMs are restored from the zygote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RestoreChoice {
    /// The best that the VMM can do.
    #[default]
    Auto,
    /// Memory is mapped, and shared with the zygote until it is written to. QEMU has only this.
    Private,
    /// cloud-hypervisor copies memory where the guest touches it (needs userfaultfd).
    Ondemand,
    /// cloud-hypervisor copies all memory first.
    Copy,
    /// Not at all: every VM is booted.
    Boot,
}

/// A risk that a public worker refuses to run with, unless it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Equal pages of different guests are merged.
    Ksm,
    /// Guests' memory may be written to a disk.
    Swap,
    /// Guests share physical cores.
    Smt,
}

impl Risk {
    /// As written in a config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ksm => "ksm",
            Self::Swap => "swap",
            Self::Smt => "smt",
        }
    }
}

/// Settings as written; everything may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawConfig {
    /// Where the LB listens for workers, `http://host:port`.
    pub lb: Option<String>,
    /// Authorities that may vouch for the load balancer, as PEM.
    pub lb_ca: Option<PathBuf>,
    /// Certificate that is shown to it, as PEM.
    pub lb_certificate: Option<PathBuf>,
    /// Key of that certificate.
    pub lb_key: Option<PathBuf>,
    /// Directory of the catalogue and the packs.
    pub images: Option<PathBuf>,
    /// Directory that packs are fetched into, instead of that.
    pub images_cache: Option<PathBuf>,
    /// Disk that fetched packs may take.
    pub disk_budget_mib: Option<u64>,
    /// Web server that has the packs, instead of the load balancer.
    pub packs_url: Option<String>,
    /// Directory of kernel and initramfs.
    pub vm_assets: Option<PathBuf>,
    /// Name shown in results.
    pub name: Option<String>,
    /// VMs at a time.
    pub slots: Option<u32>,
    /// Cores left alone when `slots` is not set.
    pub spare_cores: Option<u32>,
    /// VMs kept ready beyond `slots`.
    pub standby: Option<u32>,
    /// Memory for all VMs, io files and results that wait.
    pub memory_budget_mib: Option<u64>,
    /// Guest memory.
    pub memory_mib: Option<u64>,
    /// File with the token.
    pub token_file: Option<PathBuf>,
    /// The deployment it works for, where there are several.
    pub deployment: Option<String>,
    /// What executes guests.
    pub accel: Option<AccelChoice>,
    /// Which VMM to use.
    pub vmm: Option<VmmChoice>,
    /// cloud-hypervisor's program.
    pub cloud_hypervisor: Option<PathBuf>,
    /// How VMs are restored.
    pub restore: Option<RestoreChoice>,
    /// QEMU's program.
    pub qemu: Option<PathBuf>,
    /// Metrics listener.
    pub metrics: Option<SocketAddr>,
    /// Where verdicts are remembered.
    pub state_dir: Option<PathBuf>,
    /// Labels told to the LB.
    pub labels: Option<BTreeMap<String, String>>,
    /// Images that are in every VM from the start; the first of the catalogue if absent.
    pub coldplug: Option<Vec<String>>,
    /// User (and its group) that VMMs run as when the worker is root.
    pub vm_user: Option<String>,
    /// Users that VMMs run as when the worker is root, each one of its own: `first-last`.
    pub vm_uids: Option<String>,
    /// Whether VMs are bound to cores.
    pub pin: Option<PinChoice>,
    /// Where the worker keeps its lock and saved guests while it runs.
    pub runtime_dir: Option<PathBuf>,
    /// Whether to refuse to start where VMMs cannot be fully confined.
    pub require_isolation: Option<bool>,
    /// How long a guest may take to boot.
    pub boot_ms: Option<u64>,
    /// Strangers' jobs run here: refuse to start on a host that is not fit for them.
    pub public: Option<bool>,
    /// Risks that a public worker runs with all the same.
    pub accept: Option<Vec<Risk>>,
    /// What a guest may take beyond a job's wall clock.
    pub grace_ms: Option<u64>,
    /// How long jobs in flight may take to end once draining.
    pub drain_ms: Option<u64>,
}

/// Why there is no config. Exit status 64.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config file {}: cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a setting that does not exist.
    #[error("config file {}: {reason}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A setting that is missing or wrong.
    #[error("{key}: {reason}{}", in_file(file.as_deref()))]
    Value {
        /// Config file, if there is one.
        file: Option<PathBuf>,
        /// Which setting.
        key: &'static str,
        /// What was expected.
        reason: String,
    },
}

fn in_file(file: Option<&Path>) -> String {
    file.map(|path| format!(" (config file {}, or the flag)", path.display())).unwrap_or_default()
}

/// Settings that were checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) lb: Option<LbAddress>,
    pub(crate) lb_tls: LinkTls,
    pub(crate) images: PathBuf,
    pub(crate) fetch: Option<FetchConfig>,
    pub(crate) vm_assets: PathBuf,
    pub(crate) name: Option<String>,
    pub(crate) slots: u32,
    pub(crate) standby: u32,
    pub(crate) memory_budget_mib: Option<u64>,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) deployment: String,
    pub(crate) accel: AccelChoice,
    pub(crate) vmm: VmmChoice,
    pub(crate) cloud_hypervisor: Option<PathBuf>,
    pub(crate) restore: RestoreChoice,
    pub(crate) qemu: Option<PathBuf>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) labels: Vec<String>,
    pub(crate) coldplug: Option<Vec<String>>,
    pub(crate) vm_user: String,
    pub(crate) vm_uids: Option<UidRange>,
    pub(crate) pin: PinChoice,
    pub(crate) runtime_dir: Option<PathBuf>,
    pub(crate) require_isolation: bool,
    pub(crate) boot: Option<Duration>,
    pub(crate) public: bool,
    pub(crate) accept: Vec<Risk>,
    pub(crate) grace: Option<Duration>,
    pub(crate) drain: Duration,
}

impl Config {
    /// Reads the file, if one is named, lays the flags over it, and checks all of it. `cores` is
    /// the number of cores of the host.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(file: Option<&Path>, flags: RawConfig, cores: u32) -> Result<Self, ConfigError> {
        let written = match file {
            Some(path) => read(path)?,
            None => RawConfig::default(),
        };
        flags.over(written).check(cores).map_err(|(key, reason)| ConfigError::Value {
            file: file.map(Path::to_owned),
            key,
            reason,
        })
    }

    /// Where the LB listens for workers. Only serving needs it.
    ///
    /// # Errors
    /// It is not set.
    pub fn lb(&self) -> Result<LbAddress, ConfigError> {
        self.lb.clone().ok_or_else(|| ConfigError::Value {
            file: None,
            key: "lb",
            reason: "expected http://host:port; it is not set".to_owned(),
        })
    }
}

fn read(path: &Path) -> Result<RawConfig, ConfigError> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CONFIG_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|bad| ConfigError::Parse {
        path: path.to_owned(),
        reason: bad.to_string().trim().replace('\n', " "),
    })
}

type Bad = (&'static str, String);

impl RawConfig {
    fn over(self, below: Self) -> Self {
        Self {
            lb: self.lb.or(below.lb),
            lb_ca: self.lb_ca.or(below.lb_ca),
            lb_certificate: self.lb_certificate.or(below.lb_certificate),
            lb_key: self.lb_key.or(below.lb_key),
            images: self.images.or(below.images),
            images_cache: self.images_cache.or(below.images_cache),
            disk_budget_mib: self.disk_budget_mib.or(below.disk_budget_mib),
            packs_url: self.packs_url.or(below.packs_url),
            vm_assets: self.vm_assets.or(below.vm_assets),
            name: self.name.or(below.name),
            slots: self.slots.or(below.slots),
            spare_cores: self.spare_cores.or(below.spare_cores),
            standby: self.standby.or(below.standby),
            memory_budget_mib: self.memory_budget_mib.or(below.memory_budget_mib),
            memory_mib: self.memory_mib.or(below.memory_mib),
            token_file: self.token_file.or(below.token_file),
            deployment: self.deployment.or(below.deployment),
            accel: self.accel.or(below.accel),
            vmm: self.vmm.or(below.vmm),
            cloud_hypervisor: self.cloud_hypervisor.or(below.cloud_hypervisor),
            restore: self.restore.or(below.restore),
            qemu: self.qemu.or(below.qemu),
            metrics: self.metrics.or(below.metrics),
            state_dir: self.state_dir.or(below.state_dir),
            labels: self.labels.or(below.labels),
            coldplug: self.coldplug.or(below.coldplug),
            vm_user: self.vm_user.or(below.vm_user),
            vm_uids: self.vm_uids.or(below.vm_uids),
            pin: self.pin.or(below.pin),
            runtime_dir: self.runtime_dir.or(below.runtime_dir),
            require_isolation: self.require_isolation.or(below.require_isolation),
            boot_ms: self.boot_ms.or(below.boot_ms),
            public: self.public.or(below.public),
            accept: self.accept.or(below.accept),
            grace_ms: self.grace_ms.or(below.grace_ms),
            drain_ms: self.drain_ms.or(below.drain_ms),
        }
    }

    fn check(self, cores: u32) -> Result<Config, Bad> {
        let lb = self.lb.map(|text| text.parse::<LbAddress>()).transpose();
        let shown = match (self.lb_certificate, self.lb_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(("lb_key", "expected the certificate's key".to_owned())),
            (None, Some(_)) => {
                return Err(("lb_certificate", "expected the key's certificate".to_owned()));
            }
        };
        let missing = |key, what: &str| (key, format!("expected {what}; it is not set"));
        let default_slots = slots_of(cores, self.spare_cores.unwrap_or(SPARE_CORES));
        let bounded = |key, value: u64, least: u64, most: u64| {
            let wrong = || (key, format!("expected a number from {least} to {most}, got {value}"));
            if (least..=most).contains(&value) { Ok(value) } else { Err(wrong()) }
        };
        let slots = self.slots.unwrap_or(default_slots.min(SLOTS_MAX));
        bounded("slots", u64::from(slots), 1, u64::from(SLOTS_MAX))?;
        let standby = self.standby.unwrap_or(STANDBY);
        bounded("standby", u64::from(standby), 0, u64::from(slots))?;
        if let Some(mib) = self.memory_budget_mib {
            bounded("memory_budget_mib", mib, MEMORY_MIB_MIN, u64::from(u32::MAX))?;
        }
        if let Some(mib) = self.memory_mib {
            bounded("memory_mib", mib, MEMORY_MIB_MIN, MEMORY_MIB_MAX)?;
        }
        let boot_ms = self.boot_ms.map(|ms| bounded("boot_ms", ms, 1, HOUR_MS)).transpose()?;
        let grace_ms = self.grace_ms.map(|ms| bounded("grace_ms", ms, 1, HOUR_MS)).transpose()?;
        let drain_ms = self.drain_ms.map(|ms| bounded("drain_ms", ms, 0, HOUR_MS)).transpose()?;
        let vm_uids = self.vm_uids.map(|text| text.parse::<UidRange>()).transpose();
        let vm_uids = vm_uids.map_err(|reason| ("vm_uids", reason.to_string()))?;
        let name_fits = |name: &String| !name.is_empty() && name.len() <= LABEL_BYTES_MAX;
        if self.name.as_ref().is_some_and(|name| !name_fits(name)) {
            return Err(("name", format!("expected 1 to {LABEL_BYTES_MAX} bytes")));
        }
        let deployment = self.deployment.unwrap_or_default();
        if deployment.len() > LABEL_BYTES_MAX {
            return Err(("deployment", format!("expected at most {LABEL_BYTES_MAX} bytes")));
        }
        if self.coldplug.as_ref().is_some_and(|names| names.len() > COLDPLUG_MAX) {
            return Err(("coldplug", format!("expected at most {COLDPLUG_MAX} images")));
        }
        let (images, fetch) =
            images(self.images, self.images_cache, self.disk_budget_mib, self.packs_url)?;
        let emulated = self.accel == Some(AccelChoice::Tcg);
        if emulated && self.vmm == Some(VmmChoice::CloudHypervisor) {
            return Err((
                "vmm",
                "cloud-hypervisor cannot emulate: it needs accel = kvm".to_owned(),
            ));
        }
        Ok(Config {
            lb: lb.map_err(|bad| ("lb", bad.to_string()))?,
            lb_tls: LinkTls { ca: self.lb_ca, shown },
            images,
            fetch,
            vm_assets: self.vm_assets.ok_or_else(|| missing("vm_assets", "a directory"))?,
            name: self.name,
            slots,
            standby,
            memory_budget_mib: self.memory_budget_mib,
            memory_mib: self.memory_mib,
            token_file: self.token_file,
            deployment,
            accel: self.accel.unwrap_or_default(),
            vmm: self.vmm.unwrap_or_default(),
            cloud_hypervisor: self.cloud_hypervisor,
            restore: self.restore.unwrap_or_default(),
            qemu: self.qemu,
            metrics: self.metrics,
            state_dir: self.state_dir,
            labels: check_labels(self.labels.unwrap_or_default())?,
            coldplug: self.coldplug,
            vm_user: self.vm_user.unwrap_or_else(|| VM_USER.to_owned()),
            vm_uids,
            pin: self.pin.unwrap_or_default(),
            runtime_dir: self.runtime_dir,
            require_isolation: self.require_isolation.unwrap_or(false),
            boot: boot_ms.map(Duration::from_millis),
            public: self.public.unwrap_or(false),
            accept: self.accept.unwrap_or_default(),
            grace: grace_ms.map(Duration::from_millis),
            drain: drain_ms.map_or(DRAIN, Duration::from_millis),
        })
    }
}

/// Where images are, and how they are fetched if they are.
fn images(
    images: Option<PathBuf>,
    cache: Option<PathBuf>,
    budget_mib: Option<u64>,
    packs_url: Option<String>,
) -> Result<(PathBuf, Option<FetchConfig>), Bad> {
    let needs_cache = |key| (key, "expected images_cache beside it".to_owned());
    match (images, cache) {
        (Some(_), Some(_)) => {
            let only_one = "expected either this or images, which is for packs that are there";
            Err(("images_cache", only_one.to_owned()))
        }
        (None, None) => {
            Err(("images", "expected a directory, or images_cache; it is not set".to_owned()))
        }
        (Some(_), None) if budget_mib.is_some() => Err(needs_cache("disk_budget_mib")),
        (Some(_), None) if packs_url.is_some() => Err(needs_cache("packs_url")),
        (Some(images), None) => Ok((images, None)),
        (None, Some(cache)) => {
            let mib = budget_mib.unwrap_or(DISK_BUDGET_MIB);
            if !(1..=DISK_BUDGET_MIB_MAX).contains(&mib) {
                let problem =
                    format!("expected a number from 1 to {DISK_BUDGET_MIB_MAX}, got {mib}");
                return Err(("disk_budget_mib", problem));
            }
            let packs_url = packs_url.map(|text| text.parse::<PacksUrl>()).transpose();
            let packs_url = packs_url.map_err(|bad| ("packs_url", bad.to_string()))?;
            Ok((cache, Some(FetchConfig { budget_bytes: mib << 20, packs_url })))
        }
    }
}

/// For the worker itself, the link and the host.
const SPARE_CORES: u32 = 1;

/// A VM on standby hides how long the next one takes to be restored, and costs the memory of a
/// whole VM for it. A restore takes as long as killing and checking do, so this pays only where
/// jobs are as short and the host has memory to spare (`docs/performance.md`).
const STANDBY: u32 = 0;

/// It owns nothing, on every distribution.
const VM_USER: &str = "nobody";

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Labels in one hello, as the protocol has it.
const LABELS_MAX: usize = 64;

fn check_labels(labels: BTreeMap<String, String>) -> Result<Vec<String>, Bad> {
    let labels: Vec<String> =
        labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let fits = |label: &String| !label.starts_with('=') && label.len() <= LABEL_BYTES_MAX;
    if labels.len() > LABELS_MAX || !labels.iter().all(fits) {
        let most = format!("expected at most {LABELS_MAX}, each at most {LABEL_BYTES_MAX} bytes");
        return Err(("labels", most));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests;
