//! What a host tells about itself: the one place that reads /proc and /sys for the doctor.
//!
//! [`HostFacts::read`] takes the directory below which they are, so that a test can lay out any
//! host as files. What only a system call tells is added by [`HostFacts::of_this_host`]. A file
//! that is not there is a fact (`None`), never an error.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use pe_proto::Arch;

use crate::{host, memory};

mod cgroup;
mod landlock;
mod parse;

pub use cgroup::CgroupFacts;
pub use landlock::LandlockFacts;

/// A device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// There is none.
    Missing,
    /// It is there and cannot be opened for reading and writing.
    Denied,
    /// It opens; whether it works is another question.
    Opens,
}

/// Who swaps, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// File or device.
    pub name: String,
    /// Its size.
    pub kib: u64,
}

/// Everything that is read of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The worker is root.
    pub root: bool,
    /// `/dev/kvm`.
    pub kvm: Device,
    /// The processor has `vmx` or `svm`; others than x86 do not say, and are believed.
    pub virtualisation: bool,
    /// Control groups.
    pub cgroup: CgroupFacts,
    /// Landlock.
    pub landlock: LandlockFacts,
    /// Kinds of namespaces that cannot be made.
    pub namespaces_missing: Vec<&'static str>,
    /// `/dev/userfaultfd`.
    pub userfaultfd: Device,
    /// `vm.unprivileged_userfaultfd`; absent where the kernel has no userfaultfd.
    pub userfaultfd_for_all: Option<bool>,
    /// `/proc/meminfo`, in KiB.
    pub memory: BTreeMap<String, u64>,
    /// What of it a worker may use, in MiB.
    pub memory_budget_mib: u64,
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// KSM: 0 off, 1 on, 2 off and unmerged; absent where the kernel has none.
    pub ksm: Option<u32>,
    /// Pages merged now.
    pub ksm_pages: u64,
    /// Active swap.
    pub swaps: Vec<Swap>,
    /// Threads share cores now; absent where the kernel does not say.
    pub smt_active: Option<bool>,
    /// `/sys/devices/system/cpu/smt/control`.
    pub smt_control: Option<String>,
    /// Holes of the processor, with what the kernel says about each.
    pub vulnerabilities: BTreeMap<String, String>,
    /// The kernel believes that its clock is right.
    pub clock_synchronised: Option<bool>,
    /// Hard limit of descriptors of this process; absent if unlimited.
    pub descriptors_max: Option<u64>,
    /// Time since boot.
    pub uptime: Duration,
    /// Bits that the random generator claims.
    pub entropy: Option<u32>,
}

impl HostFacts {
    /// Reads this host.
    pub fn of_this_host() -> Self {
        Self {
            root: nix::unistd::geteuid().is_root(),
            kvm: device(Path::new("/dev/kvm")),
            virtualisation: Arch::of_this_host().is_some_and(host::cpu_has_virtualisation),
            userfaultfd: device(Path::new("/dev/userfaultfd")),
            memory_budget_mib: memory::available_mib(),
            landlock: LandlockFacts::try_here(),
            clock_synchronised: super::sys::clock_is_synchronised(),
            ..Self::read(Path::new("/"))
        }
    }

    /// Reads what is in files below `root`.
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| read(&root.join(path));
        let trimmed = |path: &str| text(path).map(|text| text.trim().to_owned());
        let number = |path: &str| trimmed(path).and_then(|text| text.parse::<u64>().ok());
        let cpuinfo = text("proc/cpuinfo").unwrap_or_default();
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            root: false,
            kvm: Device::Missing,
            virtualisation: parse::has_virtualisation(&cpuinfo),
            cgroup: CgroupFacts::read(root),
            landlock: LandlockFacts::Unknown,
            namespaces_missing: namespaces_missing(root),
            userfaultfd: Device::Missing,
            userfaultfd_for_all: number("proc/sys/vm/unprivileged_userfaultfd").map(|it| it == 1),
            memory: parse::meminfo(&text("proc/meminfo").unwrap_or_default()),
            memory_budget_mib: 0,
            huge_pages: text("sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|text| parse::chosen(&text)),
            ksm: number("sys/kernel/mm/ksm/run").map(small),
            ksm_pages: number("sys/kernel/mm/ksm/pages_sharing").unwrap_or(0),
            swaps: parse::swaps(&text("proc/swaps").unwrap_or_default()),
            smt_active: number("sys/devices/system/cpu/smt/active").map(|it| it == 1),
            smt_control: trimmed("sys/devices/system/cpu/smt/control"),
            vulnerabilities: vulnerabilities(&root.join("sys/devices/system/cpu/vulnerabilities")),
            clock_synchronised: None,
            descriptors_max: parse::descriptors(&text("proc/self/limits").unwrap_or_default()),
            uptime: parse::uptime(&text("proc/uptime").unwrap_or_default()),
            entropy: number("proc/sys/kernel/random/entropy_avail").map(small),
        }
    }

    /// A line of `/proc/meminfo`, in KiB.
    pub fn memory_kib(&self, line: &str) -> u64 {
        self.memory.get(line).copied().unwrap_or(0)
    }
}

/// More than any file of these is long.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn device(path: &Path) -> Device {
    match fs::metadata(path) {
        Err(_) => Device::Missing,
        Ok(meta) if meta.rdev() == 0 => Device::Missing,
        Ok(_) => match fs::OpenOptions::new().read(true).write(true).open(path) {
            Ok(_) => Device::Opens,
            Err(_) => Device::Denied,
        },
    }
}

/// What a VMM is put into.
const NAMESPACES: [&str; 4] = ["net", "mnt", "ipc", "uts"];

fn namespaces_missing(root: &Path) -> Vec<&'static str> {
    let is_missing = |name: &&str| {
        let most = read(&root.join(format!("proc/sys/user/max_{name}_namespaces")));
        let here = fs::symlink_metadata(root.join("proc/self/ns").join(name)).is_ok();
        !here || most.is_some_and(|most| most.trim() == "0")
    };
    NAMESPACES.into_iter().filter(is_missing).collect()
}

fn vulnerabilities(dir: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return BTreeMap::new();
    };
    let named = |entry: fs::DirEntry| {
        let says = read(&entry.path())?.trim().to_owned();
        Some((entry.file_name().to_string_lossy().into_owned(), says))
    };
    entries.flatten().filter_map(named).collect()
}

#[cfg(test)]
pub(crate) mod tests;
