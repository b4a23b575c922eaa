//! `[workers]`: who is let in, and how far what they say is believed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pe_proto::{Arch, Digest};
use serde::Deserialize;

use super::{BadConfig, read};
use crate::core::broker::HedgeTerms;
use crate::core::trust::Identity;
use crate::core::trust::confirm::ConfirmTerms;
use crate::core::trust::roster::{Entry, Roster};
use crate::limits;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Workers {
    /// TOML file of workers with tokens of their own.
    file: Option<PathBuf>,
    /// The deployment that this load balancer and its workers are of.
    deployment: Option<String>,
    /// Of a hundred leases, how many may be given to a second worker.
    hedge_percent: Option<u8>,
    /// Of a hundred results of untrusted workers, for how many another worker is asked.
    confirm_percent: Option<u8>,
    /// Runs for that at a time.
    confirm_runs_max: Option<usize>,
}

/// `[workers]`, checked.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Who is let in.
    pub roster: Roster,
    /// The deployment; empty if there is but one.
    pub deployment: String,
    /// When a lease is given to a second worker.
    pub hedge: HedgeTerms,
    /// How much of what untrusted workers say is confirmed.
    pub confirm: ConfirmTerms,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    worker: Vec<RawEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    name: String,
    token_sha256: Digest,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    trusted: bool,
    #[serde(default)]
    arch: BTreeSet<Arch>,
    #[serde(default)]
    labels: BTreeSet<String>,
    #[serde(default)]
    slots_max: Option<u32>,
}

impl Workers {
    /// Reads what it names and checks all of it. `shared` is the token of workers without one of
    /// their own.
    pub(super) fn check(
        self,
        shared: Option<Digest>,
        value: impl Fn(&'static str, &str) -> BadConfig,
    ) -> Result<WorkerSettings, BadConfig> {
        let percent = |key, given: Option<u8>, default: u8| match given.unwrap_or(default) {
            given @ 0..=100 => Ok(given),
            given => Err(value(key, &format!("expected 0 to 100, got {given}"))),
        };
        let runs_max = self.confirm_runs_max.unwrap_or(limits::CONFIRM_RUNS_MAX);
        if !(1..=limits::CONFIRM_RUNS_MOST).contains(&runs_max) {
            let problem = format!("expected 1 to {}, got {runs_max}", limits::CONFIRM_RUNS_MOST);
            return Err(value("workers.confirm_runs_max", &problem));
        }
        let deployment = self.deployment.unwrap_or_default();
        if deployment.len() > pe_proto::limits::LABEL_BYTES_MAX {
            return Err(value("workers.deployment", "expected at most 256 bytes"));
        }
        let entries = self.file.as_deref().map(load).transpose()?.unwrap_or_default();
        if self.file.is_some() && entries.is_empty() && shared.is_none() {
            // Without an entry nobody would need a token.
            return Err(value("workers.file", "expected at least one [[worker]]"));
        }
        Ok(WorkerSettings {
            roster: Roster::new(entries, shared),
            deployment,
            hedge: HedgeTerms {
                percent: percent(
                    "workers.hedge_percent",
                    self.hedge_percent,
                    limits::HEDGE_PERCENT,
                )?,
                burst: limits::HEDGE_BURST,
                wait_first: limits::HEDGE_WAIT_FIRST,
                wait_min: limits::HEDGE_WAIT_MIN,
                wait_max: limits::HEDGE_WAIT_MAX,
            },
            confirm: ConfirmTerms {
                percent: percent(
                    "workers.confirm_percent",
                    self.confirm_percent,
                    limits::CONFIRM_PERCENT,
                )?,
                runs_max,
            },
        })
    }
}

fn load(path: &Path) -> Result<Vec<Entry>, BadConfig> {
    let file = path.to_owned();
    parse(&read(path)?).map_err(|problem| BadConfig::Syntax { file, problem })
}

/// The entry of a new worker, as TOML, unless nobody may be called that.
pub fn entry(name: &str, token: &str) -> Option<String> {
    let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let fits = (1..=pe_proto::limits::LABEL_BYTES_MAX).contains(&name.len());
    let digest = Digest::of(token.as_bytes()).hex();
    (fits && name.bytes().all(is_name)).then(|| {
        format!(
            "[[worker]]\nname = \"{name}\"\ntoken_sha256 = \"{digest}\"\n\
             #owner = \"{name}\"\n#trusted = false\n#arch = []\n#labels = []\n\
             #slots_max = 4096\n"
        )
    })
}

/// Reads a file of workers.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    if file.worker.len() > limits::WORKER_ENTRIES_MAX {
        return Err(format!("expected at most {} workers", limits::WORKER_ENTRIES_MAX));
    }
    let (mut names, mut tokens) = (BTreeSet::new(), BTreeSet::new());
    let mut entries = Vec::with_capacity(file.worker.len());
    for raw in file.worker {
        let RawEntry { name, token_sha256: token, owner, trusted, arch, labels, slots_max } = raw;
        if name.is_empty() || name.len() > pe_proto::limits::LABEL_BYTES_MAX {
            return Err(format!("worker `{name}`: expected a name of 1 to 256 bytes"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("worker `{name}` is there twice"));
        }
        if !tokens.insert(token) {
            return Err(format!("worker `{name}` has the token of another"));
        }
        let slots_max = slots_max.unwrap_or(limits::WORKER_SLOTS_MAX);
        if !(1..=limits::WORKER_SLOTS_MAX).contains(&slots_max) {
            let most = limits::WORKER_SLOTS_MAX;
            return Err(format!("worker `{name}`: slots_max: expected 1 to {most}"));
        }
        // Without an owner it is its own.
        let owner = owner.unwrap_or_else(|| name.clone());
        let identity = Identity { name: name.into(), owner: owner.into(), is_trusted: trusted };
        entries.push(Entry { identity, token, archs: arch, labels, slots_max });
    }
    Ok(entries)
}
