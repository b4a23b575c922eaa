//! Real VMs on cloud-hypervisor and KVM: the same as on QEMU, and each way to restore.
//!
//! Runs where the processor has KVM and cloud-hypervisor is there (`$CLOUD_HYPERVISOR`, else where
//! it usually is): on a host of that kind, or in the nested lab. Elsewhere each test says in one
//! line that it was skipped.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pe_proto::Outcome;
use pe_worker::config::{Config, RawConfig, RestoreChoice, VmmChoice};
use pe_worker::core::pool::How;
use pe_worker::probe::Candidate;
use pe_worker::vm::accel::Accel;
use pe_worker::vm::ch::Program;
use pe_worker::worker::Foundation;

mod support {
    pub(crate) mod cases;
    pub(crate) mod rig;
}
use support::cases;
use support::rig::{Rig, stdout};

/// The lab is an emulated machine in which a guest boots twenty times slower.
const BOOT_MS: u64 = 180_000;

/// The program, or `None` and a line that cannot be overlooked.
fn program() -> Option<Program> {
    let named = std::env::var_os("CLOUD_HYPERVISOR").map(PathBuf::from);
    let found = Program::find(named.as_deref()).map_err(|none| none.to_string());
    let usable = found.and_then(|program| match pe_worker::probe::no_kvm(pe_proto::Arch::X86_64) {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(program),
    });
    if let Err(reason) = &usable {
        // Past the harness, which keeps what a passing test says to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no VM on cloud-hypervisor here: {reason}");
    }
    usable.ok()
}

fn settings(program: &Path, restore: RestoreChoice) -> RawConfig {
    RawConfig {
        cloud_hypervisor: Some(program.to_owned()),
        restore: Some(restore),
        boot_ms: Some(BOOT_MS),
        memory_mib: Some(512),
        ..support::rig::settings()
    }
}

/// What VMs are made of here, if they can be made.
async fn rig(coldplug: &[&str], restore: RestoreChoice) -> Option<Rig> {
    let settings =
        RawConfig { vmm: Some(VmmChoice::CloudHypervisor), ..settings(&program()?.path, restore) };
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

/// It is remembered, so nothing better is tried; what comes after it is tried all the same.
#[tokio::test]
async fn a_vmm_that_is_remembered_and_fails_today_gives_way_to_the_next() {
    let Some(Program { path, said, .. }) = program() else { return };
    let dir = tempfile::tempdir().expect("tempdir");
    let mode = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    mode(dir.path()).expect("mode");
    let here = dir.path().join("cloud-hypervisor");
    fs::copy(path, &here).expect("copy");
    let settings = RawConfig {
        state_dir: Some(dir.path().to_owned()),
        ..settings(&here, RestoreChoice::Boot)
    };
    let config = Config::load(None, settings, 2).expect("config");
    let tried = async || {
        let foundation = Foundation::lay(&config).await.expect("something runs guests");
        let trials = foundation.trials().iter();
        trials.map(|trial| (trial.candidate, trial.failure.is_none())).collect::<Vec<_>>()
    };
    let ch = Candidate::CloudHypervisor;
    assert_eq!(tried().await, [(ch, true)]);
    let verdict = || fs::read_to_string(dir.path().join("vmm-verdict")).expect("a verdict");
    assert!(verdict().starts_with("cloud-hypervisor-kvm\n"), "{}", verdict());
    // It says that it is the same one and runs no guest: where VMMs are it is not even started.
    fs::remove_file(&here).expect("remove");
    fs::write(&here, format!("#!/bin/sh\necho '{said}'\n")).expect("write");
    mode(&here).expect("mode");
    assert_eq!(Program::find(Some(&here)).expect("it says so").said, said);
    let kvm = Candidate::Qemu(Accel::Kvm);
    assert_eq!(tried().await, [(ch, false), (kvm, true)]);
    assert!(verdict().starts_with("qemu-kvm\n"), "{}", verdict());
    // From now on that one is where the worker begins.
    assert_eq!(tried().await, [(kvm, true)]);
}
