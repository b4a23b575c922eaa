//! The architecture rules. Each rule is a module that turns the checkout into problems.

mod arrows;
mod citations;
mod dependencies;
mod layout;
mod links;
mod threats;

use std::fmt;

use crate::packages;
use crate::repo::Repo;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    path: String,
    line: usize,
    what: String,
}

impl Problem {
    /// A problem at a line, from 1, that says what is wrong and what to do.
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Runs every rule.
pub(crate) fn all(repo: &Repo) -> anyhow::Result<Vec<Problem>> {
    let packages = packages::packages(repo)?;
    let rust = repo.sources(".rs")?;
    let pages = repo.sources(".md")?;
    let mut problems = Vec::new();
    problems.extend(arrows::check(repo, &packages));
    problems.extend(citations::check(repo, &rust));
    problems.extend(links::check(repo, &pages));
    problems.extend(layout::check(&rust));
    problems.extend(dependencies::check(repo, &packages));
    problems.extend(threats::check(repo, &rust));
    problems.sort();
    Ok(problems)
}
