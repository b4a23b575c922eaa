//! Ours, with workers that answer at once.

use std::fs;
use std::net::SocketAddr;

use serde_json::json;

use super::{Stage, this};
use crate::process::{Process, free_address};

/// The name that jobs know the image by.
pub(crate) const IMAGE: &str = "instant";

/// Digest of that image; there is none, as nobody runs it.
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// See the module.
#[derive(Debug)]
pub(crate) struct Lb {
    /// For clients.
    pub(crate) clients: SocketAddr,
    /// For clients, over TLS.
    pub(crate) tls: SocketAddr,
    /// For operators: its metrics.
    pub(crate) admin: SocketAddr,
    workers: SocketAddr,
    pub(crate) process: Process,
}

impl Lb {
    pub(crate) fn start(stage: &Stage) -> anyhow::Result<Self> {
        let dir = stage.dir_of("lb")?;
        let (clients, tls) = (free_address()?, free_address()?);
        let (workers, admin) = (free_address()?, free_address()?);
        let catalogue = dir.join("catalogue.json");
        let image = json!({
            "name": IMAGE, "tags": [], "title": "", "description": "",
            "platforms": [{
                "arch": "x86_64", "digest": DIGEST,
                "pack": {"digest": DIGEST, "bytes": 1, "prefix": ""},
                "config": {
                    "entrypoint": [], "cmd": ["true"], "env": [], "workdir": "", "user": ""
                },
            }],
            "playground": null,
        });
        fs::write(&catalogue, json!({"version": 2, "images": [image]}).to_string())?;
        let config = format!(
            "listen = [\"{clients}\", \"tls:{tls}\"]
listen_workers = \"{workers}\"
listen_admin = \"{admin}\"
catalogue = \"{}\"
[connections]
max = 16000
per_client_max = 16000
[times]
idle_ms = 600000
[tls]
certificate = \"{}\"
key = \"{}\"
",
            catalogue.display(),
            stage.certificate.display(),
            stage.key.display(),
        );
        let path = dir.join("pe-lb.toml");
        fs::write(&path, config)?;
        let args = ["--config", &path.to_string_lossy(), "--log", "warn"];
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let program = stage.lb.to_string_lossy();
        let mut process = Process::start(stage.cores.server, &program, &args, &stage.dir)?;
        process.listens(clients)?;
        Ok(Self { clients, tls, admin, workers, process })
    }

    /// Starts workers, and returns when all their slots are parked.
    pub(crate) fn with_workers(
        &self,
        stage: &Stage,
        connections: u32,
        slots: u32,
        result_bytes: usize,
    ) -> anyhow::Result<Process> {
        let args = [
            "workers",
            &self.workers.to_string(),
            DIGEST,
            "--connections",
            &connections.to_string(),
            "--slots",
            &slots.to_string(),
            "--result-bytes",
            &result_bytes.to_string(),
        ];
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let mut process = this(stage.cores.load, &args, &stage.dir)?;
        process.says_line()?;
        Ok(process)
    }
}
