//! cloud-hypervisor: what a hosted service runs on. Needs KVM; decision 0007 has the reasons.
//!
//! ```text
//!  Launcher::spawn --> BootingVm --ready--> Running            (boot)
//!                          |
//!                          +--pause, snapshot--> Zygote --restore--> Running
//! ```
//! Io file, common packs, kernel and the saved memory go to the VMM as open descriptors under
//! numbers that are the same for all VMs of a zygote. By path it opens the directory of the
//! zygote, and a pack that is plugged in when a job asks for it: both read-only. Its guest's
//! serial port is a pseudo terminal that is its standard input and output.

mod api;
mod argv;
mod launch;
mod saved;
mod version;
mod zygote;

pub use version::{NoProgram, Program, Version};

use crate::config::RestoreChoice;
use crate::iofile::IoFile;
use crate::vm::accel::Accel;
use crate::vm::boot::Deadline;
use crate::vm::launch::{Assets, LauncherTerms, no_memory};
use crate::vm::maker::{Launch, Maker, NoZygote};
use crate::vm::{Backend, ReadyVm, StartError};

use argv::{Restore, RestoreWords};
use launch::{Keep, Launcher, Start};
use version::Part;
use zygote::Zygote;

/// Boots a guest, which proves that cloud-hypervisor works here, and saves it if VMs are to be
/// restored.
///
/// # Errors
/// No guest boots, or this version cannot do what is asked.
pub async fn try_out(
    terms: LauncherTerms,
    version: Version,
    choice: RestoreChoice,
) -> Result<Box<dyn Backend>, StartError> {
    let restore = restore_of(version, choice).map_err(StartError::Unsupported)?;
    let words = RestoreWords {
        resume: version.has(Part::ResumeWord),
        mode: version.has(Part::RestoreMode),
    };
    let launcher = Launcher { terms, words, restore: restore.unwrap_or(Restore::Copy) };
    Ok(Box::new(Maker::try_out(launcher, restore.is_some()).await?))
}

/// Whether VMs can be restored so.
pub(crate) fn can(version: Version, choice: RestoreChoice) -> bool {
    restore_of(version, choice).is_ok()
}

/// How VMs are restored; `None` if they are booted.
fn restore_of(version: Version, choice: RestoreChoice) -> Result<Option<Restore>, String> {
    let private = version.lacks(Part::PrivateRestore);
    let (restore, lacks) = match choice {
        RestoreChoice::Boot => return Ok(None),
        RestoreChoice::Auto if private.is_none() => (Restore::Private, None),
        RestoreChoice::Auto | RestoreChoice::Copy => (Restore::Copy, None),
        RestoreChoice::Private => (Restore::Private, private),
        RestoreChoice::Ondemand => (Restore::OnDemand, version.lacks(Part::RestoreMode)),
    };
    match lacks {
        None => Ok(Some(restore)),
        Some((least, why)) => {
            let name = restore.as_str();
            Err(format!("restore = {name} needs cloud-hypervisor v{least} or later: {why}"))
        }
    }
}

impl Launch for Launcher {
    type Zygote = Zygote;

    fn vmm(&self) -> String {
        format!("cloud-hypervisor-{}", Accel::Kvm.as_str())
    }

    fn terms(&self) -> &LauncherTerms {
        &self.terms
    }

    async fn boot(&self, assets: &Assets) -> Result<ReadyVm, StartError> {
        let deadline = Deadline::after(self.terms.boot_within);
        let io = IoFile::create().map_err(no_memory)?;
        let start = Start::Kernel(assets, Keep::Not);
        let mut vm = self.spawn(&io, start, self.terms.confinement()?).await?;
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
