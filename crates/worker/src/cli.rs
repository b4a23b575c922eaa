//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{AccelChoice, PinChoice, RawConfig, RestoreChoice, Risk, VmmChoice};

/// Runs jobs in throw-away virtual machines for a load balancer.
#[derive(Debug, Parser)]
#[command(name = "pe-worker", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do, if not to serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub flags: Flags,
}

impl Cli {
    /// Whether it is the doctor's report that is wanted, and not a log.
    pub fn is_doctor(&self) -> bool {
        matches!(self.command, Some(Command::Doctor(_)))
    }
}

const EXAMPLES: &str = "\
Examples:
  Serve the load balancer on this machine, with what `make` has built:
    pe-worker --lb http://127.0.0.1:8081 --images build/images --vm-assets build/vm/x86_64

  Serve as a config file says, but with two slots:
    pe-worker --config worker.toml --slots 2

  Serve a load balancer elsewhere with nothing but a token: images are fetched as they are needed:
    pe-worker --lb https://lb.example:8081 --token-file token --images-cache /var/lib/pe/images \
      --vm-assets build/vm/x86_64

  Measure how fast virtual machines become ready here:
    pe-worker bench --vms 20 --images build/images --vm-assets build/vm/x86_64

  Find out what this host lacks, and how to mend it:
    pe-worker doctor --config worker.toml

Signals: SIGTERM finishes what runs and exits; a second one, or SIGINT twice, exits at once.
SIGHUP makes a new zygote of what kernel and initramfs are now.
Exit status: 0 after a drain or a doctor without a fail, 64 for a bad config or flag, 1 for
anything else.";

/// Other things to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure boot against each kind of restore and print a table.
    Bench(BenchFlags),
    /// Fetch the packs of images into --images-cache, and end.
    Fetch(FetchFlags),
    /// Examine this host: every precondition, what was found, and the command that mends it.
    #[command(after_help = DOCTOR)]
    Doctor(DoctorFlags),
}

const DOCTOR: &str = "\
Boots a real guest, reads every pack and calls the load balancer, all without consequences.
docs/doctor.md explains each check.

Exit status: 0 if all pass or warn, 1 if one fails, 64 for a bad config or flag.";

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorFlags {
    /// Print JSON (docs/doctor.md) instead of text.
    #[arg(long)]
    pub json: bool,
    /// As for serving.
    #[command(flatten)]
    pub flags: Flags,
}

/// Flags of `fetch`.
#[derive(Debug, Args)]
pub struct FetchFlags {
    /// Names of images, as the catalogue has them.
    #[arg(value_name = "IMAGE", required = true)]
    pub names: Vec<String>,
    /// As for serving.
    #[command(flatten)]
    pub flags: Flags,
}

/// Flags of `bench`.
#[derive(Debug, Args)]
pub struct BenchFlags {
    /// Virtual machines to start, each way; the ways take turns.
    #[arg(long, default_value_t = 20)]
    pub vms: u32,
    /// Run `true` of this image in each machine, with its pack there from the start and plugged
    /// in for the job.
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// As for serving.
    #[command(flatten)]
    pub flags: Flags,
}

