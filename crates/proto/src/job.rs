//! What a job is once everything was resolved: the effective config (`protocol.md 3.1`).

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::limits::{
    ARG_BYTES_MAX, ARGS_MAX, CONFIG_BYTES_MAX, OUTPUT_BYTES_DEFAULT, OUTPUT_BYTES_MAX,
    OUTPUT_PATTERNS_MAX, PATH_BYTES_MAX, STREAM_BYTES_DEFAULT, STREAM_BYTES_MAX, WALL_MS_DEFAULT,
    WALL_MS_MAX,
};
use crate::{Arch, Digest};

/// A job without its files: image config and request merged, names resolved, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JobSpec {
    /// The image it runs in.
    pub image: Digest,
    /// The architecture it runs on.
    pub arch: Arch,
    /// Program and arguments, entrypoint included; never empty.
    pub args: Vec<String>,
    /// `NAME=value`, sorted by name, each name once.
    pub env: Vec<String>,
    /// Absolute working directory.
    pub cwd: String,
    /// As an image config says it: empty (root), `name`, `uid`, `name:group`, `uid:gid`.
    pub user: String,
    /// Patterns of files in the working directory that come back beside `/output`.
    pub outputs: Vec<String>,
    /// What it may use.
    pub limits: JobLimits,
}

/// What a job may use and return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct JobLimits {
    /// Wall clock, in milliseconds.
    pub wall_ms: u64,
    /// Bytes of all returned files together.
    pub output_bytes: u64,
    /// Bytes of standard output.
    pub stdout_bytes: u64,
    /// Bytes of standard error.
    pub stderr_bytes: u64,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            wall_ms: WALL_MS_DEFAULT,
            output_bytes: OUTPUT_BYTES_DEFAULT,
            stdout_bytes: STREAM_BYTES_DEFAULT,
            stderr_bytes: STREAM_BYTES_DEFAULT,
        }
    }
}

/// Which part of a [`JobSpec`] is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct BadSpec {
    /// Field, as a JSON pointer into a run request (`/args/3`).
    pub field: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl BadSpec {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl JobSpec {
    /// Checks every bound. Both ends of every border call it: the LB to tell a client what is
    /// wrong, the worker because the LB's bytes come over a network.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), BadSpec> {
        if self.args.is_empty() {
            return Err(BadSpec::new("/args", "nothing to run: neither image nor job names one"));
        }
        check_list("/args", &self.args)?;
        check_list("/env", &self.env)?;
        for pair in &self.env {
            if pair.starts_with('=') || !pair.contains('=') {
                return Err(BadSpec::new("/env", "each variable needs a name"));
            }
        }
        let name = |pair: &String| pair.split('=').next().unwrap_or_default().to_owned();
        if !self.env.iter().map(name).is_sorted_by(|a, b| a < b) {
            return Err(BadSpec::new("/env", "names must be sorted and unique"));
        }
        if !self.cwd.starts_with('/') || self.cwd.len() > PATH_BYTES_MAX || has_nul(&self.cwd) {
            return Err(BadSpec::new("/cwd", "expected an absolute path without NUL"));
        }
        if self.user.len() > ARG_BYTES_MAX.min(256) || has_nul(&self.user) {
            return Err(BadSpec::new("/user", "expected at most 256 bytes without NUL"));
        }
        if self.outputs.len() > OUTPUT_PATTERNS_MAX {
            let most = format!("at most {OUTPUT_PATTERNS_MAX} patterns");
            return Err(BadSpec::new("/outputs", most));
        }
        for (index, pattern) in self.outputs.iter().enumerate() {
            if pattern.is_empty() || pattern.len() > PATH_BYTES_MAX || has_nul(pattern) {
                let problem = "expected a pattern of 1 to 4095 bytes without NUL";
                return Err(BadSpec::new(format!("/outputs/{index}"), problem));
            }
        }
        self.limits.check()?;
        if self.canonical().len() > CONFIG_BYTES_MAX {
            let most = format!("args, env and the rest are over {CONFIG_BYTES_MAX} bytes together");
            return Err(BadSpec::new("", most));
        }
        Ok(())
    }

    /// The one encoding that the job digest is computed over (`protocol.md 3.2`). Text is UTF-8
    /// behind a u32le length; lists are a u32le count and their items; numbers are u64le.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(&self.image.0);
        put_text(&mut out, self.arch.as_str());
        put_list(&mut out, &self.args);
        put_list(&mut out, &self.env);
        put_text(&mut out, &self.cwd);
        put_text(&mut out, &self.user);
        put_list(&mut out, &self.outputs);
        let JobLimits { wall_ms, output_bytes, stdout_bytes, stderr_bytes } = self.limits;
        for number in [wall_ms, output_bytes, stdout_bytes, stderr_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }
}

impl JobLimits {
    /// Checks that every limit is one: never zero, never above the format's most.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), BadSpec> {
        let rows = [
            ("wall_ms", self.wall_ms, 1, WALL_MS_MAX),
            ("output_bytes", self.output_bytes, 0, OUTPUT_BYTES_MAX),
            ("stdout_bytes", self.stdout_bytes, 0, STREAM_BYTES_MAX),
            ("stderr_bytes", self.stderr_bytes, 0, STREAM_BYTES_MAX),
        ];
        for (name, value, least, most) in rows {
            if value < least || value > most {
                let problem = format!("expected a number from {least} to {most}, got {value}");
                return Err(BadSpec::new(format!("/limits/{name}"), problem));
            }
        }
        Ok(())
    }
}

fn check_list(field: &str, items: &[String]) -> Result<(), BadSpec> {
    if items.len() > ARGS_MAX {
        return Err(BadSpec::new(field, format!("at most {ARGS_MAX} items")));
    }
    for (index, item) in items.iter().enumerate() {
        if has_nul(item) {
            return Err(BadSpec::new(format!("{field}/{index}"), "a NUL byte cannot be passed on"));
        }
        if item.len() > ARG_BYTES_MAX {
            let most = format!("at most {ARG_BYTES_MAX} bytes, got {}", item.len());
            return Err(BadSpec::new(format!("{field}/{index}"), most));
        }
    }
    Ok(())
}

fn has_nul(text: &str) -> bool {
    text.bytes().any(|byte| byte == 0)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_list(out: &mut Vec<u8>, items: &[String]) {
    put_count(out, items.len());
    for item in items {
        put_text(out, item);
    }
}

/// Counts are bounded far below 2^32 by [`JobSpec::check`]; saturating keeps this total.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}
