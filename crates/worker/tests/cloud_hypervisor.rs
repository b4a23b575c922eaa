//! Real VMs on cloud-hypervisor and KVM: the same as on QEMU, and each way to restore.
//!
//! Runs where the processor has KVM and cloud-hypervisor is there (`$CLOUD_HYPERVISOR`, else where
//! it usually is): on a host of that kind, or in the nested lab. Elsewhere each test says in one
//! line that it was skipped.

use std::io::Write as _;
use std::path::PathBuf;

use pe_proto::Outcome;
use pe_worker::config::{RawConfig, RestoreChoice, VmmChoice};
use pe_worker::core::pool::How;
use pe_worker::vm::ch::Program;

mod support {
    pub(crate) mod cases;
    pub(crate) mod rig;
}
use support::cases;
use support::rig::{Rig, stdout};

/// The lab is an emulated machine in which a guest boots twenty times slower.
const BOOT_MS: u64 = 180_000;

/// What VMs are made of here, or `None` and a line that cannot be overlooked.
async fn rig(coldplug: &[&str], restore: RestoreChoice) -> Option<Rig> {
    let named = std::env::var_os("CLOUD_HYPERVISOR").map(PathBuf::from);
    let missing = match Program::find(named.as_deref()) {
        Ok(_) => pe_worker::probe::no_kvm(pe_proto::Arch::X86_64).map(str::to_owned),
        Err(none) => Some(none.to_string()),
    };
    if let Some(reason) = missing {
        // Past the harness, which keeps what a passing test says to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no VM on cloud-hypervisor here: {reason}");
        return None;
    }
    let settings = RawConfig {
        vmm: Some(VmmChoice::CloudHypervisor),
        cloud_hypervisor: named,
        restore: Some(restore),
        boot_ms: Some(BOOT_MS),
        memory_mib: Some(512),
        ..support::rig::settings()
    };
    let rig = support::rig::rig(coldplug, settings).await;
    assert_eq!(rig.backend.vmm(), "cloud-hypervisor-kvm");
    Some(rig)
}

/// All of one zygote, which takes the longest to make.
#[tokio::test]
async fn what_holds_on_qemu_holds_here() {
    let Some(rig) = rig(&["busybox"], RestoreChoice::Auto).await else { return };
    // The first thread waits for the others to end.
    cases::a_vmm_is_confined(&rig, &["cloud-hyperviso"]).await;
    cases::siblings_know_nothing_of_each_other(&rig).await;
    cases::a_killed_vmm_is_noticed(&rig).await;
    cases::a_stopped_vmm_is_killed(&rig).await;
    cases::a_hung_vmm_is_found_out(&rig).await;
    cases::dropped_vms_leave_nothing(&rig).await;
}

/// Threat case 17.
#[tokio::test]
async fn vms_of_one_zygote_have_no_identity_in_common() {
    let Some(rig) = rig(&["busybox"], RestoreChoice::Auto).await else { return };
    cases::siblings_have_no_identity_in_common(&rig).await;
}

#[tokio::test]
async fn a_pack_that_was_not_there_from_the_start_is_plugged_in() {
    let Some(rig) = rig(&[], RestoreChoice::Auto).await else { return };
    cases::a_late_pack_is_plugged_in(&rig).await;
}

async fn check_restores(restore: RestoreChoice) {
    let Some(rig) = rig(&["busybox"], restore).await else { return };
    cases::siblings_know_nothing_of_each_other(&rig).await;
}

#[tokio::test]
async fn memory_can_be_copied_where_the_guest_touches_it() {
    check_restores(RestoreChoice::Ondemand).await;
}

#[tokio::test]
async fn memory_can_be_copied_before_the_guest_goes_on() {
    check_restores(RestoreChoice::Copy).await;
}

#[tokio::test]
async fn a_zygote_is_replaced_while_vms_of_the_old_one_live() {
    let Some(rig) = rig(&["busybox"], RestoreChoice::Auto).await else { return };
    let old = rig.restore().await;
    rig.backend.rebuild().await.expect("rebuilt");
    let new = rig.restore().await;
    for vm in [old, new] {
        let collected = rig.run(vm, "echo hello", async |_| {}).await;
        assert_eq!(stdout(&collected), "hello\n");
    }
}

#[tokio::test]
async fn a_vm_that_is_booted_runs_a_job_too() {
    let Some(rig) = rig(&["busybox"], RestoreChoice::Boot).await else { return };
    assert!(!rig.backend.has_zygote());
    let vm = rig.backend.start(How::Boot).await.expect("ready");
    let collected = rig.run(vm, "cat a", async |_| {}).await;
    assert_eq!(collected.meta.outcome, Outcome::Exited { code: 0 });
    assert_eq!(stdout(&collected), "data");
}
