//! The zygote: a guest that waits, saved once, restored many times.
//!
//! Owns the saved memory and the saved state, both memfds, both sealed against every write once
//! the zygote's process is dead: what one restored guest does can reach no other. It is gone
//! with the worker and leaves nothing on disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::fcntl::SealFlag;
use serde_json::json;

use crate::iofile::{IoFile, memfd, seal};
use crate::limits::SETTLE;
use crate::vm::boot::{BootingVm, Deadline};
use crate::vm::launch::{Assets, fd_path, no_memory};
use crate::vm::maker::NoZygote;
use crate::vm::{ReadyVm, StartError, VmError};

use super::launch::{Launcher, Part, RamSource, Start};
use super::qmp::{Command, Event, Qmp};

/// A saved guest.
#[derive(Debug)]
pub(super) struct Zygote {
    ram: File,
    state: File,
}

impl Zygote {
    /// Boots a guest, saves it when it waits, and ends it.
    pub(super) async fn build(launcher: &Launcher, assets: &Assets) -> Result<Self, NoZygote> {
        let ram = memfd(c"pe-ram", launcher.terms.memory_bytes()).map_err(no_memory);
        let ram = ram.map_err(NoZygote::NoBoot)?;
        let vm = boot(launcher, assets, &ram).await.map_err(NoZygote::NoBoot)?;
        Self::save(vm, ram).await.map_err(NoZygote::NotSaved)
    }

    async fn save(mut vm: BootingVm<Qmp>, ram: File) -> Result<Self, StartError> {
        let state = memfd(c"pe-state", 0).map_err(no_memory)?;
        tokio::time::sleep(SETTLE).await;
        save(&mut vm, &state).await?;
        let pid = vm.pid();
        vm.kill().await;
        for file in [&ram, &state] {
            seal(file, SealFlag::all() - SealFlag::F_SEAL_FUTURE_WRITE).map_err(no_memory)?;
        }
        let state_bytes = state.metadata().map_err(no_memory)?.len();
        tracing::info!(pid, state_bytes, "zygote saved");
        Ok(Self { ram, state })
    }

    /// A ready VM like the zygote was, with an io file of its own.
    pub(super) async fn restore(&self, launcher: &Launcher) -> Result<ReadyVm, StartError> {
        let deadline = Deadline::after(launcher.terms.restore_within());
        let io = IoFile::create().map_err(no_memory)?;
        let state = self.own_state().map_err(no_memory)?;
        let ram = RamSource::Private(self.ram.as_fd());
        let part = Part { io: &io, ram, start: Start::State(state.as_fd()) };
        let (mut vm, state_number) = launcher.spawn(part).await?;
        vm.greet().await?;
        load(&mut vm, state_number.unwrap_or(-1)).await?;
        vm.look_around(deadline).await?;
        Ok(launcher.terms.ready(vm, io))
    }

    /// The state with a file offset of its own.
    fn own_state(&self) -> io::Result<File> {
        OpenOptions::new().read(true).open(fd_path(self.state.as_raw_fd()))
    }
}

/// A guest that waits, with its memory in a file.
async fn boot(
    launcher: &Launcher,
    assets: &Assets,
    ram: &File,
) -> Result<BootingVm<Qmp>, StartError> {
    let deadline = Deadline::after(launcher.terms.boot_within);
    // It looks as every VM's io file does, and is empty.
    let io = IoFile::create().map_err(no_memory)?;
    let ram = RamSource::Shared(ram.as_fd());
    let part = Part { io: &io, ram, start: Start::Kernel(assets) };
    let (mut vm, _) = launcher.spawn(part).await?;
    vm.greet().await?;
    vm.wait_ready(deadline).await?;
    vm.look_around(deadline).await?;
    Ok(vm)
}

/// Memory that is a file stays where it is; only the rest of the machine is written.
fn capabilities() -> Command {
    let on = |name: &str| json!({"capability": name, "state": true});
    let both = [on("x-ignore-shared"), on("events")];
    Command::new("migrate-set-capabilities", json!({"capabilities": both}))
}

async fn save(vm: &mut BootingVm<Qmp>, state: &File) -> Result<(), VmError> {
    let stop = Command::new("stop", json!({}));
    vm.control.ask_all(&[stop, capabilities()]).await?;
    let name = Command::new("getfd", json!({"fdname": "state"}));
    vm.control.hand_over(name, state.as_fd()).await?;
    vm.control.ask("migrate", json!({"uri": "fd:state"})).await?;
    migrated(vm).await
}

async fn load(vm: &mut BootingVm<Qmp>, state: i32) -> Result<(), VmError> {
    let incoming = Command::new("migrate-incoming", json!({"uri": format!("fd:{state}")}));
    vm.control.ask_all(&[capabilities(), incoming]).await?;
    migrated(vm).await?;
    vm.control.ask("cont", json!({})).await?;
    Ok(())
}

/// Waits for the end of a migration, either way.
async fn migrated(vm: &mut BootingVm<Qmp>) -> Result<(), VmError> {
    let status =
        |event: &Event| event.data.get("status").and_then(|it| it.as_str().map(str::to_owned));
    let ended = |event: &Event| {
        event.event == "MIGRATION"
            && status(event).is_some_and(|it| it == "completed" || it == "failed")
    };
    let event = vm.control.event("MIGRATION", ended).await?;
    match status(&event).as_deref() {
        Some("completed") => Ok(()),
        _ => Err(VmError::Refused {
            command: "migrate".to_owned(),
            reason: "migration failed".to_owned(),
        }),
    }
}
