//! What a worker's memory is for, added up before anything is started.
//!
//! Guests get their memory page by page, but each may touch all of it; a hostile one fills its io
//! file, too. So every VM counts in full, and so does the io file of every VM on offer. What is
//! left is for results that wait to be sent. Whatever does not fit waits.

use pe_proto::limits::IO_FILE_BYTES;

use crate::limits::{VMM_MIB, ZYGOTE_MIB};

const MIB: u64 = 1024 * 1024;

/// An io file, in MiB.
pub const IO_FILE_MIB: u64 = IO_FILE_BYTES.div_ceil(MIB);

/// What a worker is to run.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Jobs at a time.
    pub slots: u32,
    /// VMs beyond them.
    pub standby: u32,
    /// Memory of a guest.
    pub memory_mib: u64,
}

/// How a budget is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// For VMs, the zygote, and a trial's io file: taken for good.
    pub fixed_mib: u64,
    /// For io files of jobs and results.
    pub io_mib: u64,
}

/// The worker cannot run what it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{slots} slots{} of {memory_mib} MiB need {needed_mib} MiB of memory, and {budget_mib} MiB \
     may be used: lower slots (at most {slots_max} fit) or memory_mib, or raise memory_budget_mib",
    standby_text(*standby)
)]
pub struct TooSmall {
    slots: u32,
    standby: u32,
    memory_mib: u64,
    needed_mib: u64,
    budget_mib: u64,
    slots_max: u64,
}

fn standby_text(standby: u32) -> String {
    if standby == 0 { String::new() } else { format!(" and {standby} on standby") }
}

impl Needs {
    /// Divides a budget.
    ///
    /// # Errors
    /// It is not enough for all VMs and one job.
    pub fn within(self, budget_mib: u64) -> Result<Plan, TooSmall> {
        let Self { slots, standby, memory_mib } = self;
        let vms = u64::from(slots) + u64::from(standby);
        let vm_mib = memory_mib.saturating_add(VMM_MIB);
        let shared = ZYGOTE_MIB + IO_FILE_MIB;
        let fixed_mib = vms.saturating_mul(vm_mib).saturating_add(shared);
        let needed_mib = fixed_mib.saturating_add(IO_FILE_MIB);
        if needed_mib > budget_mib {
            let for_vms = budget_mib.saturating_sub(shared + IO_FILE_MIB);
            let slots_max = (for_vms / vm_mib.max(1)).saturating_sub(u64::from(standby));
            return Err(TooSmall { slots, standby, memory_mib, needed_mib, budget_mib, slots_max });
        }
        Ok(Plan { fixed_mib, io_mib: budget_mib - fixed_mib })
    }
}

impl Plan {
    /// Whether all slots can have a job at the same time.
    pub fn fits_all(&self, slots: u32) -> bool {
        self.io_mib / IO_FILE_MIB >= u64::from(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_budget_that_is_too_small_names_what_to_lower() {
        let needs = Needs { slots: 8, standby: 0, memory_mib: 1024 };
        let error = needs.within(4096).expect_err("too small").to_string();
        for part in ["8 slots of 1024 MiB", "slots (at most 3 fit)", "memory_mib", "4096"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(Needs { slots: 3, ..needs }.within(4096).is_ok());
        assert!(Needs { slots: 4, ..needs }.within(4096).is_err());
    }

    proptest! {
        #[test]
        fn a_plan_is_within_its_budget_and_the_advice_is_right(
            slots in 1u32..100,
            standby in 0u32..4,
            memory_mib in 128u64..2048,
            budget_mib in 0u64..100_000,
        ) {
            let needs = Needs { slots, standby, memory_mib };
            match needs.within(budget_mib) {
                Ok(plan) => {
                    prop_assert_eq!(plan.fixed_mib + plan.io_mib, budget_mib);
                    prop_assert!(plan.io_mib >= IO_FILE_MIB);
                    prop_assert!(plan.fixed_mib >= u64::from(slots + standby) * memory_mib);
                }
                Err(bad) if bad.slots_max > 0 => {
                    let slots = u32::try_from(bad.slots_max).expect("fewer than asked for");
                    let fits = |slots| Needs { slots, ..needs }.within(budget_mib).is_ok();
                    prop_assert!(fits(slots) && !fits(slots + 1));
                }
                Err(_) => {}
            }
        }
    }
}
