//! QEMU's words for what the worker asks of every VMM.

use serde_json::json;
use tokio::net::UnixStream;

use crate::images::Pack;
use crate::vm::VmError;
use crate::vm::control::Control;
use crate::vm::launch::fd_path;

use super::qmp::{Command, Qmp};

impl Control for Qmp {
    type Line = UnixStream;

    async fn greet(&mut self) -> Result<(), VmError> {
        self.negotiate().await
    }

    async fn ping(&mut self) -> Result<(), VmError> {
        self.ask("query-status", json!({})).await?;
        Ok(())
    }

    async fn plug(&mut self, name: String, pack: &Pack) -> Result<(), VmError> {
        // The VMM started without this descriptor; it says under which number it now knows it.
        let given = self.hand_over(Command::new("add-fd", json!({})), pack.as_fd()).await?;
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
        self.ask_all(&commands).await
    }
}
