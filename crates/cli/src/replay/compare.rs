//! What came out differently, in words.

use pe_proto::archive::Kind;
use pe_proto::{Fault, Outcome};

use crate::answer::{Received, ReturnedFile};
use crate::limits::DIFFERENCES_MAX;
use crate::units::show_bytes;
use crate::words::printable;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `outcome`, `stdout`, `stderr`, or the path of a file after `files/`.
    pub what: String,
    /// What was, and what is.
    pub how: String,
}

/// All that differs in what a program can be blamed for: how it ended, what it printed, and the
/// files that it made. Times, notes and where it ran may always differ.
pub fn differences(then: &Received, now: &Received) -> Vec<Difference> {
    let mut found = Vec::new();
    let (was, is) = (&then.head.outcome, &now.head.outcome);
    if was != is {
        found.push(difference("outcome", format!("{} then, {} now", ended(was), ended(is))));
    }
    for (what, was, is) in
        [("stdout", &then.stdout, &now.stdout), ("stderr", &then.stderr, &now.stderr)]
    {
        found.extend(bytes(was, is).map(|how| difference(what, how)));
    }
    for was in &then.files {
        let what = format!("files/{}", printable(&was.path));
        match now.files.iter().find(|is| is.path == was.path) {
            Some(is) => found.extend(file(was, is).map(|how| difference(&what, how))),
            None => found.push(difference(&what, "was there then, and is not now".to_owned())),
        }
    }
    for is in &now.files {
        if !then.files.iter().any(|was| was.path == is.path) {
            let what = format!("files/{}", printable(&is.path));
            found.push(difference(&what, "was not there then, and is now".to_owned()));
        }
    }
    found.truncate(DIFFERENCES_MAX);
    found
}

fn difference(what: &str, how: String) -> Difference {
    Difference { what: what.to_owned(), how }
}

fn file(was: &ReturnedFile, is: &ReturnedFile) -> Option<String> {
    if was.kind != is.kind {
        return Some(format!("{} then, {} now", kind(was.kind), kind(is.kind)));
    }
    bytes(&was.data, &is.data)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Executable => "an executable file",
        Kind::Directory => "a directory",
        Kind::Symlink => "a link",
    }
}

/// Where bytes begin to differ, and how many there are.
fn bytes(was: &[u8], is: &[u8]) -> Option<String> {
    if was == is {
        return None;
    }
    let same = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    let line = 1 + was.iter().take(same).filter(|byte| **byte == b'\n').count();
    let [was_long, is_long] = [was, is].map(|bytes| show_bytes(bytes.len() as u64));
    let first = format!("differs from byte {} on (line {line})", same + 1);
    Some(format!(
        "{first}; {was_long} then, {is_long} now\n  then: {}\n  now:  {}",
        near(was, same),
        near(is, same)
    ))
}

/// The rest of the line that a place is in.
fn near(bytes: &[u8], at: usize) -> String {
    const SHOWN: usize = 60;
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() {
        return "(its end)".to_owned();
    }
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if text.chars().count() > SHOWN { "..." } else { "" };
    format!("{}{more}", printable(&shown))
}

/// How a job ended, in a few words.
pub fn ended(outcome: &Outcome) -> String {
    let whose = |fault: &Fault| fault.as_str();
    match outcome {
        Outcome::Exited { code } => format!("exited with {code}"),
        Outcome::Signaled { signal } => format!("ended by signal {signal}"),
        Outcome::TimedOut { .. } => "timed out".to_owned(),
        Outcome::OutOfMemory => "out of memory".to_owned(),
        Outcome::Refused { fault, reason } => {
            format!("not started ({}: {})", whose(fault), printable(reason))
        }
        Outcome::Lost { fault, reason } => {
            format!("lost ({}: {})", whose(fault), printable(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_is_told_with_its_line() {
        let told = bytes(b"one\ntwo\nthree", b"one\ntwo\nthrow it").expect("they differ");
        let expected = "differs from byte 12 on (line 3); 13 bytes then, 16 bytes now\n  \
                        then: ee\n  now:  ow it";
        assert_eq!(told, expected);
        let told = bytes(b"", b"\x1b[31mred\n").expect("they differ");
        assert!(told.ends_with("then: (its end)\n  now:  \\u{1b}[31mred"), "{told}");
        assert_eq!(bytes(b"same", b"same"), None);
    }

    #[test]
    fn a_long_line_is_cut() {
        let told = near(&[b'x'; 100], 0);
        assert_eq!(told, format!("{}...", "x".repeat(60)));
    }

    #[test]
    fn files_are_compared_by_what_they_are_first() {
        let of = |kind, data: &[u8]| ReturnedFile { path: "a".into(), kind, data: data.to_vec() };
        let (plain, tool) = (of(Kind::File, b"1"), of(Kind::Executable, b"1"));
        assert_eq!(file(&plain, &plain), None);
        assert_eq!(file(&plain, &tool).as_deref(), Some("a file then, an executable file now"));
        assert!(file(&plain, &of(Kind::File, b"2")).is_some());
    }
}
