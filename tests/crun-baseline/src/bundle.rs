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
        spec["root"] = json!({"path": root, "readonly": false});
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(job.args);
        spec["process"]["env"] = json!(job.env);
        // No controller is asked for anything: limits are not what is compared.
        spec["linux"]["resources"] = Value::Null;
        let mounts = spec["mounts"].as_array_mut().context("a spec without mounts")?;
        mounts.retain(|mount| mount["type"] != "cgroup");
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
