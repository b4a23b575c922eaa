use std::time::Duration;

use super::*;
use crate::doctor::Verdict::{Fail, Pass, Warn};
use crate::doctor::facts::tests::plain_host;

fn boots(emulated: bool) -> BootFacts {
    let again = Some(Duration::from_millis(300));
    BootFacts::Boots {
        vmm: "qemu-tcg".to_owned(),
        emulated,
        first: Duration::from_millis(2940),
        again,
        failed: Vec::new(),
    }
}

fn fails() -> BootFacts {
    BootFacts::Fails { reason: "guest was not ready within 60000 ms".to_owned() }
}

#[test]
fn a_guest_that_boots_is_the_proof_and_one_that_cannot_be_saved_is_slow() {
    let found = boot(&boots(true));
    assert_eq!(found, Finding::pass("qemu-tcg: ready and saved after 2.9 s, restored in 0.3 s"));
    assert_eq!(boot(&fails()).verdict, Fail);
    let not_tried = BootFacts::NotTried { reason: "no images".to_owned() };
    assert_eq!(boot(&not_tried).verdict, Warn);
    let first = Duration::from_secs(3);
    let vmm = "qemu-kvm".to_owned();
    let failed = Vec::new();
    let unsaved = BootFacts::Boots { vmm, emulated: false, first, again: None, failed };
    assert_eq!(boot(&unsaved).verdict, Warn);
}

fn check_kvm(device: Device, virtualisation: bool, seen: &str, mend: &str) {
    let facts = HostFacts { kvm: device, virtualisation, ..plain_host() };
    let found = kvm(&facts, &Needs::private(), &boots(true));
    assert_eq!(found.verdict, Warn);
    assert!(found.seen.contains(seen), "{}", found.seen);
    assert!(found.mend.as_ref().is_some_and(|it| it.contains(mend)), "{:?}", found.mend);
    let only = Needs { kvm_only: true, ..Needs::private() };
    assert_eq!(kvm(&facts, &only, &fails()).verdict, Fail);
}

#[test]
fn a_device_that_opens_is_no_kvm() {
    check_kvm(Device::Opens, false, "neither vmx nor svm", "firmware");
    check_kvm(Device::Opens, true, "was not seen to run", "--accel kvm");
    check_kvm(Device::Missing, true, "there is no /dev/kvm", "modprobe kvm");
    check_kvm(Device::Missing, false, "there is no /dev/kvm", "firmware");
    check_kvm(Device::Denied, false, "neither vmx nor svm", "firmware");
    check_kvm(Device::Denied, true, "not ours to open", "usermod -aG kvm");
}

#[test]
fn a_guest_on_kvm_passes_and_so_does_emulation_that_was_asked_for() {
    assert_eq!(kvm(&plain_host(), &Needs::private(), &boots(false)).verdict, Pass);
    let emulated = Needs { emulation_only: true, ..Needs::private() };
    assert_eq!(kvm(&plain_host(), &emulated, &boots(true)).verdict, Pass);
}

#[test]
fn a_vmm_that_was_tried_in_vain_is_told() {
    let failed = vec!["cloud-hypervisor-kvm: late".to_owned()];
    let (first, again) = (Duration::from_secs(1), Some(Duration::from_secs(1)));
    let vmm = "qemu-kvm".to_owned();
    let found = boot(&BootFacts::Boots { vmm, emulated: false, first, again, failed });
    assert_eq!(found.verdict, Warn);
    assert!(found.seen.contains("cloud-hypervisor-kvm: late"), "{}", found.seen);
}

fn there(said: &str) -> Found {
    Found::Program { program: "/usr/bin/vmm".into(), said: said.to_owned() }
}

fn absent(reason: &str) -> Found {
    Found::Missing { reason: reason.to_owned() }
}

fn judged(vmm: VmmChoice, cloud_hypervisor: Found, qemu: Found) -> Finding {
    super::vmm(&VmmFacts { cloud_hypervisor, qemu }, &Needs { vmm, ..Needs::private() })
}

#[test]
fn versions_of_vmms_are_judged_by_what_was_tested_and_what_is_known() {
    let qemu = |said: &str| judged(VmmChoice::Qemu, absent("no ch"), there(said));
    assert_eq!(qemu("QEMU emulator version 7.2.22 (Debian)").verdict, Pass);
    assert_eq!(qemu("QEMU emulator version 6.0.0").verdict, Warn);
    assert!(qemu("QEMU emulator version 10.0.2").seen.contains("newer than any tested (7.2)"));
    assert_eq!(qemu("Bochs 2.7").verdict, Warn);
    let ch = |said: &str| judged(VmmChoice::CloudHypervisor, there(said), absent("no qemu"));
    assert_eq!(ch("cloud-hypervisor v54.0.0").verdict, Pass);
    assert_eq!(ch("cloud-hypervisor v55.0.0").verdict, Warn);
    let old = ch("cloud-hypervisor v51.1.0");
    assert_eq!(old.verdict, Warn);
    assert!(old.seen.contains("CVE-2026-45782"), "{}", old.seen);
}

#[test]
fn the_vmm_that_is_asked_for_must_be_there_and_else_any() {
    let ch = || there("cloud-hypervisor v54.0.0");
    let qemu = || there("QEMU emulator version 7.2.22");
    let old = || Found::Unusable { reason: "it is v49.0; v50 or later is needed".to_owned() };
    let verdict = |choice, ch, qemu| judged(choice, ch, qemu).verdict;
    assert_eq!(verdict(VmmChoice::CloudHypervisor, absent("no ch"), qemu()), Fail);
    assert_eq!(verdict(VmmChoice::CloudHypervisor, old(), qemu()), Fail);
    assert_eq!(verdict(VmmChoice::Qemu, ch(), absent("no qemu")), Fail);
    assert_eq!(verdict(VmmChoice::Auto, ch(), absent("no qemu")), Pass);
    assert_eq!(verdict(VmmChoice::Auto, absent("no ch"), qemu()), Pass);
    assert_eq!(verdict(VmmChoice::Auto, ch(), qemu()), Pass);
    assert_eq!(verdict(VmmChoice::Auto, old(), qemu()), Warn);
    assert_eq!(verdict(VmmChoice::Auto, old(), absent("no qemu")), Fail);
    assert_eq!(verdict(VmmChoice::Auto, absent("no ch"), absent("no qemu")), Fail);
    let needs = Needs { emulation_only: true, ..Needs::private() };
    let facts = VmmFacts { cloud_hypervisor: ch(), qemu: absent("no qemu") };
    assert_eq!(super::vmm(&facts, &needs).verdict, Fail);
}

#[test]
fn guest_files_must_be_what_was_built() {
    let found = |changed: &[&str], unreadable: &[&str], without_manifest| {
        let owned = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect();
        guest_files(&GuestFilesFacts::Found {
            release: "6.1".to_owned(),
            changed: owned(changed),
            unreadable: owned(unreadable),
            without_manifest,
        })
    };
    assert_eq!(found(&[], &[], false).verdict, Pass);
    assert_eq!(found(&[], &[], true).verdict, Warn);
    assert_eq!(found(&["vmlinuz"], &[], false).verdict, Fail);
    assert_eq!(found(&[], &["/vm/vmlinuz"], false).mend.as_deref(), Some("chmod a+r /vm/vmlinuz"));
    let missing = GuestFilesFacts::Missing { reason: "vmlinuz: not there".to_owned() };
    assert_eq!(guest_files(&missing).verdict, Fail);
}
