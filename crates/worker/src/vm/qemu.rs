//! QEMU: with KVM where that works, else emulated. The backend that needs nothing but a package.
//!
//! ```text
//!  Launcher::spawn --> BootingVm --ready--> QemuMachine        (boot)
//!                          |
//!                          +--save--> Zygote --restore--> QemuMachine
//! ```
//! The zygote is booted once and saved when its guest waits; all others are restored from it,
//! with the guest's memory mapped privately from one sealed memfd. Every VM has its own io file
//! in the place where the zygote had an empty one, and the common packs where the zygote had
//! them, so that nothing has to be plugged in when a job comes. Everything goes to the VMM as an
//! open descriptor; it opens no path of its own.

mod argv;
mod boot;
mod launch;
mod machine;
mod qmp;
mod zygote;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::core::pool::How;
use crate::vm::{Backend, ReadyVm, StartError};

pub use argv::Accel;
pub use launch::{Assets, Launcher, LauncherTerms};
pub use zygote::Zygote;

/// QEMU with an accelerator that is known to work.
#[derive(Debug)]
pub struct Qemu {
    launcher: Arc<Launcher>,
    accel: Accel,
    vmm: String,
    zygote: Option<Zygote>,
}

impl Qemu {
    /// A backend that restores from a zygote, or boots if there is none.
    pub fn new(launcher: Arc<Launcher>, accel: Accel, zygote: Option<Zygote>) -> Self {
        let vmm = format!("qemu-{}", accel.as_str());
        Self { launcher, accel, vmm, zygote }
    }

    /// How long a start may take.
    pub fn within(&self, how: How) -> Duration {
        match how {
            How::Restore => crate::limits::RESTORE,
            How::Boot => self.accel.boot_within(),
        }
    }
}

impl Backend for Qemu {
    fn vmm(&self) -> &str {
        &self.vmm
    }

    fn start(&self, how: How) -> BoxFuture<'_, Result<ReadyVm, StartError>> {
        match (how, &self.zygote) {
            (How::Restore, Some(zygote)) => zygote.restore(&self.launcher, self.accel).boxed(),
            (How::Restore, None) | (How::Boot, _) => boot::boot(&self.launcher, self.accel).boxed(),
        }
    }
}
