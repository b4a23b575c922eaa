//! A process that is no VMM, with the test in the place of its guest.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::config::{Config, RawConfig};
use crate::images::Pack;
use crate::jail::{Jail, Needs};
use crate::vm::process::{Census, Order, Spawner};

/// Nobody asks the VMM anything here.
#[derive(Debug)]
struct Unasked;

impl Control for Unasked {
    type Line = DuplexStream;

    async fn greet(&mut self) -> Result<(), VmError> {
        Err(VmError::Garbled)
    }

    async fn ping(&mut self) -> Result<(), VmError> {
        Err(VmError::Garbled)
    }

    async fn plug(&mut self, _: String, _: &Pack) -> Result<(), VmError> {
        Err(VmError::Garbled)
    }
}

/// A VM on its way up, and the guest's end of its serial port.
struct Rig {
    vm: BootingVm<Unasked>,
    guest: DuplexStream,
    /// Its processes end with it.
    _spawner: Spawner,
    _dir: tempfile::TempDir,
}

async fn rig() -> Rig {
    let dir = tempfile::tempdir().expect("tempdir");
    let here = Some(dir.path().to_owned());
    let settings = RawConfig {
        images: here.clone(),
        vm_assets: here,
        runtime_dir: Some(dir.path().join("run")),
        ..RawConfig::default()
    };
    let config = Config::load(None, settings, 1).expect("config");
    let jail = Jail::prepare(&config).expect("jail");
    let program = std::fs::canonicalize("/bin/sleep").expect("sleep");
    let needs = Needs { program: program.clone(), dirs: vec![], kvm: false, userfaultfd: false };
    let spawner = Spawner::start(Census::default(), &jail, &needs).expect("spawner");
    let order = Order {
        program: program.into_os_string(),
        argv: vec!["600".to_owned()],
        fds: vec![],
        terminal: None,
        confinement: jail.confinement(64 << 20).expect("confinement"),
    };
    let vmm = spawner.spawn(order).await.expect("sleep");
    let (line, guest) = duplex(64);
    Rig { vm: BootingVm::new(vmm, Unasked, Serial::new(line)), guest, _spawner: spawner, _dir: dir }
}

const WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(start_paused = true)]
async fn a_guest_that_did_not_hear_its_bell_is_rung_again() {
    let Rig { mut vm, mut guest, _spawner, _dir } = rig().await;
    let began = Instant::now();
    let deaf_at_first = async {
        for _ in 0..3 {
            guest.read_u8().await.expect("a bell");
        }
        guest.write_all(b"\npe:ready\n").await.expect("write");
    };
    let (looked, ()) = tokio::join!(vm.look_around(Deadline::after(WITHIN)), deaf_at_first);
    looked.expect("ready");
    assert!(began.elapsed() < WITHIN / 2, "{:?}", began.elapsed());
    vm.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_never_answers_is_late_after_all_its_time() {
    let Rig { mut vm, guest, _spawner, _dir } = rig().await;
    let began = Instant::now();
    let late = vm.look_around(Deadline::after(WITHIN)).await;
    assert!(matches!(late, Err(StartError::Late { within: WITHIN, .. })), "{late:?}");
    assert!((WITHIN..WITHIN * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    vm.kill().await;
    drop(guest);
}
