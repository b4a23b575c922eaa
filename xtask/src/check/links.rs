//! Links between pages of the repository: their files are there, and so are their anchors.

use super::Problem;
use crate::markdown::{anchors, links};
use crate::repo::{Repo, Source, join};

/// Links that lead nowhere.
pub(super) fn check(repo: &Repo, pages: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for page in pages {
        for link in links(&page.text) {
            if let Some(what) = broken(repo, pages, page, &link.target) {
                problems.push(Problem::new(&page.path, link.line, what));
            }
        }
    }
    problems
}

fn broken(repo: &Repo, pages: &[Source], page: &Source, target: &str) -> Option<String> {
    if is_elsewhere(target) {
        return None;
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target, None),
    };
    let path = match file {
        "" => page.path.clone(),
        file => match resolve(&page.path, file) {
            Some(path) => path,
            None => return Some(format!("`{target}` leads out of the repository")),
        },
    };
    if !repo.has(&path) {
        return Some(format!("`{target}`: there is no {path}"));
    }
    let anchor = anchor?;
    let page = pages.iter().find(|page| page.path == path)?;
    (!anchors(&page.text).iter().any(|known| known == anchor))
        .then(|| format!("`{target}`: {path} has no heading for #{anchor}"))
}

/// Whether a target is outside of the repository; those are not looked at.
fn is_elsewhere(target: &str) -> bool {
    let scheme = target.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A target as a path from the root; `None` if it leads above it.
fn resolve(page: &str, target: &str) -> Option<String> {
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.iter().fold(String::new(), |path, name| join(&path, name)))
}

#[cfg(test)]
mod tests {
    use super::{broken, is_elsewhere, resolve};
    use crate::repo::{Repo, Source};
    use std::path::Path;

    #[test]
    fn targets_are_relative_to_their_page() {
        assert_eq!(resolve("docs/a.md", "b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(resolve("docs/x/a.md", "../b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(resolve("a.md", "./docs/").as_deref(), Some("docs"));
        assert_eq!(resolve("a.md", "../b.md"), None);
    }

    #[test]
    fn targets_with_a_scheme_are_elsewhere() {
        assert!(is_elsewhere("https://example.org/a.md"));
        assert!(is_elsewhere("mailto:a@example.org"));
        assert!(!is_elsewhere("a.md"));
        assert!(!is_elsewhere("a/b:c.md"));
    }

    #[test]
    fn files_and_anchors_must_be_there() {
        let repo = Repo::at(Path::new(env!("CARGO_MANIFEST_DIR")));
        let page = |path: &str| Source { path: path.to_owned(), text: "# Some head\n".to_owned() };
        let pages = [page("src/a.md"), page("Cargo.toml")];
        let check = |target: &str| broken(&repo, &pages, &pages[0], target);
        // An anchor of a file that is no page is not looked at.
        for good in ["main.rs", "../Cargo.toml#some-head", "main.rs#L3", ".", "check/"] {
            assert_eq!(check(good), None, "{good}");
        }
        assert!(check("none.rs").is_some_and(|what| what.contains("there is no src/none.rs")));
        assert!(check("../Cargo.toml#none").is_some_and(|what| what.contains("no heading")));
        assert!(check("../../up.md").is_some_and(|what| what.contains("out of the repository")));
    }
}
