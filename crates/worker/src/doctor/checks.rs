//! The checks: what each is called, why it matters, and, by topic, the functions that judge.
//!
//! A judging function knows [facts](super::facts) and [needs](super::Needs) and does no I/O. A
//! new check is a line in [`ALL`], a function, a section in docs/doctor.md (a test compares).

use super::{Check, Finding, Needs};
use crate::config::Risk;

pub mod advisories;
pub mod cpu;
pub mod isolation;
pub mod memory;
pub mod service;
pub mod time;
pub mod vm;

macro_rules! checks {
    ($($name:ident = $id:literal, $what:literal, $why:literal;)*) => {
        $(
            #[doc = $what]
            pub static $name: Check = Check { id: $id, what: $what, why: $why };
        )*
        /// Every check, in the order of reports.
        pub static ALL: &[&Check] = &[$(&$name),*];
    };
}

checks! {
    BOOT = "boot", "a guest boots and waits for a job",
        "Every job runs in a guest like this one; if it does not get ready here, none will.";
    KVM = "kvm", "guests run on hardware",
        "Without KVM the VMM emulates every instruction: programs run 10 to 50 times slower.";
    VMM = "vmm", "a VMM of a tested version is there",
        "The VMM is the border between a hostile guest and this host; old ones have known holes.";
    GUEST_FILES = "guest-files", "kernel and initramfs are there, as they were built",
        "All VMs boot from these two files, so a damaged or changed one is in every VM.";
    VM_USER = "vm-user", "each VM is a user of its own, who owns nothing",
        "A guest that breaks out of its VMM is that user, and can do what that user can.";
    SECCOMP = "seccomp", "VMMs can filter their own system calls",
        "It keeps a VMM that was taken over away from most of the kernel, and from its defects.";
    CGROUP = "cgroup", "cgroup v2 bounds memory, pids and cpu of each VMM",
        "It bounds what a VMM takes of the host, whatever its guest made it do.";
    LANDLOCK = "landlock", "Landlock confines VMMs",
        "It keeps a VMM that was taken over away from every file it was not given.";
    NAMESPACES = "namespaces", "VMMs are in namespaces of their own",
        "A VMM in its own namespaces sees no network, no processes and no files of the host.";
    USERFAULTFD = "userfaultfd", "userfaultfd is usable",
        "Restores on demand (restore = \"ondemand\") bring a guest's memory in by way of it.";
    MEMORY = "memory", "memory for all slots at once",
        "When memory runs out under load the kernel kills a VMM, and a job with it, or worse.";
    HUGE_PAGES = "huge-pages", "transparent huge pages, and none reserved for nothing",
        "Huge pages make a guest's memory cheaper; reserved ones are lost to every VM.";
    KSM = "ksm", "no merging of equal pages (KSM)",
        "Merged pages let one guest time its writes and learn what is in another's memory.";
    SWAP = "swap", "no swap",
        "Swapped memory leaves one job's data on a disk, and a swapped VM misses its deadlines.";
    DESCRIPTORS = "descriptors", "descriptors for all slots",
        "Each VM takes a dozen descriptors of the worker; beyond the limit no VM starts.";
    SMT = "smt", "guests do not share a physical core",
        "Two threads of one core share its caches, so that one guest can listen to another.";
    MITIGATIONS = "mitigations", "the processor's holes are mitigated",
        "An open hole of the processor lets a guest read memory of the host or of its neighbours.";
    CLOCK = "clock", "the clock is right",
        "Guests get their time from here, and the logs of worker and LB are compared by it.";
    UPTIME = "uptime", "the host has settled, and its kernel is not ancient",
        "Just after a boot the clock may still jump; after a year the kernel lacks a year of mends.";
    ENTROPY = "entropy", "the kernel's random numbers are seeded",
        "Nonces, and the seed of every guest, come from the host's generator.";
    IMAGES = "images", "the catalogue is valid and every pack is whole",
        "An image whose pack is missing or damaged cannot be run, or not as it was built.";
    LB = "lb", "the LB answers on HTTP/2",
        "A worker that does not reach its LB gets no jobs.";
    TOKEN = "token", "the LB takes the token",
        "The LB lets in workers that know the token, and nobody else.";
    METRICS = "metrics", "the metrics address is free",
        "A worker that cannot listen where it was told does not start.";
}

/// A risk that is there: told in private, refused in public, unless the operator takes it.
fn risk(needs: &Needs, risk: Risk, seen: String, mend: &str) -> Finding {
    let name = risk.as_str();
    if needs.accepts(risk) {
        Finding::warn(format!("{seen}; accepted by accept = [\"{name}\"]"), mend)
    } else if needs.public {
        let or = format!("{mend}\n# or, to take the risk: accept = [\"{name}\"] (--accept {name})");
        Finding::fail(seen, or)
    } else {
        Finding::warn(format!("{seen}; a public worker would not start"), mend)
    }
}

/// A count with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::HashSet;

    #[test]
    fn every_check_has_its_section_in_the_documentation() {
        let page = include_str!("../../../../docs/doctor.md");
        for check in ALL {
            let heading = format!("### {}\n", check.id);
            assert!(page.contains(&heading), "docs/doctor.md has no `{}`", heading.trim());
        }
        assert_eq!(page.matches("\n### ").count(), ALL.len(), "a section without a check");
    }

    #[test]
    fn ids_are_unique_and_reasons_are_sentences() {
        let ids: HashSet<&str> = ALL.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), ALL.len());
        for check in ALL {
            assert!(check.why.ends_with('.') && !check.what.ends_with('.'), "{}", check.id);
        }
    }
}
