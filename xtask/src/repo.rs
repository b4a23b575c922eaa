//! The checkout: its files, without what is built or fetched.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Folders that hold nothing of ours, wherever they are.
const SKIPPED: [&str; 7] =
    [".git", "artifacts", "build", "corpus", "coverage", "node_modules", "proptest-regressions"];

/// A text file of the checkout.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// Its name without folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(self.path.as_str(), |(_, name)| name)
    }
}

/// Where the checkout is.
#[derive(Debug)]
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    /// The one this program was built from.
    pub(crate) fn this() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let root = root.context("xtask lies in the root of the checkout")?;
        Ok(Self { root: root.to_owned() })
    }

    /// A checkout somewhere else.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Its root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there is a file or folder at a path from the root.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Reads a file, if it is there.
    pub(crate) fn read(&self, path: &str) -> Option<Source> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(Source { path: path.to_owned(), text })
    }

    /// All text files whose name ends so, in the order of their paths.
    pub(crate) fn sources(&self, ending: &str) -> anyhow::Result<Vec<Source>> {
        let mut found = Vec::new();
        self.walk("", &mut |path| {
            if path.ends_with(ending) {
                found.extend(self.read(path));
            }
        })?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn walk(&self, folder: &str, visit: &mut impl FnMut(&str)) -> anyhow::Result<()> {
        let entries =
            fs::read_dir(self.root.join(folder)).with_context(|| format!("listing `{folder}`"))?;
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = join(folder, &name);
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) && !name.starts_with("target") {
                    self.walk(&path, visit)?;
                }
            } else if kind.is_file() {
                visit(&path);
            }
        }
        Ok(())
    }
}

/// Joins paths from the root.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
