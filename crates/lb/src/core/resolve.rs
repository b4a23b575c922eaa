//! From what a client asks for, and what the image's config says, to the job that is run: what is
//! wrong with it is found and pointed at here, and merged in `pe_proto::merge`.

use std::collections::BTreeMap;

use pe_proto::JobSpec;
use pe_proto::api::{LimitsRequest, RunConfig};
use pe_proto::catalogue::Catalogue;
use pe_proto::job::BadSpec;
use pe_proto::limits::{ARG_BYTES_MAX, OUTPUT_BYTES_MAX, STREAM_BYTES_MAX};

use crate::limits::NEAR_NAMES_MAX;

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
    check_args(config)?;
    check_env(&config.env)?;
    check_cwd(config.cwd.as_deref())?;
    check_outputs(&config.outputs)?;
    let spec = JobSpec::merged(config, platform, grants.wall_ms_default);
    check_limits(config.limits, grants)?;
    spec.check()?;
    Ok(spec)
}

fn check_args(config: &RunConfig) -> Result<(), BadSpec> {
    let asked = [("/entrypoint", &config.entrypoint), ("/args", &config.args)];
    for (field, list) in asked {
        for (index, text) in list.iter().flatten().enumerate() {
            check_text(text, || format!("{field}/{index}"))?;
        }
    }
    Ok(())
}

fn check_env(job: &BTreeMap<String, String>) -> Result<(), BadSpec> {
    for (name, value) in job {
        let field = || pointer(&["env", name]);
        if name.is_empty() || name.contains('=') {
            let problem = "expected a name that is not empty and has no `=`".to_owned();
            return Err(BadSpec { field: field(), problem });
        }
        check_text(name, field)?;
        check_text(value, field)?;
    }
    Ok(())
}

fn check_cwd(job: Option<&str>) -> Result<(), BadSpec> {
    if job.is_some_and(|cwd| !cwd.starts_with('/')) {
        let problem = "expected an absolute path, such as `/input`".to_owned();
        return Err(BadSpec { field: "/cwd".to_owned(), problem });
    }
    Ok(())
}

fn check_outputs(patterns: &[String]) -> Result<(), BadSpec> {
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
    Ok(())
}

/// Of what is asked for; defaults are within their bounds.
fn check_limits(asked: LimitsRequest, grants: Grants) -> Result<(), BadSpec> {
    for (name, asked, least, most) in [
        ("wall_ms", asked.wall_ms, 1, grants.wall_ms_max),
        ("output_bytes", asked.output_bytes, 0, OUTPUT_BYTES_MAX),
        ("stdout_bytes", asked.stdout_bytes, 0, STREAM_BYTES_MAX),
        ("stderr_bytes", asked.stderr_bytes, 0, STREAM_BYTES_MAX),
    ] {
        if let Some(value) = asked.filter(|value| !(least..=most).contains(value)) {
            let problem = format!("expected a number from {least} to {most}, got {value}");
            return Err(BadSpec { field: format!("/limits/{name}"), problem });
        }
    }
    Ok(())
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
