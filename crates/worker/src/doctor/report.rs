//! The report: for people, at 80 columns, and for programs, as JSON (docs/doctor.md).

use serde::Serialize;

use super::checks::count;
use super::{Diagnosis, Entry, Verdict};

/// Columns of the text.
const COLUMNS: usize = 80;
/// Where what was seen begins.
const INDENT: usize = 20;
/// Version of the JSON; a change that breaks readers raises it.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize)]
struct Report<'a> {
    format: u32,
    verdict: &'static str,
    took_ms: u128,
    checks: Vec<Line<'a>>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'static str,
    verdict: &'static str,
    what: &'static str,
    why: &'static str,
    seen: &'a str,
    mend: Option<&'a str>,
    took_ms: u128,
}

/// One object, and a newline.
pub(super) fn json(diagnosis: &Diagnosis) -> String {
    let checks = diagnosis.entries.iter().map(|entry| Line {
        id: entry.check.id,
        verdict: entry.finding.verdict.as_str(),
        what: entry.check.what,
        why: entry.check.why,
        seen: &entry.finding.seen,
        mend: entry.finding.mend.as_deref(),
        took_ms: entry.took.as_millis(),
    });
    let report = Report {
        format: FORMAT,
        verdict: diagnosis.verdict().as_str(),
        took_ms: diagnosis.took.as_millis(),
        checks: checks.collect(),
    };
    let mut text = serde_json::to_string_pretty(&report).expect("texts and numbers are JSON");
    text.push('\n');
    text
}

/// A line for what passes; what, why and how for what does not.
pub(super) fn text(diagnosis: &Diagnosis, colour: bool) -> String {
    let mut text = String::new();
    for entry in &diagnosis.entries {
        let Entry { check, finding, .. } = entry;
        let verdict = paint(finding.verdict, colour);
        let head = format!("{verdict}  {:<width$}", check.id, width = INDENT - 6);
        text.push_str(&wrapped(&head, INDENT, &finding.seen));
        if finding.verdict == Verdict::Pass {
            continue;
        }
        text.push_str(&wrapped(&labelled("expected"), INDENT, check.what));
        text.push_str(&wrapped(&labelled("why"), INDENT, check.why));
        for command in finding.mend.iter().flat_map(|mend| mend.lines()) {
            // Not wrapped: it is there to be copied. What is for people may be.
            match command.strip_prefix('#') {
                Some(advice) => text.push_str(&wrapped(&labelled("mend"), INDENT, advice.trim())),
                None => text.push_str(&command_lines(command)),
            }
        }
    }
    let of =
        |verdict| diagnosis.entries.iter().filter(|entry| entry.finding.verdict == verdict).count();
    let all = count(diagnosis.entries.len(), "check");
    text.push_str(&format!(
        "\n{all} in {:.1} s: {} pass, {} warn, {} fail\n",
        diagnosis.took.as_secs_f64(),
        of(Verdict::Pass),
        of(Verdict::Warn),
        of(Verdict::Fail)
    ));
    text
}

fn labelled(label: &str) -> String {
    format!("      {label:<width$}", width = INDENT - 6)
}

/// A command on a line of its own, after it what it has to be told about it.
fn command_lines(command: &str) -> String {
    let (command, remark) = match command.split_once("   # ") {
        Some((command, remark)) => (command, Some(remark)),
        None => (command, None),
    };
    let mut text = format!("{}$ {command}\n", labelled("mend"));
    if let Some(remark) = remark {
        text.push_str(&wrapped(&" ".repeat(INDENT), INDENT + 2, &format!("  ({remark})")));
    }
    text
}

/// Words in lines that fit, the first after `head`, the others indented.
fn wrapped(head: &str, indent: usize, words: &str) -> String {
    let mut text = String::from(head);
    let mut column = indent;
    let mut is_first = true;
    for word in words.split_whitespace() {
        let width = word.chars().count();
        if !is_first && column + 1 + width > COLUMNS {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
        is_first = false;
    }
    text.push('\n');
    text
}

fn paint(verdict: Verdict, colour: bool) -> String {
    let code = match verdict {
        Verdict::Pass => "32",
        Verdict::Warn => "33",
        Verdict::Fail => "31;1",
    };
    let word = verdict.as_str();
    if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
}

#[cfg(test)]
mod tests;
