//! What a request means in an image: their configs merged (`protocol.md 3.3`).
//!
//! As with other container tools: `entrypoint` replaces the image's entrypoint and, unless `args`
//! is there too, drops the image's cmd; `args` replaces the cmd; `env` is added and wins; `cwd`
//! wins over the image's working directory, which wins over `/input`. Nothing is checked here: the
//! LB says what is wrong with a request, and who only wants to know a digest gets one that no job
//! has.

use std::collections::BTreeMap;

use crate::api::{LimitsRequest, RunConfig};
use crate::catalogue::{ImageConfig, Platform};
use crate::{JobLimits, JobSpec};

/// `PATH` for images that set none: what every container tool uses.
pub const PATH_DEFAULT: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Working directory unless job or image names one.
pub const CWD_DEFAULT: &str = "/input";

impl JobSpec {
    /// Of a request and the platform that it means, where a job that asks for no wall clock gets
    /// this one.
    pub fn merged(config: &RunConfig, platform: &Platform, wall_ms_default: u64) -> Self {
        let Platform { arch, digest, config: image, .. } = platform;
        Self {
            image: *digest,
            arch: *arch,
            args: args(config, image),
            env: env(&config.env, &image.env),
            cwd: cwd(config.cwd.as_deref(), &image.workdir),
            user: image.user.clone(),
            outputs: config.outputs.clone(),
            limits: limits(config.limits, wall_ms_default),
        }
    }
}

fn args(config: &RunConfig, image: &ImageConfig) -> Vec<String> {
    let entrypoint = config.entrypoint.as_ref().unwrap_or(&image.entrypoint);
    let nothing = Vec::new();
    let args = match (&config.args, &config.entrypoint) {
        (Some(args), _) => args,
        (None, Some(_)) => &nothing,
        (None, None) => &image.cmd,
    };
    entrypoint.iter().chain(args).cloned().collect()
}

fn env(job: &BTreeMap<String, String>, image: &[String]) -> Vec<String> {
    let split = |pair: &str| -> (String, String) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    };
    let mut merged = BTreeMap::from([split(PATH_DEFAULT)]);
    merged.extend(image.iter().map(|pair| split(pair)));
    merged.extend(job.clone());
    merged.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn cwd(job: Option<&str>, image: &str) -> String {
    match job {
        Some(cwd) => cwd.to_owned(),
        None if image.is_empty() => CWD_DEFAULT.to_owned(),
        None if image.starts_with('/') => image.to_owned(),
        None => format!("/{image}"),
    }
}

fn limits(asked: LimitsRequest, wall_ms_default: u64) -> JobLimits {
    let default = JobLimits::default();
    JobLimits {
        wall_ms: asked.wall_ms.unwrap_or(wall_ms_default),
        output_bytes: asked.output_bytes.unwrap_or(default.output_bytes),
        stdout_bytes: asked.stdout_bytes.unwrap_or(default.stdout_bytes),
        stderr_bytes: asked.stderr_bytes.unwrap_or(default.stderr_bytes),
    }
}
