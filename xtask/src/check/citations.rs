//! Citations of docs/protocol.md in the code: each names a section that is there, and each section
//! that defines a message is named by some code.
//!
//! A section is cited as `protocol.md 6.2`. It defines a message if it has a table whose header
//! begins with `field`.

use std::collections::BTreeSet;

use super::Problem;
use crate::markdown::{headings, prose};
use crate::repo::{Repo, Source};

const PAGE: &str = "docs/protocol.md";
const CITE: &str = "protocol.md ";

/// A numbered section of the page.
#[derive(Debug, PartialEq, Eq)]
struct Section {
    line: usize,
    number: String,
    defines_message: bool,
}

/// Dangling citations and sections that nobody cites.
pub(super) fn check(repo: &Repo, rust: &[Source]) -> Vec<Problem> {
    match repo.read(PAGE) {
        Some(page) => check_page(&page.text, rust),
        None => vec![Problem::new(PAGE, 1, "the page is missing; code cites it")],
    }
}

fn check_page(page: &str, rust: &[Source]) -> Vec<Problem> {
    let sections = sections(page);
    let mut problems = Vec::new();
    let mut cited = BTreeSet::new();
    for source in rust {
        for (line, number) in citations(&source.text) {
            if !sections.iter().any(|section| section.number == number) {
                let what = format!("{PAGE} has no section {number}: cite one that is there");
                problems.push(Problem::new(&source.path, line, what));
            }
            cited.insert(number);
        }
    }
    let uncited = |section: &&Section| section.defines_message && !cited.contains(&section.number);
    problems.extend(sections.iter().filter(uncited).map(|section| {
        let number = &section.number;
        let what = format!(
            "section {number} defines a message but no code cites it: add `protocol.md {number}` to its module"
        );
        Problem::new(PAGE, section.line, what)
    }));
    problems
}

/// The numbered sections of a page, `## 1. Name` and `### 1.2 Name`.
fn sections(page: &str) -> Vec<Section> {
    let headings = headings(page);
    let tables: Vec<usize> = prose(page)
        .filter(|(_, line)| line.starts_with("| field |"))
        .map(|(line, _)| line)
        .collect();
    let next = headings.iter().skip(1).map(|heading| heading.line).chain([usize::MAX]);
    let numbered = headings.iter().zip(next).filter_map(|(heading, next)| {
        let number = leading_number(&heading.text)?;
        let defines_message = tables.iter().any(|line| (heading.line..next).contains(line));
        Some(Section { line: heading.line, number, defines_message })
    });
    numbered.filter(|section| section.number.split('.').count() <= 2).collect()
}

/// All citations in a source, with their lines.
fn citations(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in source.lines().enumerate() {
        for (at, _) in line.match_indices(CITE) {
            let rest = line.get(at + CITE.len()..).unwrap_or_default();
            found.extend(leading_number(rest).map(|number| (index + 1, number)));
        }
    }
    found
}

/// `6.2` of `6.2 Ready`, `6` of `6. The link`.
fn leading_number(text: &str) -> Option<String> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let number = text.get(..end)?.trim_end_matches('.');
    (!number.is_empty() && !number.starts_with('.')).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{check_page, citations, leading_number};
    use crate::repo::Source;

    const PAGE: &str = "# Page\n## 1. Rules\n### 1.1 Words\n### 1.2 Frame\n| field | type |\n\
        ## 2. Archive\n| field |\n```\n## 3. not a section\n| field |\n```\n";

    fn problems(code: &str) -> Vec<String> {
        let source = Source { path: "a.rs".to_owned(), text: code.to_owned() };
        check_page(PAGE, &[source]).iter().map(ToString::to_string).collect()
    }

    // Put together at run time: this file is checked too.
    fn cite(number: &str) -> String {
        format!("// `{}{number}`", super::CITE)
    }

    #[test]
    fn every_message_must_be_cited_and_every_citation_must_hold() {
        assert_eq!(problems(&[cite("1.2"), cite("2"), cite("1.1")].join("\n")), [""; 0]);
        let found = problems(&[cite("2"), cite("3"), cite("1.9")].join("\n"));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a.rs:2: docs/protocol.md has no section 3"));
        assert!(found[1].starts_with("a.rs:3: docs/protocol.md has no section 1.9"));
        assert!(found[2].starts_with("docs/protocol.md:4: section 1.2 defines a message"));
    }

    #[test]
    fn citations_are_found_with_their_lines() {
        let code = format!("{} and {}.\n\n{}", cite("6.1"), cite("6."), cite("x"));
        assert_eq!(citations(&code), [(1, "6.1".to_owned()), (1, "6".to_owned())]);
    }

    #[test]
    fn numbers_end_where_text_begins() {
        assert_eq!(leading_number("6.2 Ready").as_deref(), Some("6.2"));
        assert_eq!(leading_number("6. The").as_deref(), Some("6"));
        assert_eq!(leading_number("4.5)").as_deref(), Some("4.5"));
        assert_eq!(leading_number("is").as_deref(), None);
        assert_eq!(leading_number(".5").as_deref(), None);
    }
}
