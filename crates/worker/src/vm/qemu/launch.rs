//! What all VMs of a host are made from, and the making of one VMM process.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixStream;

use crate::images::Pack;
use crate::iofile::IoFile;
use crate::jail::Jail;
use crate::vm::StartError;
use crate::vm::process::{Order, Spawner, child_fd};
use crate::vm::serial::Serial;

use super::argv::{Accel, Begin, MachineFds, MachineShape, Ram};
use super::boot::BootingVm;
use super::qmp::Qmp;

/// Kernel and initramfs, open for reading.
#[derive(Debug)]
pub struct Assets {
    kernel: File,
    initramfs: File,
}

impl Assets {
    /// Opens `vmlinuz` and `initramfs.cpio` in a directory.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let open = |name: &str| {
            let path = dir.join(name);
            File::open(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })
        };
        Ok(Self { kernel: open("vmlinuz")?, initramfs: open("initramfs.cpio")? })
    }
}

/// What a launcher is made with.
#[derive(Debug)]
pub struct LauncherTerms {
    /// The program.
    pub qemu: std::ffi::OsString,
    /// Guest memory.
    pub memory_mib: u64,
    /// What confines VMMs.
    pub jail: Jail,
    /// Packs that are in every VM from the start.
    pub coldplug: Vec<Arc<Pack>>,
    /// Longest of the other packs.
    pub hotplug_bytes: u64,
}

/// Makes VMM processes.
#[derive(Debug)]
pub struct Launcher {
    spawner: Spawner,
    assets: Assets,
    terms: LauncherTerms,
}

/// What differs from VM to VM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) io: &'a IoFile,
    pub(super) ram: RamSource<'a>,
    /// A saved state to begin with instead of the kernel.
    pub(super) state: Option<BorrowedFd<'a>>,
}

/// Where the guest's memory comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum RamSource<'a> {
    Anonymous,
    Shared(BorrowedFd<'a>),
    Private(BorrowedFd<'a>),
}

impl Launcher {
    /// A launcher for one kernel and one set of packs.
    pub fn new(spawner: Spawner, assets: Assets, terms: LauncherTerms) -> Self {
        Self { spawner, assets, terms }
    }

    /// Guest memory, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.terms.memory_mib * 1024 * 1024
    }

    /// Packs that are in every VM from the start.
    pub(super) fn coldplug(&self) -> &[Arc<Pack>] {
        &self.terms.coldplug
    }

    /// Starts a VMM. Returns it with the number under which it knows the saved state.
    pub(super) async fn spawn(
        &self,
        accel: Accel,
        part: Part<'_>,
    ) -> Result<(BootingVm, Option<i32>), StartError> {
        let (control, their_control) = pair()?;
        let (serial, their_serial) = pair()?;
        let mut fds: Vec<OwnedFd> = vec![their_control, their_serial];
        let mut keep = |fd: BorrowedFd<'_>| -> Result<i32, StartError> {
            fds.push(fd.try_clone_to_owned().map_err(no_descriptors)?);
            Ok(child_fd(fds.len() - 1))
        };
        let io = keep(part.io.as_fd())?;
        let packs: Result<Vec<i32>, StartError> =
            self.terms.coldplug.iter().map(|pack| keep(pack.as_fd())).collect();
        let packs = packs?;
        let ram = match part.ram {
            RamSource::Anonymous => Ram::Anonymous,
            RamSource::Shared(fd) => Ram::Shared(keep(fd)?),
            RamSource::Private(fd) => Ram::Private(keep(fd)?),
        };
        let state = part.state.map(&mut keep).transpose()?;
        let begin = match state {
            Some(_) => Begin::Incoming,
            None => Begin::Kernel {
                kernel: keep(self.assets.kernel.as_fd())?,
                initramfs: keep(self.assets.initramfs.as_fd())?,
            },
        };
        let machine = MachineFds { control: child_fd(0), serial: child_fd(1), io, packs };
        let argv = self.shape(accel).argv(&machine, ram, begin);
        let confinement = self
            .terms
            .jail
            .confinement(self.memory_bytes())
            .map_err(|source| StartError::Host { what: "confine the vmm", source })?;
        let program = self.terms.qemu.clone();
        let order = Order { program, argv, fds, terminal: None, confinement };
        let vmm = self
            .spawner
            .spawn(order)
            .await
            .map_err(|source| StartError::Host { what: "start the vmm", source })?;
        tracing::debug!(
            pid = vmm.pid(),
            accel = accel.as_str(),
            restored = state.is_some(),
            "vmm started"
        );
        Ok((BootingVm::new(vmm, Qmp::new(control), Serial::new(serial)), state))
    }

    fn shape(&self, accel: Accel) -> MachineShape {
        MachineShape {
            accel,
            memory_mib: self.terms.memory_mib,
            packs: self.terms.coldplug.iter().map(|pack| pack.bytes()).collect(),
            hotplug_bytes: self.terms.hotplug_bytes,
        }
    }
}

/// One end for us, one for the VMM.
fn pair() -> Result<(UnixStream, OwnedFd), StartError> {
    let make = || {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?, theirs.into()))
    };
    make().map_err(|source| StartError::Host { what: "make a socket pair", source })
}

fn no_descriptors(source: io::Error) -> StartError {
    StartError::Host { what: "copy a descriptor", source }
}
