//! Booting is a plan: a constant table of steps, run in order by a small executor.
//!
//! The plan holds everything that does not depend on a job, so that it is done once, in the
//! zygote. The executor knows no step by name and the table does no work: what a step means to the
//! kernel is behind [`Sys`], so that the order and the reaction to failure are tested without one.
//!
//! A step that must succeed ends the boot if it fails; the VM is of no use then and says so. A step
//! marked [`Need::Nice`] hardens or speeds up; its failure is passed over.

mod kernel;

use std::io;

pub use kernel::Kernel;

/// What a step asks of the kernel.
pub trait Sys {
    /// Creates a directory, mode 0755; one that exists is fine.
    fn make_dir(&mut self, path: &str) -> io::Result<()>;
    /// Mounts a new instance of a file system; one that is mounted there already is fine.
    fn mount(&mut self, kind: &str, target: &str, options: &str, flags: Flags) -> io::Result<()>;
    /// Makes a bind mount of the initial root file system the root: `pivot_root` refuses to leave
    /// the initial one itself.
    fn bind_root(&mut self, via: &str) -> io::Result<()>;
    /// Reads a whole small text file.
    fn read(&mut self, path: &str) -> io::Result<String>;
    /// Writes to a file that exists.
    fn write(&mut self, path: &str, text: &str) -> io::Result<()>;
    /// Loads a kernel module; one that is loaded already is fine.
    fn load_module(&mut self, path: &str) -> io::Result<()>;
}

/// Mount flags that the plan uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flags {
    /// For file systems that hold no programs and no devices.
    Inert,
    /// For file systems that hold devices.
    Devices,
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// [`Sys::make_dir`].
    MakeDir(&'static str),
    /// [`Sys::mount`]: file system, where, its options, flags.
    Mount(&'static str, &'static str, &'static str, Flags),
    /// [`Sys::bind_root`].
    BindRoot(&'static str),
    /// [`Sys::load_module`] for each line of `modules.list` in this directory.
    LoadModules(&'static str),
    /// [`Sys::write`]: text, file.
    Write(&'static str, &'static str),
}

/// What a step's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// No job can run without it.
    Must,
    /// A job can run without it.
    Nice,
}

/// A step of the plan.
pub type Step = (Need, Do);

/// Where the modules and their list are.
const MODULES: &str = "/modules";
/// The cgroup of the job; see [`crate::cgroup`].
pub const JOB_CGROUP: &str = "/sys/fs/cgroup/job";
/// The cgroup of the rehearsal, so that its use is not the job's; see [`crate::rehearsal`].
pub const REHEARSAL_CGROUP: &str = "/sys/fs/cgroup/rehearsal";
/// Where the tmpfs for what the job writes is mounted; see [`crate::layers`].
pub const UPPER: &str = "/upper";
/// Below it, root file systems of containers; see [`crate::layers`].
pub const ROOTFS: &str = "/rootfs";
/// A directory with nothing in it, once the root was moved by way of it.
pub const EMPTY: &str = "/base";
/// Below it, the packs; see [`crate::packs`].
pub const PACKS: &str = "/image";

/// The plan. Order matters: the root is moved while nothing is mounted on it, modules need /proc
/// for their parameters, cgroups need /sys.
#[rustfmt::skip] // A table is read by its columns.
pub const PLAN: &[Step] = &[
    (Need::Must, Do::MakeDir(EMPTY)),
    (Need::Must, Do::BindRoot(EMPTY)),
    (Need::Must, Do::MakeDir("/proc")),
    (Need::Must, Do::MakeDir("/sys")),
    (Need::Must, Do::MakeDir("/dev")),
    (Need::Must, Do::MakeDir("/run")),
    (Need::Must, Do::MakeDir("/tmp")),
    (Need::Must, Do::MakeDir(UPPER)),
    (Need::Must, Do::MakeDir(ROOTFS)),
    (Need::Must, Do::MakeDir(PACKS)),
    (Need::Must, Do::Mount("proc", "/proc", "", Flags::Inert)),
    (Need::Must, Do::Mount("sysfs", "/sys", "", Flags::Inert)),
    (Need::Must, Do::Mount("devtmpfs", "/dev", "mode=755", Flags::Devices)),
    (Need::Must, Do::Mount("tmpfs", "/run", "mode=755", Flags::Inert)),
    (Need::Must, Do::Mount("cgroup2", "/sys/fs/cgroup", "", Flags::Inert)),
    (Need::Must, Do::Write("+memory +pids", "/sys/fs/cgroup/cgroup.subtree_control")),
    // Without the cpu controller the job's processes compete with init one by one, not as one
    // group: slower to end a fork bomb, but it ends.
    (Need::Nice, Do::Write("+cpu", "/sys/fs/cgroup/cgroup.subtree_control")),
    (Need::Must, Do::MakeDir(JOB_CGROUP)),
    (Need::Must, Do::MakeDir(REHEARSAL_CGROUP)),
    (Need::Must, Do::LoadModules(MODULES)),
    // Defence in depth: nothing that a job may do needs any of these.
    (Need::Nice, Do::Write("2", "/proc/sys/kernel/kptr_restrict")),
    (Need::Nice, Do::Write("1", "/proc/sys/kernel/dmesg_restrict")),
    (Need::Nice, Do::Write("2", "/proc/sys/kernel/unprivileged_bpf_disabled")),
    (Need::Nice, Do::Write("3", "/proc/sys/kernel/perf_event_paranoid")),
    (Need::Nice, Do::Write("1", "/proc/sys/kernel/modules_disabled")),
    (Need::Nice, Do::Write("1", "/proc/sys/kernel/kexec_load_disabled")),
    (Need::Nice, Do::Write("0", "/proc/sys/kernel/sysrq")),
    (Need::Nice, Do::Write("0", "/proc/sys/vm/unprivileged_userfaultfd")),
];

/// Why the boot ended.
#[derive(Debug, thiserror::Error)]
#[error("{step:?} failed: {error}")]
pub struct BootFailed {
    /// The step that could not be done.
    pub step: Do,
    /// What the kernel said.
    pub error: io::Error,
}

/// Runs a plan to its end or to the first step that must succeed and does not.
pub fn run(plan: &[Step], sys: &mut impl Sys) -> Result<(), BootFailed> {
    for &(need, step) in plan {
        match (perform(step, sys), need) {
            (Ok(()), Need::Must | Need::Nice) | (Err(_), Need::Nice) => {}
            (Err(error), Need::Must) => return Err(BootFailed { step, error }),
        }
    }
    Ok(())
}

fn perform(step: Do, sys: &mut impl Sys) -> io::Result<()> {
    match step {
        Do::MakeDir(path) => sys.make_dir(path),
        Do::Mount(kind, target, options, flags) => sys.mount(kind, target, options, flags),
        Do::BindRoot(via) => sys.bind_root(via),
        Do::LoadModules(directory) => {
            let list = sys.read(&format!("{directory}/modules.list"))?;
            let names = list.lines().map(str::trim).filter(|name| !name.is_empty());
            names.into_iter().try_for_each(|name| sys.load_module(&format!("{directory}/{name}")))
        }
        Do::Write(text, path) => sys.write(path, text),
    }
}

#[cfg(test)]
mod tests;
