//! What a config asks of its host, in the terms of the checks.

use pe_proto::Arch;

use crate::config::{AccelChoice, Config, PinChoice, RestoreChoice, Risk, VmmChoice};
use crate::jail;

/// The part of a config that verdicts depend on.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Architecture of host and guests, if it is known.
    pub arch: Option<Arch>,
    /// VMs at a time.
    pub slots: u32,
    /// VMs beyond them.
    pub standby: u32,
    /// What may be used of the host's memory, if it is set.
    pub memory_budget_mib: Option<u64>,
    /// Guest memory, if it is set.
    pub memory_mib: Option<u64>,
    /// Which VMM is to be used.
    pub vmm: VmmChoice,
    /// VMs are to be restored on demand, and no other way.
    pub on_demand_only: bool,
    /// Nothing but KVM will do.
    pub kvm_only: bool,
    /// Emulation is what was asked for.
    pub emulation_only: bool,
    /// Strangers' jobs run here.
    pub public: bool,
    /// Risks that the operator takes.
    pub accepted: Vec<Risk>,
    /// What VMMs run as when the worker is root.
    pub vm_user: String,
    /// Nothing but whole isolation will do.
    pub require_isolation: bool,
    /// Each VM has a physical core to itself.
    pub pins_cores: bool,
}

impl Needs {
    /// Of a config.
    pub fn of(config: &Config) -> Self {
        Self {
            arch: Arch::of_this_host(),
            slots: config.slots,
            standby: config.standby,
            memory_budget_mib: config.memory_budget_mib,
            memory_mib: config.memory_mib,
            vmm: config.vmm,
            on_demand_only: config.restore == RestoreChoice::Ondemand,
            kvm_only: config.accel == AccelChoice::Kvm,
            emulation_only: config.accel == AccelChoice::Tcg,
            public: config.public,
            accepted: config.accept.clone(),
            vm_user: config.vm_user.clone(),
            require_isolation: config.require_isolation,
            pins_cores: config.pin == PinChoice::Auto
                && jail::topology().for_slots(config.slots).is_ok(),
        }
    }

    /// Whether the operator takes a risk knowingly.
    pub fn accepts(&self, risk: Risk) -> bool {
        self.accepted.contains(&risk)
    }
}

#[cfg(test)]
impl Needs {
    /// A private worker with four slots.
    pub(crate) fn private() -> Self {
        Self {
            arch: Some(Arch::X86_64),
            slots: 4,
            standby: 0,
            memory_budget_mib: None,
            memory_mib: None,
            vmm: VmmChoice::Auto,
            on_demand_only: false,
            kvm_only: false,
            emulation_only: false,
            public: false,
            accepted: Vec::new(),
            vm_user: "nobody".to_owned(),
            require_isolation: false,
            pins_cores: false,
        }
    }

    /// The same for strangers.
    pub(crate) fn public() -> Self {
        Self { public: true, ..Self::private() }
    }
}
