//! How source files lie and what may be in them: no `mod.rs`, no long files, pure cores, `unsafe`
//! only in `sys.rs`.

use super::Problem;
use crate::repo::Source;
use crate::rust_text::{code_only, has_word};

/// Most lines of a file in a crate's `src`.
const LINES_MAX: usize = 600;

/// What a core decides without, and so must not name.
const IMPURE: [&str; 3] = ["fs", "net", "process"];

/// Files that break a rule.
pub(super) fn check(rust: &[Source]) -> Vec<Problem> {
    rust.iter().flat_map(check_source).collect()
}

fn check_source(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut found = |line: usize, what: String| {
        problems.push(Problem::new(&source.path, line, what));
    };
    if source.name() == "mod.rs" {
        let what = "no mod.rs: name the file as its module, beside the folder";
        found(1, what.to_owned());
    }
    let lines = source.text.lines().count();
    if is_in_src(&source.path) && lines > LINES_MAX {
        let what = format!("{lines} lines, at most {LINES_MAX}: split it by idea");
        found(LINES_MAX + 1, what);
    }
    let code = code_only(&source.text);
    if source.name() != "sys.rs" {
        for line in lines_with(&code, |line| has_word(line, "unsafe")) {
            found(line, "unsafe code lives in a sys.rs, one syscall a function".to_owned());
        }
    }
    if is_core(&source.path) {
        for line in lines_with(&code, |line| has_word(line, "tokio")) {
            found(line, "a core knows no tokio: take `now` and events as arguments".to_owned());
        }
        for (line, module) in impure_paths(&code) {
            let what = format!("a core does no I/O: move the use of std::{module} to the shell");
            found(line, what);
        }
    }
    problems
}

fn is_in_src(path: &str) -> bool {
    let mut names = path.split('/');
    names.next() == Some("crates") && names.nth(1) == Some("src")
}

/// Whether a file is a crate's core, or below it.
fn is_core(path: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    matches!(names.as_slice(), ["crates", _, "src", "core.rs"] | ["crates", _, "src", "core", ..])
}

fn lines_with(code: &str, wanted: impl Fn(&str) -> bool) -> Vec<usize> {
    let lines = code.lines().enumerate().filter(|(_, line)| wanted(line));
    lines.map(|(index, _)| index + 1).collect()
}

/// Places that name `std::fs` and the like, alone or in a group of imports.
fn impure_paths(code: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("std::") {
        let before = code.get(..at).unwrap_or_default();
        if before.ends_with(|char: char| char.is_alphanumeric() || char == '_') {
            continue;
        }
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let rest = code.get(at + "std::".len()..).unwrap_or_default();
        for name in first_names(rest) {
            found.extend(
                IMPURE.into_iter().filter(|module| *module == name).map(|name| (line, name)),
            );
        }
    }
    found
}

/// The names right after `std::`: one, or each of a group `{a::b, c}`.
fn first_names(rest: &str) -> Vec<&str> {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        return vec![first_name(rest)];
    };
    let mut depth = 1_usize;
    let mut begin = 0;
    let mut names = Vec::new();
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && char == ',') {
            names.push(first_name(group.get(begin..at).unwrap_or_default().trim_start()));
            begin = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn first_name(text: &str) -> &str {
    let is_end = |char: char| !char.is_alphanumeric() && char != '_';
    text.get(..text.find(is_end).unwrap_or(text.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::check_source;
    use crate::repo::Source;

    fn problems(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        let found = check_source(&source);
        found.into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    fn lines(path: &str, text: &str) -> Vec<usize> {
        problems(path, text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn cores_know_no_tokio_and_no_io() {
        let core = "crates/lb/src/core/broker.rs";
        assert_eq!(lines(core, "use tokio::time::Instant;"), [1]);
        assert_eq!(lines(core, "\nuse std::fs::File;"), [2]);
        assert_eq!(
            lines(core, "use std::{\n  collections::{BTreeMap, fs},\n  net::IpAddr,\n};"),
            [1]
        );
        assert_eq!(lines(core, "fn a() { std::process::abort() }"), [1]);
        assert_eq!(
            lines(core, "use std::{time::Duration, fmt}; use nix_std::fs; // tokio"),
            [0; 0]
        );
        assert_eq!(lines("crates/lb/src/core.rs", "use tokio::sync::mpsc;"), [1]);
        assert_eq!(lines("crates/lb/src/driver.rs", "use tokio::sync::mpsc;"), [0; 0]);
    }

    #[test]
    fn unsafe_is_for_sys_only() {
        let code = "fn a() { unsafe { b() } }";
        assert_eq!(lines("crates/worker/src/vm.rs", code), [1]);
        assert_eq!(lines("crates/worker/src/sys.rs", code), [0; 0]);
        let words = "#![deny(unsafe_code)] // unsafe\nlet a = \"unsafe\";";
        assert_eq!(lines("crates/worker/src/vm.rs", words), [0; 0]);
    }

    #[test]
    fn files_are_named_as_modules_and_not_long() {
        assert!(problems("xtask/src/a/mod.rs", "")[0].1.contains("no mod.rs"));
        assert_eq!(lines("crates/lb/src/a.rs", &"\n".repeat(600)), [0; 0]);
        assert_eq!(lines("crates/lb/src/a.rs", &"\n".repeat(601)), [601]);
        assert_eq!(lines("crates/lb/tests/a.rs", &"\n".repeat(601)), [0; 0]);
    }
}
