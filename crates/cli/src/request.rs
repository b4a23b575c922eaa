//! From arguments to the config at the head of a request. Pure: the local environment comes in as
//! a function.
//!
//! Everything that can be known to be wrong here is said here, in terms of the arguments, before
//! anything is sent. What needs the catalogue (the image, its defaults) is the server's to say.

use std::collections::BTreeMap;
use std::ffi::OsString;

use pe_proto::api::{CachePolicy, LimitsRequest, Requires, RunConfig};
use pe_proto::job::BadSpec;
use pe_proto::limits::CONFIG_BYTES_MAX;
use pe_proto::{Arch, Digest, JobLimits, JobSpec};

use crate::arguments::RunArgs;
use crate::units::show_bytes;

/// What is wrong with the arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// `--env` without a name.
    #[error("--env `{0}`: expected NAME=value, or NAME to pass on its value here")]
    EnvName(String),
    /// `--env NAME` of something that is not set.
    #[error("--env `{0}`: it is not set here. Give it a value: --env {0}=value")]
    EnvUnset(String),
    /// `--env NAME` of something that is not text.
    #[error("--env `{0}`: its value here is not UTF-8 and cannot be passed on")]
    EnvNotText(String),
    /// A pattern that is none.
    #[error("--output-pattern `{pattern}`: {problem}")]
    Pattern {
        /// As given.
        pattern: String,
        /// What the pattern's grammar says.
        problem: String,
    },
    /// No image.
    #[error("--image is empty; `pe images` lists what there is")]
    NoImage,
    /// A value out of its bounds.
    #[error("{argument}: {problem}")]
    Spec {
        /// Which argument.
        argument: String,
        /// What was expected.
        problem: String,
    },
    /// All together too long.
    #[error(
        "command, environment and the rest are {} together; at most {} can be sent. Put long \
         texts into a file and send it with --file",
        show_bytes(*.0),
        show_bytes(CONFIG_BYTES_MAX as u64)
    )]
    TooLong(u64),
}

/// Makes the config, and checks it.
///
/// # Errors
/// The first argument that is wrong.
pub fn run_config(
    args: &RunArgs,
    local_env: impl Fn(&str) -> Option<OsString>,
) -> Result<RunConfig, BadRequest> {
    if args.image.is_empty() {
        return Err(BadRequest::NoImage);
    }
    let config = RunConfig {
        image: args.image.clone(),
        entrypoint: entrypoint(&args.entrypoint),
        args: (!args.command.is_empty()).then(|| args.command.clone()),
        env: env(&args.env, local_env)?,
        cwd: args.cwd.clone(),
        outputs: args.output_pattern.clone(),
        limits: LimitsRequest {
            wall_ms: args.wall.map(|wall| u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
            output_bytes: args.output_bytes,
            stdout_bytes: args.stdout_bytes,
            stderr_bytes: args.stderr_bytes,
        },
        requires: Requires { arch: args.arch.map(Arch::from) },
        cache: match (args.no_cache, args.refresh) {
            (true, _) => CachePolicy::Off,
            (false, true) => CachePolicy::Refresh,
            (false, false) => CachePolicy::Use,
        },
    };
    check(&config)?;
    Ok(config)
}

/// The head of the binary form: `u32le` length and the config's JSON (`protocol.md 8.3`).
///
/// # Errors
/// [`BadRequest::TooLong`].
pub fn encode_head(config: &RunConfig) -> Result<Vec<u8>, BadRequest> {
    let json = serde_json::to_vec(config).map_err(|_| BadRequest::TooLong(u64::MAX))?;
    let too_long = || BadRequest::TooLong(u64::try_from(json.len()).unwrap_or(u64::MAX));
    if json.len() > CONFIG_BYTES_MAX {
        return Err(too_long());
    }
    let len = u32::try_from(json.len()).map_err(|_| too_long())?;
    Ok([len.to_le_bytes().as_slice(), &json].concat())
}

/// One empty word alone stands for "no entrypoint at all".
fn entrypoint(words: &[String]) -> Option<Vec<String>> {
    match words {
        [] => None,
        [only] if only.is_empty() => Some(Vec::new()),
        words => Some(words.to_vec()),
    }
}

/// The last of several with one name wins, as it does in a shell.
fn env(
    given: &[String],
    local_env: impl Fn(&str) -> Option<OsString>,
) -> Result<BTreeMap<String, String>, BadRequest> {
    let mut env = BTreeMap::new();
    for each in given {
        let (name, value) = match each.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value = local_env(each).ok_or_else(|| BadRequest::EnvUnset(each.clone()));
                let not_text = |_| BadRequest::EnvNotText(each.clone());
                (each.as_str(), value?.into_string().map_err(not_text)?)
            }
        };
        if name.is_empty() {
            return Err(BadRequest::EnvName(each.clone()));
        }
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}

