//! What guests share when they share a processor.

use crate::config::Risk;
use crate::doctor::checks::{count, risk};
use crate::doctor::facts::HostFacts;
use crate::doctor::{Finding, Needs};

/// SMT: harmless off, or when no core is shared between VMs.
pub fn smt(facts: &HostFacts, needs: &Needs) -> Finding {
    let control = facts.smt_control.as_deref().unwrap_or("unknown");
    match facts.smt_active {
        Some(false) => Finding::pass(format!("one thread a core (control: {control})")),
        None => Finding::pass("the kernel knows no SMT here"),
        Some(true) if needs.pins_cores => {
            Finding::pass("on, and each VM has a physical core to itself")
        }
        Some(true) => risk(
            needs,
            Risk::Smt,
            format!("on (control: {control}), and VMs are not kept to physical cores"),
            "echo off > /sys/devices/system/cpu/smt/control   # or fewer slots, pin = \"auto\"",
        ),
    }
}

/// Holes that the kernel leaves open, named by it.
fn open_holes(facts: &HostFacts) -> Vec<&str> {
    let is_open =
        |says: &str| says.starts_with("Vulnerable") || says.starts_with("KVM: Vulnerable");
    let holes = facts.vulnerabilities.iter();
    holes.filter(|(_, says)| is_open(says)).map(|(name, _)| name.as_str()).collect()
}

/// What the kernel says about the processor's holes.
pub fn mitigations(facts: &HostFacts) -> Finding {
    let all = facts.vulnerabilities.len();
    if all == 0 {
        return Finding::warn("the kernel does not say", "# run a kernel newer than 4.15");
    }
    let open = open_holes(facts);
    if open.is_empty() {
        return Finding::pass(format!("{} known, none open", count(all, "hole")));
    }
    Finding::warn(
        format!("open: {}", open.join(", ")),
        "apt-get install amd64-microcode intel-microcode   # then reboot, without mitigations=off",
    )
}

#[cfg(test)]
mod tests;
