//! Landlock, tried for real: a thread forbids itself to read files, and then may not.

use landlock::{
    ABI, Access as _, AccessFs, LandlockStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
};

/// What there is of Landlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LandlockFacts {
    /// It was not asked for.
    Unknown,
    /// The kernel was built without.
    NotBuilt,
    /// The kernel has it, switched off.
    Off,
    /// On, of this version.
    On {
        /// Version of the interface.
        abi: i32,
        /// What was forbidden was in fact refused.
        enforced: bool,
    },
}

impl LandlockFacts {
    /// Tries it on a thread of its own, which ends with its restrictions.
    pub(super) fn try_here() -> Self {
        std::thread::spawn(restrict).join().ok().flatten().unwrap_or(Self::Unknown)
    }
}

fn restrict() -> Option<LandlockFacts> {
    let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1)).ok()?;
    let status = ruleset.create().ok()?.no_new_privs(true).restrict_self().ok()?;
    Some(match status.landlock {
        LandlockStatus::NotEnabled => LandlockFacts::Off,
        LandlockStatus::NotImplemented => LandlockFacts::NotBuilt,
        LandlockStatus::Available { effective_abi, kernel_abi } => LandlockFacts::On {
            abi: kernel_abi.unwrap_or(effective_abi as i32),
            enforced: std::fs::File::open("/proc/self/status").is_err(),
        },
    })
}
