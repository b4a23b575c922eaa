//! What a client asks for (`protocol.md 8.1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Arch;

use super::strict::{object_only, unique_keys};
use super::{Content, FileContent};

/// A whole job as JSON: `POST /api/v1/run` with `application/json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RunRequest {
    /// `name`, `name:tag` or a digest.
    pub image: String,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's cmd; appended to the entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Added to the image's environment, and wins over it.
    #[serde(default, deserialize_with = "unique_keys")]
    pub env: BTreeMap<String, String>,
    /// Working directory; the image's, else `/input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Standard input; empty when absent. In the binary form it is in the archive instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Content>,
    /// Files below `/input`, by path. In the binary form they are in the archive instead.
    #[serde(default, deserialize_with = "unique_keys", skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileContent>,
    /// Patterns of files in the working directory that come back beside `/output`.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// Limits other than the defaults.
    #[serde(default)]
    pub limits: LimitsRequest,
    /// Where it may run.
    #[serde(default)]
    pub requires: Requires,
    /// Use of the result cache.
    #[serde(default)]
    pub cache: CachePolicy,
}

/// The JSON at the head of the binary form: a [`RunRequest`] without files and stdin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RunConfig {
    /// See [`RunRequest::image`]; and so on.
    pub image: String,
    /// See [`RunRequest::entrypoint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// See [`RunRequest::args`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// See [`RunRequest::env`].
    #[serde(default, deserialize_with = "unique_keys")]
    pub env: BTreeMap<String, String>,
    /// See [`RunRequest::cwd`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// See [`RunRequest::outputs`].
    #[serde(default)]
    pub outputs: Vec<String>,
    /// See [`RunRequest::limits`].
    #[serde(default)]
    pub limits: LimitsRequest,
    /// See [`RunRequest::requires`].
    #[serde(default)]
    pub requires: Requires,
    /// See [`RunRequest::cache`].
    #[serde(default)]
    pub cache: CachePolicy,
}

/// Limits as asked for; what is absent takes the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct LimitsRequest {
    /// Wall clock, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// Bytes of all returned files together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Bytes of standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_bytes: Option<u64>,
    /// Bytes of standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_bytes: Option<u64>,
}

/// Where a job may run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Requires {
    /// Only on this architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
}

/// Use of the result cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CachePolicy {
    /// Answer from it, and fill it.
    #[default]
    Use,
    /// Run, and fill it.
    Refresh,
    /// Run, and leave it alone.
    Off,
}

object_only!(RunRequest, RunConfig, LimitsRequest, Requires);

impl RunRequest {
    /// Splits into the config and what the archive is made of.
    pub fn split(self) -> (RunConfig, Option<Content>, BTreeMap<String, FileContent>) {
        let Self {
            image,
            entrypoint,
            args,
            env,
            cwd,
            stdin,
            files,
            outputs,
            limits,
            requires,
            cache,
        } = self;
        let config =
            RunConfig { image, entrypoint, args, env, cwd, outputs, limits, requires, cache };
        (config, stdin, files)
    }
}
