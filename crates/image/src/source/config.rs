//! An image's config (OCI image-spec, config.md): bytes to what we keep of it.

use std::collections::BTreeMap;

use pe_proto::catalogue::ImageConfig;
use pe_proto::limits::ARGS_MAX;
use pe_proto::{Arch, Digest};
use serde::Deserialize;

use crate::limits::{LABELS_MAX, LAYERS_MAX};

use super::SourceError;
use super::counted::{List, Texts};
use super::document::{BadDocument, Part, digest, printable};
use super::platform::is_for;

/// What is wrong with what an image is made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// An image that is nothing.
    #[error("has no layers, so there is nothing to run in it")]
    Layerless,
    /// Not the layers of the manifest.
    #[error("names {diff_ids} layers, and the manifest {layers}")]
    LayerCount {
        /// Of the config.
        diff_ids: usize,
        /// Of the manifest.
        layers: usize,
    },
    /// Layers that are not tars one over the other.
    #[error("has a root file system of type `{0}`, and only `layers` is known")]
    RootType(String),
    /// For other machines.
    #[error("is for {os}/{architecture}, and the image is wanted for {wanted}")]
    Platform {
        /// Its `os`.
        os: String,
        /// Its `architecture`.
        architecture: String,
        /// What was asked for.
        wanted: Arch,
    },
}

/// What is kept of a config.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) run: ImageConfig,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct Raw {
    architecture: String,
    os: String,
    #[serde(default)]
    config: Option<RawRun>,
    rootfs: RawRoot,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawRun {
    #[serde(default)]
    entrypoint: List<String, ARGS_MAX>,
    #[serde(default)]
    cmd: List<String, ARGS_MAX>,
    #[serde(default)]
    env: List<String, ARGS_MAX>,
    #[serde(default)]
    working_dir: Option<String>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    labels: Texts<LABELS_MAX>,
}

#[derive(Deserialize)]
struct RawRoot {
    r#type: String,
    diff_ids: List<String, LAYERS_MAX>,
}

/// Reads a config, which must be for an architecture and name so many layers.
pub(super) fn read(bytes: &[u8], wanted: Arch, layers: usize) -> Result<Config, SourceError> {
    let bad = |why: BadDocument| why.of(Part::Config);
    let raw: Raw = serde_json::from_slice(bytes).map_err(|why| bad(why.into()))?;
    if !is_for(&raw.os, &raw.architecture, wanted) {
        let (os, architecture) = (printable(&raw.os), printable(&raw.architecture));
        return Err(bad(BadConfig::Platform { os, architecture, wanted }.into()));
    }
    if raw.rootfs.r#type != "layers" {
        return Err(bad(BadConfig::RootType(printable(&raw.rootfs.r#type)).into()));
    }
    let diff_ids = raw.rootfs.diff_ids.all("layers")?;
    if diff_ids.len() != layers {
        return Err(bad(BadConfig::LayerCount { diff_ids: diff_ids.len(), layers }.into()));
    }
    let diff_ids: Result<Vec<Digest>, BadDocument> =
        diff_ids.iter().map(|text| digest(text)).collect();
    let run = raw.config.unwrap_or_default();
    Ok(Config {
        run: ImageConfig {
            entrypoint: run.entrypoint.all("words of an entrypoint")?,
            cmd: run.cmd.all("words of a command")?,
            env: run.env.all("environment variables")?,
            workdir: run.working_dir.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
        },
        labels: run.labels.all("labels")?,
        diff_ids: diff_ids.map_err(bad)?,
    })
}
