//! Memory: enough of it, and none that others can look into.

use crate::config::Risk;
use crate::core::budget;
use crate::doctor::checks::{count, risk};
use crate::doctor::facts::{Device, HostFacts};
use crate::doctor::{Finding, Needs};
use crate::limits::{DESCRIPTORS_PER_VM, DESCRIPTORS_RESERVE, MEMORY_MIB_KVM, MEMORY_MIB_TCG};

const KIB: u64 = 1024;

/// The worker's own plan for its memory, which is the worst case; beside what is free now.
pub fn memory(facts: &HostFacts, needs: &Needs) -> Finding {
    let has_kvm = facts.kvm == Device::Opens && facts.virtualisation && !needs.emulation_only;
    let usual = if has_kvm { MEMORY_MIB_KVM } else { MEMORY_MIB_TCG };
    let memory_mib = needs.memory_mib.unwrap_or(usual);
    let available = facts.memory_kib("MemAvailable") / KIB;
    let budget = needs.memory_budget_mib.unwrap_or(facts.memory_budget_mib);
    let (slots, standby) = (needs.slots, needs.standby);
    let plan = match (budget::Needs { slots, standby, memory_mib }).within(budget) {
        Ok(plan) => plan,
        Err(too_small) => {
            let mend = "# serve with fewer --slots, or with a lower --memory-mib";
            return Finding::fail(too_small.to_string(), mend);
        }
    };
    let vms = count(usize::try_from(slots + standby).unwrap_or(usize::MAX), "VM");
    let seen = format!(
        "{budget} MiB may be used: {} for {vms}, {} for jobs and results",
        plan.fixed_mib, plan.io_mib
    );
    if budget > available {
        let lower = format!("# set memory_budget_mib to {}, or less", facts.memory_budget_mib);
        return Finding::warn(format!("{seen}; but only {available} MiB are free"), lower);
    }
    if !plan.fits_all(slots) {
        let seen = format!("{seen}, too little for jobs in all slots at the same time");
        return Finding::warn(seen, "# serve with fewer --slots, or with a lower --memory-mib");
    }
    Finding::pass(seen)
}

/// Transparent ones are wanted; reserved ones that nobody uses are not.
pub fn huge_pages(facts: &HostFacts) -> Finding {
    let reserved = facts.memory_kib("HugePages_Free");
    let size_kib = facts.memory_kib("Hugepagesize");
    if reserved > 0 {
        return Finding::warn(
            format!("{reserved} pages of {size_kib} KiB are reserved, and VMs do not use them"),
            "sysctl -w vm.nr_hugepages=0",
        );
    }
    match facts.huge_pages.as_deref() {
        Some(mode @ ("always" | "madvise")) => Finding::pass(format!("transparent: {mode}")),
        Some(mode) => Finding::warn(
            format!("transparent: {mode}"),
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        None => Finding::warn(
            "the kernel has no transparent huge pages",
            "# run a kernel with CONFIG_TRANSPARENT_HUGEPAGE (Debian's have it)",
        ),
    }
}

/// Equal pages of two guests must not become one.
pub fn ksm(facts: &HostFacts, needs: &Needs) -> Finding {
    match facts.ksm {
        None => Finding::pass("the kernel has none"),
        // Stopped, but what it merged before is still merged.
        Some(0) if facts.ksm_pages > 0 => risk(
            needs,
            Risk::Ksm,
            format!("stopped, with {} pages still merged", facts.ksm_pages),
            UNMERGE,
        ),
        Some(0 | 2) => Finding::pass("off"),
        Some(_) => {
            risk(needs, Risk::Ksm, format!("on, with {} pages merged", facts.ksm_pages), UNMERGE)
        }
    }
}

const UNMERGE: &str = "echo 2 > /sys/kernel/mm/ksm/run";

/// Guests' memory belongs in memory.
pub fn swap(facts: &HostFacts, needs: &Needs) -> Finding {
    if facts.swaps.is_empty() {
        return Finding::pass("off");
    }
    let named =
        |swap: &crate::doctor::facts::Swap| format!("{} ({} MiB)", swap.name, swap.kib / KIB);
    let all: Vec<String> = facts.swaps.iter().map(named).collect();
    risk(
        needs,
        Risk::Swap,
        format!("on: {}", all.join(", ")),
        "swapoff -a   # and take it out of /etc/fstab",
    )
}

/// The hard limit: the worker raises the soft one itself.
pub fn descriptors(facts: &HostFacts, needs: &Needs) -> Finding {
    let need = u64::from(needs.slots + needs.standby) * DESCRIPTORS_PER_VM + DESCRIPTORS_RESERVE;
    match facts.descriptors_max {
        Some(most) if most < need => Finding::fail(
            format!("at most {most}, and {} VMs need {need}", needs.slots + needs.standby),
            format!("ulimit -Hn {need}   # or LimitNOFILE={need} in the unit"),
        ),
        Some(most) => Finding::pass(format!("at most {most}, {need} needed")),
        None => Finding::pass(format!("no limit, {need} needed")),
    }
}

#[cfg(test)]
mod tests;
