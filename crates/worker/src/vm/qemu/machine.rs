//! A QEMU whose guest waits for a job, or has one.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pe_proto::Digest;
use pe_proto::serial::Signal;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::images::Pack;
use crate::limits::VMM_ANSWERS;
use crate::vm::process::Vmm;
use crate::vm::serial::Serial;
use crate::vm::{Bell, Killed, Machine, VmError};

use super::argv::fd_path;
use super::qmp::{Command, Qmp};

#[derive(Debug)]
pub(super) struct QemuMachine {
    vmm: Vmm,
    qmp: Qmp,
    serial: Serial<UnixStream>,
    /// Packs that are plugged in.
    packs: Vec<Digest>,
}

impl QemuMachine {
    pub(super) fn new(vmm: Vmm, qmp: Qmp, serial: Serial<UnixStream>, packs: &[Arc<Pack>]) -> Self {
        let packs = packs.iter().map(|pack| pack.digest()).collect();
        Self { vmm, qmp, serial, packs }
    }

    /// A VMM that hung while it waited is found out here, while the job is still arriving, and
    /// not by the job's clock.
    async fn prepare(&mut self, pack: &Pack) -> Result<(), VmError> {
        let alive = self.qmp.ask("query-status", json!({}));
        match timeout(VMM_ANSWERS, alive).await {
            Ok(status) => status?,
            Err(_) => return Err(VmError::Late("query-status".to_owned())),
        };
        self.plug(pack).await
    }

    async fn plug(&mut self, pack: &Pack) -> Result<(), VmError> {
        if self.packs.contains(&pack.digest()) {
            return Ok(());
        }
        let name = format!("late{}", self.packs.len());
        // The VMM started without this descriptor; it says under which number it now knows it.
        let given = self.qmp.hand_over(Command::new("add-fd", json!({})), pack.as_fd()).await?;
        let number = given.get("fd").and_then(serde_json::Value::as_i64);
        let number = number.and_then(|number| i32::try_from(number).ok());
        let path = fd_path(number.ok_or(VmError::Garbled)?);
        let backend = json!({
            "qom-type": "memory-backend-file", "id": format!("m-{name}"),
            "mem-path": path, "size": pack.bytes(), "share": true, "readonly": true,
        });
        let device = json!({
            "driver": "virtio-pmem-pci", "id": format!("d-{name}"),
            "memdev": format!("m-{name}"),
        });
        let commands = [Command::new("object-add", backend), Command::new("device_add", device)];
        self.qmp.ask_all(&commands).await?;
        self.packs.push(pack.digest());
        Ok(())
    }
}

impl Machine for QemuMachine {
    fn pid(&self) -> u32 {
        self.vmm.pid()
    }

    fn exited(&self) -> BoxFuture<'static, ()> {
        self.vmm.exited()
    }

    fn attach<'a>(&'a mut self, pack: &'a Pack) -> BoxFuture<'a, Result<(), VmError>> {
        self.prepare(pack).boxed()
    }

    fn wake(&mut self) -> BoxFuture<'_, Result<(), VmError>> {
        async { self.serial.wake().await.map_err(VmError::Closed) }.boxed()
    }

    fn bell(&mut self) -> BoxFuture<'_, Bell> {
        let exited = self.vmm.exited();
        async move {
            let rung = async {
                loop {
                    match self.serial.signal().await {
                        Ok(Signal::Done) => return Bell::Done,
                        Ok(Signal::Fault(reason)) => return Bell::Fault(reason),
                        Ok(Signal::Ready | Signal::Noise(_)) => {}
                        // The port is closed: the VMM is about to end, or is not one any more.
                        Err(_) => std::future::pending().await,
                    }
                }
            };
            tokio::select! {
                biased;
                // What was said counts before the end of the one who said it.
                bell = rung => bell,
                // Killed, crashed, or powered off by its guest.
                () = exited => Bell::Exited,
            }
        }
        .boxed()
    }

    fn kill(self: Box<Self>) -> BoxFuture<'static, Killed> {
        async move {
            let Self { vmm, serial, .. } = *self;
            let (took, said) = vmm.kill().await;
            let console = format!("{said} {}", serial.tail()).trim().to_owned();
            Killed { took, console }
        }
        .boxed()
    }
}
