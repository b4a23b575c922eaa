//! The bundle: what `crun spec` writes, with the job's command and root in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use pe_guest_init::pages::PageReader;
use pe_guest_init::waiting::Rung;
use pe_proto::guest_config::GuestConfig;
use pe_proto::{JobSpec, codec};
use serde_json::{Value, json};

pub(crate) const DIRECTORY: &str = "/run/bare";

pub(crate) struct Bundle {
    spec: Value,
}

impl Bundle {
    /// Lets crun write its template. Depends on no job, so it is not in the time.
    pub(crate) fn prepare() -> anyhow::Result<Self> {
        fs::create_dir_all(DIRECTORY)?;
        let status = Command::new("/usr/bin/crun").arg("spec").current_dir(DIRECTORY).status()?;
        anyhow::ensure!(status.success(), "crun spec: {status}");
        let text = fs::read(format!("{DIRECTORY}/config.json"))?;
        Ok(Self { spec: serde_json::from_slice(&text)? })
    }

    pub(crate) fn write(&self, job: &JobSpec, root: &Path) -> anyhow::Result<()> {
        let mut spec = self.spec.clone();
        let changes = [
            ("/root", json!({"path": root, "readonly": false})),
            ("/process/terminal", json!(false)),
            ("/process/args", json!(job.args)),
            ("/process/env", json!(job.env)),
            // No controller is asked for anything: limits are not what is compared.
            ("/linux/resources", Value::Null),
        ];
        for (pointer, value) in changes {
            *spec.pointer_mut(pointer).context(pointer)? = value;
        }
        let mounts = spec.pointer_mut("/mounts").and_then(Value::as_array_mut);
        mounts
            .context("/mounts")?
            .retain(|mount| mount.get("type").and_then(Value::as_str) != Some("cgroup"));
        fs::write(format!("{DIRECTORY}/config.json"), serde_json::to_vec(&spec)?)?;
        Ok(())
    }
}

/// The job that rang.
pub(crate) fn job(rung: &Rung) -> anyhow::Result<GuestConfig> {
    let mut reader = PageReader::new(&rung.device, rung.header.plan.config());
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        bytes.extend_from_slice(piece);
    }
    codec::decode(&bytes).ok().context("the job's config")
}
