//! What executes a guest's instructions, and what follows from it for every VMM.

use std::time::Duration;

use crate::limits::{BOOT_KVM, BOOT_TCG, GRACE_KVM, GRACE_TCG, MEMORY_MIB_KVM, MEMORY_MIB_TCG};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accel {
    /// The processor.
    Kvm,
    /// An emulator.
    Tcg,
}

impl Accel {
    /// Name, as in config, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// How long a boot may take.
    pub fn boot_within(self) -> Duration {
        match self {
            Self::Kvm => BOOT_KVM,
            Self::Tcg => BOOT_TCG,
        }
    }

    /// How much longer than its wall clock a job may keep a guest busy.
    pub fn grace(self) -> Duration {
        match self {
            Self::Kvm => GRACE_KVM,
            Self::Tcg => GRACE_TCG,
        }
    }

    /// Guest memory if the config does not say.
    pub fn memory_mib(self) -> u64 {
        match self {
            Self::Kvm => MEMORY_MIB_KVM,
            Self::Tcg => MEMORY_MIB_TCG,
        }
    }
}
