//! From what a client asks for, and what the image's config says, to the job that is run.
//!
//! As with other container tools: `entrypoint` replaces the image's entrypoint and, unless `args`
//! is there too, drops the image's cmd; `args` replaces the cmd; `env` is added and wins; `cwd`
//! wins over the image's working directory, which wins over `/input`.

use std::collections::BTreeMap;

use pe_proto::api::{LimitsRequest, RunConfig};
use pe_proto::catalogue::{Catalogue, ImageConfig, Platform};
use pe_proto::job::BadSpec;
use pe_proto::limits::{ARG_BYTES_MAX, OUTPUT_BYTES_MAX, STREAM_BYTES_MAX};
use pe_proto::{JobLimits, JobSpec};

use crate::limits::NEAR_NAMES_MAX;

/// `PATH` for images that set none: what every container tool uses.
pub const PATH_DEFAULT: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Working directory unless job or image names one.
pub const CWD_DEFAULT: &str = "/input";

/// What this deployment grants.
#[derive(Debug, Clone, Copy)]
pub struct Grants {
    /// Wall clock of a job that asks for none, in milliseconds.
    pub wall_ms_default: u64,
    /// The most that may be asked for, in milliseconds.
    pub wall_ms_max: u64,
}

impl Grants {
    /// What somebody gets who may have less.
    #[must_use]
    pub fn within(self, wall_ms_max: Option<u64>) -> Self {
        let wall_ms_max = wall_ms_max.unwrap_or(self.wall_ms_max).min(self.wall_ms_max);
        Self { wall_ms_max, wall_ms_default: self.wall_ms_default.min(wall_ms_max) }
    }
}

/// Why there is no job to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The catalogue has no such image.
    #[error("no image `{reference}`")]
    UnknownImage {
        /// As the client wrote it.
        reference: String,
        /// Names it may have meant; or, of an image that exists, its tags or architectures.
        near: Vec<String>,
    },
    /// A field is wrong.
    #[error(transparent)]
    Bad(#[from] BadSpec),
}

/// Merges a request with its image.
///
/// # Errors
/// The first thing that is wrong with the request.
pub fn resolve(
    config: &RunConfig,
    catalogue: &Catalogue,
    grants: Grants,
) -> Result<JobSpec, Unresolved> {
    let Some((_, platform)) = catalogue.find(&config.image, config.requires.arch) else {
        let near = near_names(&config.image, catalogue);
        return Err(Unresolved::UnknownImage { reference: config.image.clone(), near });
    };
    let Platform { arch, digest, config: image, .. } = platform;
    let spec = JobSpec {
        image: *digest,
        arch: *arch,
        args: args(config, image)?,
        env: env(&config.env, &image.env)?,
        cwd: cwd(config.cwd.as_deref(), &image.workdir)?,
        user: image.user.clone(),
        outputs: outputs(&config.outputs)?,
        limits: limits(config.limits, grants)?,
    };
    spec.check()?;
    Ok(spec)
}

fn args(config: &RunConfig, image: &ImageConfig) -> Result<Vec<String>, BadSpec> {
    let asked = [("/entrypoint", &config.entrypoint), ("/args", &config.args)];
    for (field, list) in asked {
        for (index, text) in list.iter().flatten().enumerate() {
            check_text(text, || format!("{field}/{index}"))?;
        }
    }
    let entrypoint = config.entrypoint.as_ref().unwrap_or(&image.entrypoint);
    let nothing = Vec::new();
    let args = match (&config.args, &config.entrypoint) {
        (Some(args), _) => args,
        (None, Some(_)) => &nothing,
        (None, None) => &image.cmd,
    };
    Ok(entrypoint.iter().chain(args).cloned().collect())
}

