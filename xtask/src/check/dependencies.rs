//! docs/dependencies.md says of every direct dependency why it is there.
//!
//! A dependency has its line if a row of a table or an item of a list begins with its name, alone
//! or in a family (`http, http-body`). The versions are all in the root manifest, so that is where problems point.

use std::collections::BTreeMap;

use super::Problem;
use crate::packages::Package;
use crate::repo::Repo;

const PAGE: &str = "docs/dependencies.md";
const MANIFEST: &str = "Cargo.toml";

/// Dependencies without a line, versions outside of the root manifest, versions nobody uses.
pub(super) fn check(repo: &Repo, packages: &[Package]) -> Vec<Problem> {
    let Some(page) = repo.read(PAGE) else {
        return vec![Problem::new(
            PAGE,
            1,
            "the page is missing: one line per dependency, and why",
        )];
    };
    let manifest = repo.read(MANIFEST).map(|source| source.text).unwrap_or_default();
    check_page(&page.text, &manifest, packages)
}

fn check_page(page: &str, manifest: &str, packages: &[Package]) -> Vec<Problem> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_ours) {
            users.entry(&dependency.name).or_default().push(&package.name);
        }
    }
    let stated = workspace_dependencies(manifest);
    let mut problems = Vec::new();
    for (name, mut users) in users {
        users.dedup();
        let users = users.join(", ");
        let line = stated.iter().find(|(_, known)| *known == name).map(|(line, _)| *line);
        if line.is_none() {
            let what = format!(
                "`{name}` (used by {users}) has no version here: state it in [workspace.dependencies]"
            );
            problems.push(Problem::new(MANIFEST, 1, what));
        }
        if !has_line(page, name) {
            let what =
                format!("`{name}` (used by {users}) has no line in {PAGE}: say why it is there");
            problems.push(Problem::new(MANIFEST, line.unwrap_or(1), what));
        }
    }
    problems
}

/// Names under `[workspace.dependencies]`, with their lines.
fn workspace_dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim_end() == "[workspace.dependencies]";
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            found.push((index + 1, name.trim()));
        }
    }
    found
}

/// Whether a row of a table or an item of a list begins with the name, alone or among others.
fn has_line(page: &str, name: &str) -> bool {
    page.lines().any(|line| {
        let item = line.trim_start_matches(['|', '-', '*', ' ']);
        let names = item.split(['|', ':']).next().unwrap_or_default();
        item.len() < line.len() && names.split([',', ' ', '`']).any(|known| known == name)
    })
}

#[cfg(test)]
mod tests {
    use super::{check_page, has_line, workspace_dependencies};
    use crate::packages::{Dependency, Package};

    const MANIFEST: &str = "[workspace]\na = 1\n[workspace.dependencies]\nhttp = \"1\"\nh2 = { version = \"0.4\" }\n\n[profile]\nb = 2\n";

    #[test]
    fn dependencies_of_the_workspace_are_found_with_their_lines() {
        assert_eq!(workspace_dependencies(MANIFEST), [(4, "http"), (5, "h2")]);
    }

    #[test]
    fn a_line_begins_with_the_name() {
        let page = "| h2 | why |\n* `http`, `http-body`: why\nthe glob crate\n";
        for name in ["h2", "http", "http-body"] {
            assert!(has_line(page, name), "{name}");
        }
        assert!(!has_line(page, "glob"));
        assert!(!has_line(page, "body"));
        assert!(!has_line("| h2 | not http |", "http"));
    }

    #[test]
    fn what_is_used_must_have_a_version_and_a_line() {
        let dependency = |name: &str, is_ours| Dependency { name: name.to_owned(), is_ours };
        let package = Package {
            name: "pe-lb".to_owned(),
            manifest: "crates/lb/Cargo.toml".to_owned(),
            dependencies: vec![
                dependency("http", false),
                dependency("h2", false),
                dependency("glob", false),
                dependency("pe-proto", true),
            ],
        };
        let found = check_page("| http | why |", MANIFEST, &[package]);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("Cargo.toml:1: `glob` (used by pe-lb) has no version"));
        assert!(found[1].starts_with("Cargo.toml:1: `glob` (used by pe-lb) has no line in"));
        assert!(found[2].starts_with("Cargo.toml:5: `h2` (used by pe-lb) has no line in"));
    }
}
