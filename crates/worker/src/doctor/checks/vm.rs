//! Does a guest run here, on what, from which files, as whom?

use crate::config::VmmChoice;
use crate::doctor::checks::advisories::{product, version_in};
use crate::doctor::facts::{Device, HostFacts};
use crate::doctor::probes::boot::BootFacts;
use crate::doctor::probes::guest_files::GuestFilesFacts;
use crate::doctor::probes::vmm::{Found, VmmFacts};
use crate::doctor::{Finding, Needs, Verdict};

/// A guest that waits is the proof of everything below it.
pub fn boot(boot: &BootFacts) -> Finding {
    match boot {
        // Guests run, but not on what the worker would rather have.
        BootFacts::Boots { vmm, first, failed, .. } if !failed.is_empty() => Finding::warn(
            format!(
                "{vmm}: ready after {}; tried before that: {}",
                seconds(*first),
                failed.join("; ")
            ),
            "pe-worker bench --log debug   # with the flags of the worker; says more",
        ),
        BootFacts::Boots { vmm, first, again: Some(again), .. } => Finding::pass(format!(
            "{vmm}: ready and saved after {}, restored in {}",
            seconds(*first),
            seconds(*again)
        )),
        BootFacts::Boots { vmm, first, again: None, .. } => Finding::warn(
            format!(
                "{vmm}: ready after {}, but it cannot be saved, so every VM boots",
                seconds(*first)
            ),
            "pe-worker bench --log debug   # with the flags of the worker; says why",
        ),
        BootFacts::NotTried { reason } => Finding::warn(
            format!("not tried: {reason}"),
            "# mend the other findings, then run the doctor again",
        ),
        BootFacts::Fails { reason } => Finding::fail(
            reason.clone(),
            "pe-worker bench --log debug   # with the flags of the worker; says more",
        ),
    }
}

/// A `/dev/kvm` that opens proves nothing; what a guest ran on does.
pub fn kvm(facts: &HostFacts, needs: &Needs, boot: &BootFacts) -> Finding {
    let no_guest = match boot {
        BootFacts::Boots { emulated: false, .. } => {
            return Finding::pass("a guest ran on KVM");
        }
        BootFacts::Boots { .. } if needs.emulation_only => {
            return Finding::pass("emulation, as configured: programs run 10 to 50 times slower");
        }
        BootFacts::Boots { .. } => "guests are emulated",
        BootFacts::NotTried { .. } | BootFacts::Fails { .. } => "no guest ran",
    };
    let (found, mend) = kvm_hint(facts);
    let seen = format!("{no_guest}; {found}");
    if needs.kvm_only { Finding::fail(seen, mend) } else { Finding::warn(seen, mend) }
}

fn kvm_hint(facts: &HostFacts) -> (&'static str, &'static str) {
    match (facts.kvm, facts.virtualisation) {
        (Device::Missing, true) => {
            ("there is no /dev/kvm", "modprobe kvm_intel || modprobe kvm_amd || modprobe kvm")
        }
        (Device::Denied, true) => {
            ("/dev/kvm is not ours to open", "usermod -aG kvm \"$USER\"   # then log in anew")
        }
        (Device::Denied, false) => {
            ("/dev/kvm is not ours, and the processor names neither vmx nor svm", FIRMWARE)
        }
        (Device::Missing, false) => {
            ("there is no /dev/kvm, and the processor names neither vmx nor svm", FIRMWARE)
        }
        (Device::Opens, false) => {
            ("/dev/kvm opens, but the processor names neither vmx nor svm", FIRMWARE)
        }
        (Device::Opens, true) => (
            "/dev/kvm opens, but a guest was not seen to run on it",
            "pe-worker bench --accel kvm --log debug   # with the flags of the worker; says why",
        ),
    }
}

const FIRMWARE: &str = "# switch on VT-x or AMD-V in the firmware; in a virtual machine, \
                        ask its host for nested virtualisation";

