//! Which package of ours may depend on which (ARCHITECTURE.md): everything on proto, proto on
//! nothing, the daemons never on each other.

use super::Problem;
use crate::packages::Package;
use crate::repo::Repo;

/// Each package, and what of ours it may depend on.
const ARROWS: [(&str, &[&str]); 9] = [
    ("pe-proto", &[]),
    ("pe-image", &["pe-proto"]),
    ("pe-lb", &["pe-proto"]),
    ("pe-worker", &["pe-proto"]),
    ("pe-guest-init", &["pe-proto"]),
    ("pe-cli", &["pe-proto", "pe-image"]),
    ("pe-rogue-init", &["pe-proto"]),
    ("pe-sim", &["pe-proto", "pe-lb", "pe-worker"]),
    ("xtask", &[]),
];

/// Test crates, which may depend on all.
const FREE: [&str; 5] = ["pe-e2e", "pe-fleet", "pe-crun-baseline", "pe-perf", "pe-scripted-worker"];

/// Packages that break the table, or are not in it.
pub(super) fn check(repo: &Repo, packages: &[Package]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        let manifest = repo.read(&package.manifest);
        let manifest = manifest.as_ref().map_or("", |source| source.text.as_str());
        problems.extend(check_package(package, manifest));
    }
    problems
}

fn check_package(package: &Package, manifest: &str) -> Vec<Problem> {
    let name = package.name.as_str();
    if FREE.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        let what = format!(
            "`{name}` has no arrows: say in xtask/src/check/arrows.rs what of ours it may depend on"
        );
        return vec![Problem::new(&package.manifest, 1, what)];
    };
    let ours = package.dependencies.iter().filter(|dependency| dependency.is_ours);
    let forbidden = ours.filter(|dependency| !allowed.contains(&dependency.name.as_str()));
    forbidden
        .map(|dependency| {
            let what = format!(
                "`{name}` must not depend on `{}`: {}",
                dependency.name,
                match allowed {
                    [] => "it depends on nothing of ours".to_owned(),
                    allowed => format!("of ours only on {}", allowed.join(", ")),
                }
            );
            Problem::new(&package.manifest, line_of(manifest, &dependency.name), what)
        })
        .collect()
}

/// Line of the manifest that begins with this dependency.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let begins = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    manifest.lines().position(begins).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::{check_package, line_of};
    use crate::packages::{Dependency, Package};

    fn problems(name: &str, ours: &[&str]) -> Vec<String> {
        let dependency = |name: &&str| Dependency { name: (*name).to_owned(), is_ours: true };
        let mut dependencies: Vec<Dependency> = ours.iter().map(dependency).collect();
        dependencies.push(Dependency { name: "pe-lb".to_owned(), is_ours: false });
        let manifest = "crates/x/Cargo.toml".to_owned();
        let package = Package { name: name.to_owned(), manifest, dependencies };
        let text = "[dependencies]\nhttp = 1\npe-worker.workspace = true\n";
        check_package(&package, text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_point_to_proto_only() {
        assert_eq!(problems("pe-lb", &["pe-proto"]), [""; 0]);
        assert_eq!(problems("pe-e2e", &["pe-proto", "pe-lb", "pe-worker"]), [""; 0]);
        assert_eq!(
            problems("pe-lb", &["pe-proto", "pe-worker"]),
            [
                "crates/x/Cargo.toml:3: `pe-lb` must not depend on `pe-worker`: of ours only on pe-proto"
            ]
        );
        assert_eq!(
            problems("pe-proto", &["pe-cli"]),
            [
                "crates/x/Cargo.toml:1: `pe-proto` must not depend on `pe-cli`: it depends on nothing of ours"
            ]
        );
    }

    #[test]
    fn a_package_that_is_not_in_the_table_is_a_problem() {
        let found = problems("pe-util", &[]);
        assert!(found[0].contains("`pe-util` has no arrows"), "{found:?}");
    }

    #[test]
    fn the_line_of_a_dependency_is_found() {
        assert_eq!(line_of("a\npe-lb-x = 1\npe-lb = 1\n", "pe-lb"), 3);
        assert_eq!(line_of("a\n", "pe-lb"), 1);
    }
}
