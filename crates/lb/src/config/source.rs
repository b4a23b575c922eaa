//! Where settings came from, so that they can be read again and what changed can be told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pe_proto::Digest;

use super::{BadConfig, Config, Overrides};
use crate::limits::COMPARED_BYTES_MAX;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Source {
    file: Option<PathBuf>,
    flags: Overrides,
    /// What was given, by key (`queue.jobs_max`), as TOML writes it.
    given: BTreeMap<String, String>,
    /// Digests of the files that are named by values, by the same keys: a file that changed is a
    /// setting that changed.
    content: BTreeMap<String, Digest>,
}

impl Source {
    pub(super) fn new(file: Option<&Path>, text: &str, flags: &Overrides) -> Self {
        // The text was parsed before; what is no table gives nothing.
        let table = text.parse::<toml::Table>().unwrap_or_default();
        let mut given = BTreeMap::new();
        flatten("", &toml::Value::Table(table), &mut given);
        given.extend(flags.given());
        let content = given.iter().filter_map(|(key, value)| Some((key.clone(), content(value)?)));
        let content = content.collect();
        Self { file: file.map(Path::to_owned), flags: flags.clone(), given, content }
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load_again(&self) -> Result<Config, BadConfig> {
        Config::load(self.file.as_deref(), self.flags.clone())
    }

    /// A value names a folder, of which all files together have this digest.
    pub(super) fn folder(&mut self, key: &str, digest: Digest) {
        self.content.insert(key.to_owned(), digest);
    }

    /// What was given, by key.
    pub fn given(&self) -> &BTreeMap<String, String> {
        &self.given
    }

    /// Takes over what another says about some keys.
    pub fn take(&mut self, other: &Self, is_taken: impl Fn(&str) -> bool) {
        take(&mut self.given, &other.given, &is_taken);
        take(&mut self.content, &other.content, &is_taken);
    }

    /// Keys whose values differ, or the files that they name.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.given.keys().chain(other.given.keys()).collect();
        let is_changed = |key: &&&String| {
            self.given.get(**key) != other.given.get(**key)
                || self.content.get(**key) != other.content.get(**key)
        };
        keys.iter().filter(is_changed).map(|key| (*key).clone()).collect()
    }
}

fn take<T: Clone>(
    mine: &mut BTreeMap<String, T>,
    other: &BTreeMap<String, T>,
    is_taken: impl Fn(&str) -> bool,
) {
    mine.retain(|key, _| !is_taken(key));
    let taken = other.iter().filter(|(key, _)| is_taken(key));
    mine.extend(taken.map(|(key, value)| (key.clone(), value.clone())));
}

fn flatten(prefix: &str, value: &toml::Value, given: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{key}"), value, given);
            }
        }
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_) => {
            given.insert(prefix.to_owned(), value.to_string());
        }
    }
}

/// The digest of the file that a value names, if it names one and the file is of a size that
/// settings have.
fn content(value: &str) -> Option<Digest> {
    let path = Path::new(value.trim_matches(['"', '\'']));
    let about = std::fs::metadata(path).ok()?;
    let is_one = about.is_file() && about.len() <= COMPARED_BYTES_MAX;
    is_one.then(|| std::fs::read(path).ok()).flatten().map(|bytes| Digest::of(&bytes))
}
