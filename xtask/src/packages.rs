//! The packages of the workspace and what they depend on, as cargo says.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::repo::Repo;

/// A package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Path of its manifest, from the root.
    pub(crate) manifest: String,
    /// What it depends on, of any kind.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A direct dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Name of the package depended on.
    pub(crate) name: String,
    /// It is a folder of this checkout, not of a registry.
    pub(crate) is_ours: bool,
}

/// Asks cargo.
pub(crate) fn packages(repo: &Repo) -> anyhow::Result<Vec<Package>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(repo.root())
        .output()
        .context("running cargo metadata")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed: {said}");
    let root = repo.root().to_string_lossy();
    parse(&output.stdout, &root).context("reading the answer of cargo metadata")
}

fn parse(metadata: &[u8], root: &str) -> anyhow::Result<Vec<Package>> {
    let metadata: Value = serde_json::from_slice(metadata)?;
    array(&metadata, "packages")?
        .iter()
        .map(|package| {
            let manifest = text(package, "manifest_path")?;
            let manifest = manifest.strip_prefix(root).unwrap_or(&manifest);
            let dependencies = array(package, "dependencies")?.iter().map(|dependency| {
                Ok(Dependency {
                    name: text(dependency, "name")?,
                    is_ours: dependency.get("path").is_some_and(Value::is_string),
                })
            });
            Ok(Package {
                name: text(package, "name")?,
                manifest: manifest.trim_start_matches('/').to_owned(),
                dependencies: dependencies.collect::<anyhow::Result<_>>()?,
            })
        })
        .collect()
}

fn array<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a Vec<Value>> {
    let found = value.get(field).and_then(Value::as_array);
    found.with_context(|| format!("no array `{field}`"))
}

fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    let found = value.get(field).and_then(Value::as_str).map(str::to_owned);
    found.with_context(|| format!("no text `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::{Dependency, Package, parse};

    #[test]
    fn packages_are_read_from_metadata() {
        let json = br#"{"packages":[{"name":"pe-lb","manifest_path":"/r/crates/lb/Cargo.toml",
            "dependencies":[{"name":"pe-proto","path":"/r/crates/proto"},
                            {"name":"http","path":null},{"name":"h2"}]}],"version":1}"#;
        let dependency = |name: &str, is_ours| Dependency { name: name.to_owned(), is_ours };
        let expected = Package {
            name: "pe-lb".to_owned(),
            manifest: "crates/lb/Cargo.toml".to_owned(),
            dependencies: vec![
                dependency("pe-proto", true),
                dependency("http", false),
                dependency("h2", false),
            ],
        };
        assert_eq!(parse(json, "/r").unwrap(), [expected]);
        assert!(parse(b"{}", "/r").is_err());
    }
}
