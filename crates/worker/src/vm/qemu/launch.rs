//! The making of one QEMU process.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::net::UnixStream;

use crate::iofile::IoFile;
use crate::vm::StartError;
use crate::vm::accel::Accel;
use crate::vm::boot::BootingVm;
use crate::vm::launch::{Assets, Descriptors, LauncherTerms};
use crate::vm::process::Order;
use crate::vm::serial::Serial;

use super::argv::{Begin, MachineFds, MachineShape, Ram};
use super::qmp::Qmp;

/// Makes QEMU processes.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) terms: LauncherTerms,
    pub(super) accel: Accel,
}

/// What differs from VM to VM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) io: &'a IoFile,
    pub(super) ram: RamSource<'a>,
    pub(super) start: Start<'a>,
}

/// What a guest begins with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    Kernel(&'a Assets),
    State(BorrowedFd<'a>),
}

/// Where the guest's memory comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum RamSource<'a> {
    Anonymous,
    Shared(BorrowedFd<'a>),
    Private(BorrowedFd<'a>),
}

impl Launcher {
    /// Starts a VMM. Returns it with the number under which it knows the saved state.
    pub(super) async fn spawn(
        &self,
        part: Part<'_>,
    ) -> Result<(BootingVm<Qmp>, Option<RawFd>), StartError> {
        let (control, their_control) = pair()?;
        let (serial, their_serial) = pair()?;
        let mut fds = Descriptors::default();
        let control_number = fds.give(their_control);
        let serial_number = fds.give(their_serial);
        let io = fds.lend(part.io.as_fd())?;
        let packs: Result<Vec<RawFd>, StartError> =
            self.terms.coldplug.iter().map(|pack| fds.lend(pack.as_fd())).collect();
        let packs = packs?;
        let ram = match part.ram {
            RamSource::Anonymous => Ram::Anonymous,
            RamSource::Shared(fd) => Ram::Shared(fds.lend(fd)?),
            RamSource::Private(fd) => Ram::Private(fds.lend(fd)?),
        };
        let (begin, state) = match part.start {
            Start::State(state) => (Begin::Incoming, Some(fds.lend(state)?)),
            Start::Kernel(assets) => {
                let kernel = fds.lend(assets.kernel.as_fd())?;
                let initramfs = fds.lend(assets.initramfs.as_fd())?;
                (Begin::Kernel { kernel, initramfs }, None)
            }
        };
        let machine = MachineFds { control: control_number, serial: serial_number, io, packs };
        let order = Order {
            program: self.terms.program.clone(),
            argv: self.shape().argv(&machine, ram, begin),
            fds: fds.into_fds(),
            terminal: None,
            confinement: self.terms.confinement()?,
        };
        let vmm = self.terms.spawner.spawn(order).await;
        let vmm = vmm.map_err(|source| StartError::Host { what: "start the vmm", source })?;
        tracing::debug!(
            pid = vmm.pid(),
            accel = self.accel.as_str(),
            restored = state.is_some(),
            "vmm started"
        );
        Ok((BootingVm::new(vmm, Qmp::new(control), Serial::new(serial)), state))
    }

    fn shape(&self) -> MachineShape {
        MachineShape {
            accel: self.accel,
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
