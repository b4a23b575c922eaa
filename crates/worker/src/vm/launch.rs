//! What the VMs of a host are made from, whatever their VMM.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::images::Pack;
use crate::iofile::IoFile;
use crate::jail::{Confinement, Jail};
use crate::limits::{RESTORE, VMM_ANSWERS};
use crate::vm::boot::BootingVm;
use crate::vm::control::Control;
use crate::vm::process::{Spawner, child_fd};
use crate::vm::{ReadyVm, StartError};

/// What a launcher is made with.
#[derive(Debug)]
pub struct LauncherTerms {
    /// The VMM.
    pub program: OsString,
    /// Directory of kernel and initramfs.
    pub assets: PathBuf,
    /// Guest memory.
    pub memory_mib: u64,
    /// How long a boot may take.
    pub boot_within: Duration,
    /// What a boot is granted on a host that was said to be slow: no time limit of a VM is less
    /// than its share of that.
    pub patience: Duration,
    /// What confines VMMs.
    pub jail: Jail,
    /// Starts VMMs, in the jail.
    pub spawner: Spawner,
    /// Packs that are in every VM from the start.
    pub coldplug: Vec<Arc<Pack>>,
    /// Longest of the other packs.
    pub hotplug_bytes: u64,
}

impl LauncherTerms {
    /// Guest memory, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_mib * 1024 * 1024
    }

    /// A VM whose guest waits, with the packs of every VM in it.
    pub(super) fn ready<C: Control>(&self, vm: BootingVm<C>, io: IoFile) -> ReadyVm {
        let packs = self.coldplug.iter().map(|pack| pack.digest()).collect();
        // Where booting takes minutes, an answer may take seconds.
        let answers = VMM_ANSWERS.max(self.patience / ANSWERS_PER_BOOT);
        ReadyVm::new(Box::new(vm.into_running(packs, answers)), io)
    }

    /// How long a restore may take. One that hangs holds a slot as long.
    pub(super) fn restore_within(&self) -> Duration {
        RESTORE.max(self.patience / RESTORES_PER_BOOT)
    }

    /// A VM's share of the host.
    pub(super) fn confinement(&self) -> Result<Confinement, StartError> {
        let confinement = self.jail.confinement(self.memory_bytes());
        confinement.map_err(|source| StartError::Host { what: "confine the vmm", source })
    }
}

/// How much sooner than a booted guest a restored one is expected to wait: it was 3 to 30 times
/// when measured, the less the more its host had to do.
const RESTORES_PER_BOOT: u32 = 4;

/// How much sooner than a booted guest a VMM is expected to answer.
const ANSWERS_PER_BOOT: u32 = 40;

/// Kernel and initramfs, open for reading.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) kernel: File,
    pub(super) initramfs: File,
}

impl Assets {
    /// Opens `vmlinuz` and `initramfs.cpio` in a directory.
    pub(super) fn open(dir: &Path) -> Result<Self, StartError> {
        let open = |name: &str| {
            let path = dir.join(name);
            File::open(&path).map_err(|error| StartError::Host {
                what: "open kernel and initramfs",
                source: io::Error::new(error.kind(), format!("{}: {error}", path.display())),
            })
        };
        Ok(Self { kernel: open("vmlinuz")?, initramfs: open("initramfs.cpio")? })
    }
}

/// Descriptors on their way to a VMM, with the numbers under which it will know them.
#[derive(Debug, Default)]
pub(super) struct Descriptors(Vec<OwnedFd>);

impl Descriptors {
    /// Gives one away.
    pub(super) fn give(&mut self, fd: OwnedFd) -> RawFd {
        self.0.push(fd);
        child_fd(self.0.len() - 1)
    }

    /// Gives a copy of one away.
    pub(super) fn lend(&mut self, fd: BorrowedFd<'_>) -> Result<RawFd, StartError> {
        let copy = fd.try_clone_to_owned();
        let copy = copy.map_err(|source| StartError::Host { what: "copy a descriptor", source })?;
        Ok(self.give(copy))
    }

    pub(super) fn into_fds(self) -> Vec<OwnedFd> {
        self.0
    }
}

/// How a VMM names a descriptor it was started with.
pub(super) fn fd_path(fd: RawFd) -> String {
    format!("/proc/self/fd/{fd}")
}

/// Why there is no file for a guest's memory or job.
pub(super) fn no_memory(source: io::Error) -> StartError {
    StartError::Host { what: "make a memory file", source }
}