fn env(job: &BTreeMap<String, String>, image: &[String]) -> Result<Vec<String>, BadSpec> {
    let split = |pair: &str| -> (String, String) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    };
    let mut merged = BTreeMap::from([split(PATH_DEFAULT)]);
    merged.extend(image.iter().map(|pair| split(pair)));
    for (name, value) in job {
        let field = || pointer(&["env", name]);
        if name.is_empty() || name.contains('=') {
            let problem = "expected a name that is not empty and has no `=`".to_owned();
            return Err(BadSpec { field: field(), problem });
        }
        check_text(name, field)?;
        check_text(value, field)?;
        merged.insert(name.clone(), value.clone());
    }
    Ok(merged.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

fn cwd(job: Option<&str>, image: &str) -> Result<String, BadSpec> {
    match job {
        Some(cwd) if cwd.starts_with('/') => Ok(cwd.to_owned()),
        Some(_) => {
            let problem = "expected an absolute path, such as `/input`".to_owned();
            Err(BadSpec { field: "/cwd".to_owned(), problem })
        }
        None if image.is_empty() => Ok(CWD_DEFAULT.to_owned()),
        None if image.starts_with('/') => Ok(image.to_owned()),
        None => Ok(format!("/{image}")),
    }
}

fn outputs(patterns: &[String]) -> Result<Vec<String>, BadSpec> {
    for (index, pattern) in patterns.iter().enumerate() {
        let field = || format!("/outputs/{index}");
        if pattern.starts_with('/') {
            let problem = "expected a pattern relative to the working directory".to_owned();
            return Err(BadSpec { field: field(), problem });
        }
        if let Err(bad) = glob::Pattern::new(pattern) {
            let problem = format!("not a pattern: {} at byte {}", bad.msg, bad.pos);
            return Err(BadSpec { field: field(), problem });
        }
    }
    Ok(patterns.to_vec())
}

fn limits(asked: LimitsRequest, grants: Grants) -> Result<JobLimits, BadSpec> {
    let default = JobLimits::default();
    let limit = |name: &str, asked: Option<u64>, default: u64, least: u64, most: u64| {
        let value = asked.unwrap_or(default);
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        let problem = format!("expected a number from {least} to {most}, got {value}");
        Err(BadSpec { field: format!("/limits/{name}"), problem })
    };
    let Grants { wall_ms_default, wall_ms_max } = grants;
    let stream = |name: &str, asked: Option<u64>, default: u64| {
        limit(name, asked, default, 0, STREAM_BYTES_MAX)
    };
    Ok(JobLimits {
        wall_ms: limit("wall_ms", asked.wall_ms, wall_ms_default, 1, wall_ms_max)?,
        output_bytes: limit(
            "output_bytes",
            asked.output_bytes,
            default.output_bytes,
            0,
            OUTPUT_BYTES_MAX,
        )?,
        stdout_bytes: stream("stdout_bytes", asked.stdout_bytes, default.stdout_bytes)?,
        stderr_bytes: stream("stderr_bytes", asked.stderr_bytes, default.stderr_bytes)?,
    })
}

fn check_text(text: &str, field: impl Fn() -> String) -> Result<(), BadSpec> {
    if text.contains('\0') {
        let problem = "a NUL byte cannot be passed on".to_owned();
        return Err(BadSpec { field: field(), problem });
    }
    if text.len() > ARG_BYTES_MAX {
        let problem = format!("expected at most {ARG_BYTES_MAX} bytes, got {}", text.len());
        return Err(BadSpec { field: field(), problem });
    }
    Ok(())
}

/// A JSON pointer (RFC 6901).
pub fn pointer(names: &[&str]) -> String {
    names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

fn near_names(reference: &str, catalogue: &Catalogue) -> Vec<String> {
    let (name, _) = reference.split_once([':', '@']).unwrap_or((reference, ""));
    if let Some(image) = catalogue.images.iter().find(|image| image.name == name) {
        let tags = image.tags.iter().map(|tag| format!("{name}:{tag}"));
        let archs = image.platforms.iter().map(|platform| format!("{name} on {}", platform.arch));
        return tags.chain(archs).take(2 * NEAR_NAMES_MAX).collect();
    }
    // Long names are cut: the distance costs their product.
    let asked: String = name.chars().take(64).collect();
    let mut near: Vec<(usize, &str)> = catalogue
        .images
        .iter()
        .map(|image| (strsim::damerau_levenshtein(&asked, &image.name), image.name.as_str()))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3) || name.contains(&asked))
        .collect();
    near.sort_unstable();
    near.into_iter().take(NEAR_NAMES_MAX).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests;