/// The VMM is the border, so its version matters: that of the one that is asked for, or, where
/// the worker may choose, of each that is there.
pub fn vmm(facts: &VmmFacts, needs: &Needs) -> Finding {
    let cloud_hypervisor = || program(&facts.cloud_hypervisor, DOWNLOAD, DOWNLOAD);
    let qemu = || program(&facts.qemu, INSTALL, UPGRADE);
    match needs.vmm {
        VmmChoice::CloudHypervisor => cloud_hypervisor(),
        VmmChoice::Qemu => qemu(),
        VmmChoice::Auto if needs.emulation_only => qemu(),
        VmmChoice::Auto => match (&facts.cloud_hypervisor, &facts.qemu) {
            // Nobody has to have it; QEMU is what most have.
            (Found::Missing { .. }, _) => qemu(),
            (Found::Program { .. }, Found::Missing { .. }) => cloud_hypervisor(),
            (Found::Unusable { .. } | Found::Program { .. }, _) => {
                either(cloud_hypervisor(), qemu())
            }
        },
    }
}

/// Two programs of which one is enough.
fn either(one: Finding, other: Finding) -> Finding {
    let seen = format!("{}; {}", one.seen, other.seen);
    let gravest = one.verdict.max(other.verdict);
    let both_fail = one.verdict.min(other.verdict) == Verdict::Fail;
    let verdict = if both_fail { Verdict::Fail } else { gravest.min(Verdict::Warn) };
    Finding { verdict, seen, mend: one.mend.or(other.mend) }
}

fn program(found: &Found, install: &str, upgrade: &str) -> Finding {
    let (program, said) = match found {
        Found::Missing { reason } => return Finding::fail(reason.clone(), install),
        Found::Unusable { reason } => return Finding::fail(reason.clone(), upgrade),
        Found::Program { program, said } => (program.display(), said),
    };
    let seen = format!("{program}: {said}");
    let (Some(product), Some(version)) = (product(said), version_in(said)) else {
        return Finding::warn(format!("{seen}; not a VMM or a version that is known"), upgrade);
    };
    // No hole of which it is known that a guest of ours reaches it: such a version is refused by
    // the worker, and cannot be used.
    let holes = product.holes(version);
    if !holes.is_empty() {
        return Finding::warn(format!("{seen}; it has {}", holes.join(", ")), upgrade);
    }
    let (oldest, newest) = product.tested;
    if version < oldest {
        Finding::warn(format!("{seen}; older than any tested ({oldest})"), upgrade)
    } else if version > newest {
        let careful = "pe-worker bench --image busybox   # with the flags of the worker";
        Finding::warn(format!("{seen}; newer than any tested ({newest})"), careful)
    } else {
        Finding::pass(seen)
    }
}

const INSTALL: &str = "apt-get install qemu-system-x86   # or name the program: --qemu PATH";
const UPGRADE: &str = "apt-get update && apt-get install qemu-system-x86";
const DOWNLOAD: &str = "# take a release from v52 to v54 of its project (or name another one: \
                        --cloud-hypervisor PATH)";

/// What every VM boots from.
pub fn guest_files(facts: &GuestFilesFacts) -> Finding {
    let build = "make vm   # in a checkout; or copy build/vm/ARCH whole";
    match facts {
        GuestFilesFacts::Missing { reason } => Finding::fail(reason.clone(), build),
        GuestFilesFacts::Found { release, changed, unreadable, without_manifest } => {
            if !changed.is_empty() {
                let seen = format!("not as manifest.json has it: {}", changed.join(", "));
                return Finding::fail(seen, build);
            }
            if !unreadable.is_empty() {
                let seen = format!("VMs cannot read {}", unreadable.join(", "));
                return Finding::fail(seen, format!("chmod a+r {}", unreadable.join(" ")));
            }
            if *without_manifest {
                let seen = format!("Linux {release}; no manifest.json to compare with");
                return Finding::warn(seen, build);
            }
            Finding::pass(format!("Linux {release}, as manifest.json has it"))
        }
    }
}

fn seconds(time: std::time::Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