/// Uses the check that the server will use, with stand-ins for what only the server knows.
fn check(config: &RunConfig) -> Result<(), BadRequest> {
    for pattern in &config.outputs {
        glob::Pattern::new(pattern).map_err(|bad| BadRequest::Pattern {
            pattern: pattern.clone(),
            problem: bad.msg.to_owned(),
        })?;
    }
    let entrypoint = config.entrypoint.as_deref().unwrap_or_default();
    let mut args: Vec<String> =
        entrypoint.iter().chain(config.args.as_deref().unwrap_or_default()).cloned().collect();
    if args.is_empty() {
        args.push("of-the-image".to_owned());
    }
    let default = JobLimits::default();
    let spec = JobSpec {
        image: Digest([0; 32]),
        arch: Arch::X86_64,
        args,
        env: config.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        cwd: config.cwd.clone().unwrap_or_else(|| "/input".to_owned()),
        user: String::new(),
        outputs: config.outputs.clone(),
        limits: JobLimits {
            // How much a server grants is its own to say.
            wall_ms: default.wall_ms,
            output_bytes: config.limits.output_bytes.unwrap_or(default.output_bytes),
            stdout_bytes: config.limits.stdout_bytes.unwrap_or(default.stdout_bytes),
            stderr_bytes: config.limits.stderr_bytes.unwrap_or(default.stderr_bytes),
        },
    };
    spec.check().map_err(|bad| in_terms_of_arguments(bad, entrypoint.len()))
}

/// `/args/3` of a request is nothing that the person typed.
fn in_terms_of_arguments(bad: BadSpec, entrypoint_len: usize) -> BadRequest {
    let BadSpec { field, problem } = bad;
    let (list, index) = match field.trim_start_matches('/').split_once('/') {
        Some((list, index)) => (list, index.parse::<usize>().ok()),
        None => (field.trim_start_matches('/'), None),
    };
    let argument = match (list, index) {
        ("args", Some(index)) if index < entrypoint_len => "--entrypoint".to_owned(),
        ("args", Some(index)) => format!("word {} of the command", index - entrypoint_len + 1),
        ("args", None) => "the command".to_owned(),
        ("env", _) => "--env".to_owned(),
        ("cwd", _) => "--cwd".to_owned(),
        ("outputs", _) => "--output-pattern".to_owned(),
        _ => "the request".to_owned(),
    };
    BadRequest::Spec { argument, problem }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Cli, Command};

    fn config(args: &[&str]) -> Result<RunConfig, BadRequest> {
        let all = ["pe", "run", "--image", "gcc:12"].iter().chain(args);
        let Command::Run(run) = Cli::try_parse_from(all).expect("parses").command else {
            panic!("not a run")
        };
        run_config(&run, |name| (name == "HERE").then(|| "a=b c".into()))
    }

    #[test]
    fn arguments_become_the_config() {
        let config = config(&[
            "--env",
            "A=1",
            "--env",
            "HERE",
            "--env",
            "A=2=3",
            "--env",
            "E=",
            "--cwd",
            "/tmp",
            "--entrypoint",
            "sh",
            "--entrypoint",
            "-c",
            "--output-pattern",
            "**/*.o",
            "--wall",
            "1.5s",
            "--output-bytes",
            "4M",
            "--stdout-bytes",
            "0",
            "--arch",
            "riscv64",
            "--refresh",
            "--",
            "echo",
            "",
        ])
        .expect("a config");
        let json = serde_json::to_value(&config).expect("json");
        let expected = serde_json::json!({
            "image": "gcc:12", "entrypoint": ["sh", "-c"], "args": ["echo", ""],
            "env": {"A": "2=3", "HERE": "a=b c", "E": ""}, "cwd": "/tmp", "outputs": ["**/*.o"],
            "limits": {"wall_ms": 1500, "output_bytes": 4_194_304, "stdout_bytes": 0},
            "requires": {"arch": "riscv64"}, "cache": "refresh",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_absent_is_left_to_the_image_and_the_server() {
        let config = config(&[]).expect("a config");
        assert_eq!((config.entrypoint, config.args, config.cwd), (None, None, None));
        assert_eq!(config.limits, LimitsRequest::default());
        assert_eq!(config.cache, CachePolicy::Use);
    }

    #[test]
    fn an_empty_entrypoint_removes_the_images() {
        let config = config(&["--entrypoint", ""]).expect("a config");
        assert_eq!(config.entrypoint, Some(Vec::new()));
    }

    #[test]
    fn mistakes_are_said_in_terms_of_the_arguments() {
        let check = |args: &[&str], message: &str| {
            let bad = config(args).expect_err("must be refused").to_string();
            assert!(bad.contains(message), "{bad}");
        };
        check(&["--env", "=x"], "--env `=x`: expected NAME=value");
        check(&["--env", "AWAY"], "not set here. Give it a value: --env AWAY=value");
        check(&["--cwd", "src"], "--cwd: expected an absolute path");
        check(&["--output-pattern", "a**"], "--output-pattern `a**`: ");
        check(&["--output-pattern", ""], "--output-pattern: expected a pattern of 1");
        check(&["--entrypoint", "sh", "--", "a", &"x".repeat(131_072)], "word 2 of the command: ");
    }

    #[test]
    fn a_head_is_its_length_and_its_json() {
        let config = config(&["--", "true"]).expect("a config");
        let head = encode_head(&config).expect("a head");
        let (len, json) = head.split_at(4);
        assert_eq!(len, u32::try_from(json.len()).expect("short").to_le_bytes());
        assert_eq!(serde_json::from_slice::<RunConfig>(json).expect("json"), config);
    }
}
