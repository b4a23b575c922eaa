//! A worker's foundation with one slot, as its settings make it, and nothing left of it after.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pe_worker::config::{Config, RawConfig};
use pe_worker::core::pool::How;
use pe_worker::jail::Jail;
use pe_worker::vm::process::Census;
use pe_worker::vm::{Backend, ReadyVm};
use pe_worker::worker::Foundation;

pub(crate) fn build_dir() -> PathBuf {
    match std::env::var_os("PE_BUILD_DIR") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build"),
    }
}

pub(crate) fn is_cloud_hypervisor() -> bool {
    std::env::var_os("PE_TEST_VMM").is_some_and(|vmm| vmm == "cloud-hypervisor")
}

pub(crate) fn uses_kvm() -> bool {
    is_cloud_hypervisor() || std::env::var_os("PE_TEST_ACCEL").is_some_and(|accel| accel == "kvm")
}

/// Settings as a file has them, so that both VMMs are asked for in the same words.
pub(crate) fn config(dir: &Path, more: &str) -> Config {
    let build = build_dir();
    let accel = std::env::var_os("PE_TEST_ACCEL").unwrap_or_else(|| "tcg".into());
    let qemu = format!("accel = {accel:?}");
    let vmm = if is_cloud_hypervisor() { "vmm = \"cloud-hypervisor\"".to_owned() } else { qemu };
    let boot_ms = std::env::var_os("PE_TEST_BOOT_MS").unwrap_or_else(|| "120000".into());
    let boot_ms = boot_ms.to_string_lossy();
    let text = format!(
        "{vmm}\nboot_ms = {boot_ms}\nimages = {:?}\nvm_assets = {:?}\nslots = 1\ncoldplug = [\"busybox\"]\n{more}\n",
        build.join("images"),
        build.join("vm/x86_64"),
    );
    let path = dir.join("worker.toml");
    fs::write(&path, text).expect("write");
    Config::load(Some(&path), RawConfig::default(), 2).expect("config")
}

/// Directory of one test's workers. Dropping it leaves nothing of them on the host, as their
/// notes go with it: the last of them tidies up, and what was killed is swept.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("tempdir"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn has_instances(&self) -> bool {
        let entries = fs::read_dir(self.path().join("run")).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.path().join("vms").is_dir())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let runtime = self.path().join("run");
        let config = config(self.path(), &format!("runtime_dir = {runtime:?}"));
        let began = Instant::now();
        while self.has_instances() && began.elapsed() < Duration::from_secs(3) {
            // An ordinary user's directory is not ours to sweep, and has no groups.
            let Ok(jail) = Jail::prepare(&config) else { return };
            jail.settle(Duration::from_secs(1));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

pub(crate) struct Rig {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) jail: Jail,
    pub(crate) census: Census,
    // Dropped last.
    pub(crate) dir: Place,
}

pub(crate) async fn rig() -> Rig {
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).try_init();
    let dir = Place::new();
    let runtime = dir.path().join("run");
    let config = config(dir.path(), &format!("runtime_dir = {runtime:?}"));
    let foundation = Foundation::lay(&config).await.expect("foundation");
    assert!(foundation.has_zygote());
    let (jail, census) = (foundation.jail().clone(), foundation.census().clone());
    Rig { backend: foundation.into_backend(), jail, census, dir }
}

impl Rig {
    pub(crate) async fn vm(&self) -> ReadyVm {
        self.backend.start(How::Restore).await.expect("ready")
    }
}

/// Waits for what has to come.
pub(crate) async fn until(what: &str, within: Duration, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < within, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
