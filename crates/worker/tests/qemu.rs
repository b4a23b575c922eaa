//! Real VMs on this host's QEMU, emulated: what only a real VMM and a real guest can show.

use pe_worker::config::{AccelChoice, Config, RawConfig, VmmChoice};
use pe_worker::core::pool::How;
use pe_worker::worker::Foundation;

mod support {
    pub(crate) mod cases;
    pub(crate) mod rig;
}
use support::cases;
use support::rig::Rig;

fn settings() -> RawConfig {
    let (vmm, accel) = (Some(VmmChoice::Qemu), Some(AccelChoice::Tcg));
    RawConfig { vmm, accel, ..support::rig::settings() }
}

async fn rig(coldplug: &[&str]) -> Rig {
    support::rig::rig(coldplug, settings()).await
}

#[tokio::test]
async fn a_restored_vm_runs_a_job_and_its_sibling_knows_nothing_of_it() {
    cases::siblings_know_nothing_of_each_other(&rig(&["busybox"]).await).await;
}

#[tokio::test]
async fn a_pack_that_was_not_there_from_the_start_is_plugged_in() {
    cases::a_late_pack_is_plugged_in(&rig(&[]).await).await;
}

#[tokio::test]
async fn a_vmm_is_confined_and_has_only_its_own_files() {
    cases::a_vmm_is_confined(&rig(&["busybox"]).await, &[]).await;
}

#[tokio::test]
async fn a_vmm_that_is_killed_is_noticed_at_once_and_its_streams_are_kept() {
    cases::a_killed_vmm_is_noticed(&rig(&["busybox"]).await).await;
}

#[tokio::test]
async fn a_stopped_vmm_is_killed_and_reaped() {
    cases::a_stopped_vmm_is_killed(&rig(&["busybox"]).await).await;
}

#[tokio::test]
async fn a_vmm_that_hung_while_it_waited_is_found_out_when_a_job_comes() {
    cases::a_hung_vmm_is_found_out(&rig(&["busybox"]).await).await;
}

#[tokio::test]
async fn vms_that_are_dropped_leave_nothing_behind() {
    cases::dropped_vms_leave_nothing(&rig(&["busybox"]).await).await;
}

#[tokio::test]
async fn a_vmm_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().expect("tempdir");
    let qemu = dir.path().join("qemu");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && exec echo fake 1.0\n\
                  echo no such luck >&2\nexit 1\n";
    std::fs::write(&qemu, script).expect("write");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&qemu, mode).expect("mode");
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("mode");
    let settings = RawConfig { qemu: Some(qemu), ..settings() };
    let config = Config::load(None, settings, 2).expect("config");
    let foundation = Foundation::lay(&config).await.expect("foundation");
    assert!(!foundation.has_zygote());
    let error = foundation.into_backend().start(How::Boot).await.expect_err("no vm");
    assert!(error.to_string().contains("no such luck"), "{error}");
}

/// Threat case 17.
#[tokio::test]
async fn vms_of_one_zygote_have_no_identity_in_common() {
    cases::siblings_have_no_identity_in_common(&rig(&["busybox"]).await).await;
}
