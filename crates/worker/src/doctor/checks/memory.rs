//! Memory: enough of it, and none that others can look into.

use pe_proto::limits::IO_FILE_BYTES;

use crate::config::Risk;
use crate::doctor::checks::{count, risk};
use crate::doctor::facts::{Device, HostFacts};
use crate::doctor::{Finding, Needs};
use crate::limits::{
    DESCRIPTORS_PER_VM, DESCRIPTORS_RESERVE, MEMORY_MIB_KVM, MEMORY_MIB_RESERVE, MEMORY_MIB_TCG,
    RESULTS_WAITING_PER_SLOT, VMM_OVERHEAD_BYTES,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What all slots take at their worst, in MiB: every guest's memory written, every io file full.
fn worst_mib(facts: &HostFacts, needs: &Needs, slots: u64) -> u64 {
    let has_kvm = facts.kvm == Device::Opens && facts.virtualisation && !needs.emulation_only;
    let usual = if has_kvm { MEMORY_MIB_KVM } else { MEMORY_MIB_TCG };
    let guest = needs.memory_mib.unwrap_or(usual);
    let io_files = slots * u64::from(1 + RESULTS_WAITING_PER_SLOT) * (IO_FILE_BYTES / MIB);
    // One guest more: the zygote's memory.
    (slots + 1) * guest + slots * (VMM_OVERHEAD_BYTES / MIB) + io_files + MEMORY_MIB_RESERVE
}

/// Worst case against what is free now.
pub fn memory(facts: &HostFacts, needs: &Needs) -> Finding {
    let available = facts.memory_kib("MemAvailable") / KIB;
    let slots = u64::from(needs.slots);
    let (worst, least) = (worst_mib(facts, needs, slots), worst_mib(facts, needs, 1));
    let slots_named = count(needs.slots.try_into().unwrap_or(usize::MAX), "slot");
    let seen = format!("{available} MiB free, {worst} MiB needed by {slots_named} at worst");
    if worst <= available {
        return Finding::pass(seen);
    }
    if least > available {
        let seen = format!("{available} MiB free, {least} MiB needed by one slot at worst");
        return Finding::fail(seen, "# give this host more memory, or set memory_mib lower");
    }
    let fitting = (1..slots).rev().find(|slots| worst_mib(facts, needs, *slots) <= available);
    let fitting = fitting.unwrap_or(1);
    Finding::warn(seen, format!("# serve with --slots {fitting}, or with a lower --memory-mib"))
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
    let need = u64::from(needs.slots) * DESCRIPTORS_PER_VM + DESCRIPTORS_RESERVE;
    match facts.descriptors_max {
        Some(most) if most < need => Finding::fail(
            format!("at most {most}, and {} slots need {need}", needs.slots),
            format!("ulimit -Hn {need}   # or LimitNOFILE={need} in the unit"),
        ),
        Some(most) => Finding::pass(format!("at most {most}, {need} needed")),
        None => Finding::pass(format!("no limit, {need} needed")),
    }
}

#[cfg(test)]
mod tests;
