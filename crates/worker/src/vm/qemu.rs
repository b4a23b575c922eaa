//! QEMU: with KVM where that works, else emulated. The backend that needs nothing but a package.
//!
//! ```text
//!  Launcher::spawn --> BootingVm --ready--> Running            (boot)
//!                          |
//!                          +--save--> Zygote --restore--> Running
//! ```
//! The zygote is booted once and saved when its guest waits; all others are restored from it,
//! with the guest's memory mapped privately from one sealed memfd. Every VM has its own io file
//! in the place where the zygote had an empty one, and the common packs where the zygote had
//! them, so that nothing has to be plugged in when a job comes. Everything goes to the VMM as an
//! open descriptor; it opens no path of its own.

mod argv;
mod control;
mod launch;
mod qmp;
mod zygote;

use crate::config::RestoreChoice;
use crate::iofile::IoFile;
use crate::vm::accel::Accel;
use crate::vm::boot::Deadline;
use crate::vm::launch::{Assets, LauncherTerms, no_memory};
use crate::vm::maker::{Launch, Maker, NoZygote};
use crate::vm::{Backend, ReadyVm, StartError};

use launch::{Launcher, Part, RamSource, Start};
use zygote::Zygote;

/// Boots a guest, which proves that QEMU works here so, and saves it if VMs are to be
/// restored.
///
/// # Errors
/// No guest boots.
pub async fn try_out(
    terms: LauncherTerms,
    accel: Accel,
    choice: RestoreChoice,
) -> Result<Box<dyn Backend>, StartError> {
    if !can(choice) {
        tracing::warn!("qemu has one way to restore: memory is mapped privately");
    }
    let saves = choice != RestoreChoice::Boot;
    Ok(Box::new(Maker::try_out(Launcher { terms, accel }, saves).await?))
}

/// Whether VMs can be restored so.
pub(crate) fn can(choice: RestoreChoice) -> bool {
    match choice {
        RestoreChoice::Auto | RestoreChoice::Private | RestoreChoice::Boot => true,
        RestoreChoice::Ondemand | RestoreChoice::Copy => false,
    }
}

/// For a host on which nothing else is left to try: VMs are booted, whenever that works.
///
/// # Errors
/// There is no kernel.
pub fn untried(terms: LauncherTerms, accel: Accel) -> Result<Box<dyn Backend>, StartError> {
    Ok(Box::new(Maker::untried(Launcher { terms, accel })?))
}

impl Launch for Launcher {
    type Zygote = Zygote;

    fn vmm(&self) -> String {
        format!("qemu-{}", self.accel.as_str())
    }

    fn terms(&self) -> &LauncherTerms {
        &self.terms
    }

    async fn boot(&self, assets: &Assets) -> Result<ReadyVm, StartError> {
        let io = IoFile::create().map_err(no_memory)?;
        let part = Part { io: &io, ram: RamSource::Anonymous, start: Start::Kernel(assets) };
        let deadline = Deadline::after(self.terms.boot_within);
        let (mut vm, _) = self.spawn(part).await?;
        vm.greet().await?;
        vm.wait_ready(deadline).await?;
        vm.look_around(deadline).await?;
        Ok(self.terms.ready(vm, io))
    }

    async fn build(&self, assets: &Assets) -> Result<Zygote, NoZygote> {
        Zygote::build(self, assets).await
    }

    async fn restore(&self, zygote: &Zygote) -> Result<ReadyVm, StartError> {
        zygote.restore(self).await
    }
}
