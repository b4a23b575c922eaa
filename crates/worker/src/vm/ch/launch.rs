//! The making of one cloud-hypervisor process.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, RawFd};

use crate::iofile::IoFile;
use crate::jail::Confinement;
use crate::vm::StartError;
use crate::vm::boot::BootingVm;
use crate::vm::launch::{Assets, Descriptors, LauncherTerms};
use crate::vm::process::Order;
use crate::vm::pty;
use crate::vm::serial::Serial;

use super::api::{self, Api};
use super::argv::{Begin, Machine, Memory, Restore, RestoreWords};

/// Makes cloud-hypervisor processes.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) terms: LauncherTerms,
    pub(super) words: RestoreWords,
    pub(super) restore: Restore,
}

/// What a guest begins with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    Kernel(&'a Assets, Keep<'a>),
    /// A directory, and memory that was saved apart from it.
    Saved(&'a std::path::Path, Option<BorrowedFd<'a>>),
}

/// Whether and how the guest's memory can be saved.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep<'a> {
    Not,
    Sparse,
    In(BorrowedFd<'a>),
}

impl Launcher {
    /// Starts a VMM. The order of its descriptors is that of their numbers: what a restored VM
    /// has of them comes first.
    pub(super) async fn spawn(
        &self,
        io: &IoFile,
        start: Start<'_>,
        confinement: Confinement,
    ) -> Result<BootingVm<Api>, StartError> {
        let (stream, listener) = api::pair(&self.terms.jail.sockets()).map_err(no_socket)?;
        let (line, terminal) = pty::pair().map_err(no_socket)?;
        let mut fds = Descriptors::default();
        let api = fds.give(listener);
        let io = fds.lend(io.as_fd())?;
        let packs: Result<Vec<RawFd>, StartError> =
            self.terms.coldplug.iter().map(|pack| fds.lend(pack.as_fd())).collect();
        let machine = Machine { memory_mib: self.terms.memory_mib, api, io, packs: packs? };
        let begin = match start {
            Start::Saved(dir, memory) => {
                if let Some(memory) = memory {
                    fds.lend(memory)?;
                }
                Begin::Saved { dir, restore: self.restore, words: self.words }
            }
            Start::Kernel(assets, keep) => {
                let memory = match keep {
                    Keep::Not => Memory::Anonymous,
                    Keep::Sparse => Memory::Sparse,
                    Keep::In(file) => Memory::File(fds.lend(file)?),
                };
                let initramfs = fds.lend(assets.initramfs.as_fd())?;
                let kernel = fds.lend(assets.kernel.as_fd())?;
                Begin::Kernel { kernel, initramfs, memory }
            }
        };
        let order = Order {
            program: self.terms.program.clone(),
            argv: machine.argv(begin),
            fds: fds.into_fds(),
            terminal: Some(terminal),
            confinement,
        };
        let api = Api::over(stream, self.terms.patience).await.map_err(no_socket)?;
        let vmm = self.terms.spawner.spawn(order).await;
        let vmm = vmm.map_err(|source| StartError::Host { what: "start the vmm", source })?;
        tracing::debug!(pid = vmm.pid(), restore = self.restore.as_str(), "vmm started");
        Ok(BootingVm::new(vmm, api, Serial::new(line)))
    }
}

fn no_socket(source: io::Error) -> StartError {
    StartError::Host { what: "make a socket or terminal", source }
}
