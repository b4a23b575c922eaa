//! The table of docs/threat-model.md: every case has one row, and every test that a row names is
//! a function that there is.
//!
//! A row begins with the case's number. Its last cell names tests in backticks, or says
//! `issue N, open`, or `does not apply` and why.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;
use crate::markdown::prose;
use crate::repo::{Repo, Source};
use crate::rust_text::code_only;

const PAGE: &str = "docs/threat-model.md";

/// Cases are numbered from 1 to this.
const CASES: u32 = 45;

/// Missing and doubled rows, rows that show nothing, and tests that are not there.
pub(super) fn check(repo: &Repo, rust: &[Source]) -> Vec<Problem> {
    match repo.read(PAGE) {
        Some(page) => check_page(&page.text, rust),
        None => vec![Problem::new(PAGE, 1, "the page is missing")],
    }
}

fn check_page(page: &str, rust: &[Source]) -> Vec<Problem> {
    let functions: BTreeSet<String> =
        rust.iter().flat_map(|source| functions(&code_only(&source.text))).collect();
    let mut problems = Vec::new();
    let mut rows = BTreeMap::new();
    for (line, case, shown) in prose(page).filter_map(|(line, text)| row(line, text)) {
        if rows.insert(case, line).is_some() {
            problems.push(Problem::new(PAGE, line, format!("case {case} has another row")));
        }
        let tests = tests(&shown);
        let is_open = shown.contains("open") && shown.contains("issue ");
        if tests.is_empty() && !is_open && !shown.contains("does not apply") {
            let what = format!(
                "case {case} names no test: name one, or say `issue N, open` or `does not apply`"
            );
            problems.push(Problem::new(PAGE, line, what));
        }
        for test in tests.iter().filter(|test| !functions.contains(*test)) {
            let what = format!("case {case} names `{test}`, and there is no such function");
            problems.push(Problem::new(PAGE, line, what));
        }
    }
    let missing = (1..=CASES).filter(|case| !rows.contains_key(case));
    problems.extend(missing.map(|case| Problem::new(PAGE, 1, format!("case {case} has no row"))));
    problems
}

/// A row of the table: its line, its case and its last cell.
fn row(line: usize, text: &str) -> Option<(usize, u32, String)> {
    let cells: Vec<&str> = text.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
    let case = cells.first()?.trim().parse().ok()?;
    Some((line, case, cells.last()?.trim().to_owned()))
}

/// The names in backticks, less the path before the last `::`.
fn tests(cell: &str) -> Vec<String> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.map(|path| path.rsplit("::").next().unwrap_or(path).to_owned()).collect()
}

/// Names of the functions in code.
fn functions(code: &str) -> Vec<String> {
    let names = code.split_whitespace().zip(code.split_whitespace().skip(1));
    let names = names.filter(|(word, _)| *word == "fn").map(|(_, name)| {
        name.chars().take_while(|char| char.is_ascii_alphanumeric() || *char == '_').collect()
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::{CASES, check_page};
    use crate::repo::Source;

    fn problems(page: &str) -> Vec<String> {
        let text =
            "// fn in_a_comment() {}\nasync fn a_test() {}\nfn another<T>(x: T) {}".to_owned();
        let source = Source { path: "a.rs".to_owned(), text };
        check_page(page, &[source]).iter().map(ToString::to_string).collect()
    }

    fn page(change: impl Fn(u32) -> String) -> String {
        (1..=CASES).map(change).collect()
    }

    fn good(case: u32) -> String {
        format!("| {case} | holds | code | e2e `a_test`, `crates::another` |\n")
    }

    #[test]
    fn a_whole_table_of_tests_that_exist_is_right() {
        assert_eq!(problems(&page(good)), [""; 0]);
    }

    #[test]
    fn what_is_missing_doubled_or_made_up_is_told() {
        let found = problems(&page(|case| match case {
            3 => String::new(),
            4 => good(4).repeat(2),
            5 => "| 5 | holds | code | `in_a_comment` |\n".to_owned(),
            6 => "| 6 | holds | code | believed |\n".to_owned(),
            7 => "| 7 | holds | code | issue 9, open |\n".to_owned(),
            8 => "| 8 | holds | code | does not apply: no disk |\n".to_owned(),
            case => good(case),
        }));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().any(|what| what.contains("case 3 has no row")), "{found:?}");
        assert!(found.iter().any(|what| what.contains("case 4 has another row")), "{found:?}");
        assert!(found.iter().any(|what| what.contains("`in_a_comment`")), "{found:?}");
        assert!(found.iter().any(|what| what.contains("case 6 names no test")), "{found:?}");
    }
}