/// What a config file can say, too. A flag wins over the file.
#[derive(Debug, Args)]
pub struct Flags {
    /// TOML file with any of the settings below (names with `_` for `-`).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the load balancer listens for workers.
    #[arg(long, value_name = "http[s]://HOST:PORT")]
    pub lb: Option<String>,
    /// With https: PEM file of the authorities that may vouch for it [default: the system's].
    #[arg(long, value_name = "FILE")]
    pub lb_ca: Option<PathBuf>,
    /// With https: PEM file of the certificate that is shown to it.
    #[arg(long, value_name = "FILE")]
    pub lb_certificate: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[arg(long, value_name = "FILE")]
    pub lb_key: Option<PathBuf>,
    /// Directory with catalogue.json and packs/.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Directory to fetch packs into, from the load balancer; instead of --images.
    #[arg(long, value_name = "DIR")]
    pub images_cache: Option<PathBuf>,
    /// Disk that fetched packs may take [default: 10240].
    #[arg(long, value_name = "MIB")]
    pub disk_budget_mib: Option<u64>,
    /// Fetch packs from a web server that has them at URL/packs/SHA256.erofs.
    #[arg(long, value_name = "URL")]
    pub packs_url: Option<String>,
    /// Directory with the guests' kernel (vmlinuz) and initramfs.cpio.
    #[arg(long, value_name = "DIR")]
    pub vm_assets: Option<PathBuf>,
    /// Name shown in results [default: the host's].
    #[arg(long)]
    pub name: Option<String>,
    /// Virtual machines at a time [default: cores less one, at least one].
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,
    /// Virtual machines kept ready beyond those, so that the next job need not wait for one
    /// [default: 0].
    #[arg(long, value_name = "N")]
    pub standby: Option<u32>,
    /// Memory that all virtual machines, jobs and results may take together [default: what is
    /// available, less a reserve].
    #[arg(long, value_name = "MIB")]
    pub memory_budget_mib: Option<u64>,
    /// Memory of a virtual machine [default: 512 emulated, 1024 with KVM].
    #[arg(long, value_name = "MIB")]
    pub memory_mib: Option<u64>,
    /// File whose first line is the token that the load balancer wants.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Deployment to work for: a load balancer of another one is left [default: the unnamed one].
    #[arg(long, value_name = "NAME")]
    pub deployment: Option<String>,
    /// What executes guests. `auto` boots one to find out whether KVM works [default: auto].
    #[arg(long, value_enum)]
    pub accel: Option<AccelChoice>,
    /// Which virtual machine monitor to use. `auto` takes cloud-hypervisor if it boots one
    /// [default: auto].
    #[arg(long, value_enum)]
    pub vmm: Option<VmmChoice>,
    /// cloud-hypervisor's program, v50 or later [default: where it usually is].
    #[arg(long, value_name = "PATH")]
    pub cloud_hypervisor: Option<PathBuf>,
    /// How virtual machines are restored from the one that was saved [default: auto].
    #[arg(long, value_enum)]
    pub restore: Option<RestoreChoice>,
    /// How long a guest may take to boot [default: 8000 with KVM, 60000 emulated].
    #[arg(long, value_name = "MS")]
    pub boot_ms: Option<u64>,
    /// QEMU's program [default: the distribution's, for this architecture].
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
    /// Serve prometheus metrics here, at /metrics.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// Directory where the verdict about KVM is remembered until the next boot of the host.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Users that VMMs run as when the worker is root, each one of its own [default: a block of
    /// 2000000000 and up that no other worker of this host has].
    #[arg(long, value_name = "FIRST-LAST")]
    pub vm_uids: Option<String>,
    /// Bind each virtual machine to a physical core of its own, if there are enough
    /// [default: auto].
    #[arg(long, value_enum)]
    pub pin: Option<PinChoice>,
    /// Directory for this worker's lock and saved guests while it runs [default:
    /// /run/pe-worker].
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// Refuse to start where virtual machines cannot be fully confined.
    #[arg(long)]
    pub require_isolation: bool,
    /// Strangers' jobs run here: refuse to start if KSM or swap is on, or SMT without pinning.
    #[arg(long)]
    pub public: bool,
    /// Start a public worker with this risk all the same; may be repeated.
    #[arg(long, value_enum, value_name = "RISK")]
    pub accept: Vec<Risk>,
    /// How much to log: error, warn, info, debug or trace, or per-module directives [default:
    /// info; for doctor, nothing].
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Log JSON, one object a line.
    #[arg(long)]
    pub log_json: bool,
}

impl Flags {
    /// The settings among the flags.
    pub fn settings(&self) -> RawConfig {
        RawConfig {
            lb: self.lb.clone(),
            lb_ca: self.lb_ca.clone(),
            lb_certificate: self.lb_certificate.clone(),
            lb_key: self.lb_key.clone(),
            images: self.images.clone(),
            images_cache: self.images_cache.clone(),
            disk_budget_mib: self.disk_budget_mib,
            packs_url: self.packs_url.clone(),
            vm_assets: self.vm_assets.clone(),
            name: self.name.clone(),
            slots: self.slots,
            standby: self.standby,
            memory_budget_mib: self.memory_budget_mib,
            memory_mib: self.memory_mib,
            token_file: self.token_file.clone(),
            deployment: self.deployment.clone(),
            accel: self.accel,
            vmm: self.vmm,
            cloud_hypervisor: self.cloud_hypervisor.clone(),
            restore: self.restore,
            boot_ms: self.boot_ms,
            qemu: self.qemu.clone(),
            metrics: self.metrics,
            state_dir: self.state_dir.clone(),
            vm_uids: self.vm_uids.clone(),
            pin: self.pin,
            runtime_dir: self.runtime_dir.clone(),
            require_isolation: self.require_isolation.then_some(true),
            public: self.public.then_some(true),
            accept: (!self.accept.is_empty()).then(|| self.accept.clone()),
            ..RawConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_shows_examples_and_exit_statuses() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("pe-worker bench") && help.contains("Exit status"));
    }
}
