//! What `pe` says on stderr about an answer or a problem. Pure.
//!
//! Names and sentences of a server go to a terminal only through [`printable`], so they cannot
//! move its cursor or change its colours. What the *program* prints is exact, and not here.

use std::time::Duration;

use pe_proto::api::{AnswerHead, Problem, ProblemKind};
use pe_proto::limits::{OUTPUT_BYTES_MAX, STREAM_BYTES_MAX};
use pe_proto::outcome::{Clock, Truncated};
use pe_proto::{Fault, Outcome};

use crate::answer::ReturnedFile;
use crate::limits::NAMES_SHOWN_MAX;
use crate::units::{show_bytes, show_duration};

/// A text with control characters made visible, for use in one line.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Format characters such as the right-to-left override can disguise a name.
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || hidden {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Where the program's output is, for sentences that mention it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It was printed before the sentence.
    Above,
    /// It is in the JSON.
    InTheAnswer,
}

impl Shown {
    fn kept(self) -> &'static str {
        match self {
            Self::Above => "what it printed until then is above",
            Self::InTheAnswer => "what it printed until then is in the answer",
        }
    }
}

/// Why the exit status is not the program's own; `None` if it is.
pub fn outcome(head: &AnswerHead, shown: Shown) -> Option<String> {
    let kept = shown.kept();
    let line = match &head.outcome {
        Outcome::Exited { .. } => return None,
        Outcome::Signaled { signal } => match signal_name(*signal) {
            Some(name) => format!("the program was ended by signal {signal} ({name})"),
            None => format!("the program was ended by signal {signal}"),
        },
        Outcome::TimedOut { clock } => {
            let limit = show_duration(Duration::from_millis(head.limits.wall_ms));
            let how = match clock {
                Clock::Guest => "",
                Clock::Worker => " (its machine had stopped answering)",
                Clock::Lb => " (its worker had stopped answering)",
            };
            format!("timed out after {limit}{how}; {kept}. More time: --wall")
        }
        Outcome::OutOfMemory => {
            let peak = show_bytes(head.usage.max_rss_bytes);
            format!("out of memory (it used {peak}); {kept}")
        }
        Outcome::Refused { fault, reason } => {
            format!("the program was not started: {}{}", printable(reason), blame(*fault))
        }
        Outcome::Lost { fault, reason } => {
            format!("the machine was lost: {}; {kept}{}", printable(reason), blame(*fault))
        }
    };
    Some(line)
}

/// What was cut, left out or changed.
pub fn notes(head: &AnswerHead) -> Vec<String> {
    let mut lines: Vec<String> = head
        .truncated
        .iter()
        .map(|truncated| {
            let limits = head.limits;
            let (what, limit, option, most) = match truncated {
                Truncated::Stdout => {
                    ("stdout was", limits.stdout_bytes, "--stdout-bytes", STREAM_BYTES_MAX)
                }
                Truncated::Stderr => {
                    ("stderr was", limits.stderr_bytes, "--stderr-bytes", STREAM_BYTES_MAX)
                }
                Truncated::Files => {
                    ("returned files were", limits.output_bytes, "--output-bytes", OUTPUT_BYTES_MAX)
                }
            };
            let limit = show_bytes(limit);
            format!("{what} cut at {limit}; {option} allows up to {}", show_bytes(most))
        })
        .collect();
    let killed = head.usage.oom_kills;
    if killed > 0 && head.outcome != Outcome::OutOfMemory {
        let processes = if killed == 1 { "process" } else { "processes" };
        lines.push(format!("the kernel ended {killed} {processes} of it for lack of memory"));
    }
    lines.extend(head.notes.iter().map(|note| printable(note)));
    lines
}

/// What came back, when nobody asked to keep it.
pub fn not_kept(files: &[ReturnedFile]) -> Option<String> {
    if files.is_empty() {
        return None;
    }
    let bytes = files.iter().map(|file| file.data.len() as u64).sum();
    let (count, them) = match files.len() {
        1 => ("1 file".to_owned(), "it"),
        count => (format!("{count} files"), "them"),
    };
    let names = names(files.iter().map(|file| file.path.as_str()));
    Some(format!("{count} came back ({names}; {}); --out DIR keeps {them}", show_bytes(bytes)))
}

/// A few names and the number of the others.
pub fn names<'a>(all: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = all.len().saturating_sub(NAMES_SHOWN_MAX);
    let mut shown: Vec<String> = all.take(NAMES_SHOWN_MAX).map(printable).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

/// What an answer's headers say about waiting, as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wait {
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// `pe-queue-position`.
    pub position: Option<String>,
    /// `pe-queue-wait-ms`.
    pub estimate_ms: Option<String>,
}

impl Wait {
    /// When the same may work again.
    fn again(&self) -> String {
        match number(self.retry_after.as_deref()) {
            Some(seconds) => {
                let wait = show_duration(Duration::from_secs(seconds));
                format!("the same may work again in {wait}")
            }
            None => "the same may work when tried again".to_owned(),
        }
    }

    /// Where the job stood in the queue, if it got that far.
    fn place(&self) -> Option<String> {
        let position = number(self.position.as_deref())?;
        let estimate = number(self.estimate_ms.as_deref()).map(Duration::from_millis);
        let about = match estimate {
            Some(estimate) => format!(", about {} from its turn", show_duration(estimate)),
            None => String::new(),
        };
        Some(format!("it was number {position} in the queue{about}"))
    }
}

/// Only what is a number of sane size goes to a terminal.
fn number(text: Option<&str>) -> Option<u64> {
    text?.parse::<u32>().ok().map(u64::from)
}

/// A problem as a few lines: what, and what to do.
pub fn problem(problem: &Problem, wait: &Wait) -> String {
    let kind = problem.type_uri.rsplit(':').next().unwrap_or_default();
    let kind = ProblemKind::ALL.into_iter().find(|each| each.as_str() == kind);
    let mut text = match problem.title.as_str() {
        "" => printable(&problem.detail),
        title => format!("{}: {}", printable(title), printable(&problem.detail)),
    };
    if let Some(pointer) = &problem.pointer {
        text.push_str(&format!(" (field {})", printable(pointer)));
    }
    let next = match kind {
        Some(ProblemKind::UnknownImage) => Some("`pe images` lists what there is".to_owned()),
        Some(ProblemKind::NoWorker) => Some("`pe wait-ready` waits for a worker".to_owned()),
        Some(ProblemKind::Unauthorized) => {
            Some("the key in --key-file is not known to the server".to_owned())
        }
        _ if problem.retry => Some(wait.again()),
        _ if problem.fault == Fault::Us => Some("this is a fault of the server".to_owned()),
        _ => None,
    };
    for line in wait.place().into_iter().chain(next) {
        text.push_str("\npe: ");
        text.push_str(&line);
    }
    if let (Fault::Us, Some(id)) = (problem.fault, &problem.request_id) {
        text.push_str(&format!(" (request {})", printable(id)));
    }
    text
}

fn blame(fault: Fault) -> &'static str {
    match fault {
        Fault::Client => "",
        Fault::Image => " (the image is at fault)",
        Fault::Capacity => " (there was no room; it may work when tried again)",
        Fault::Us => " (a fault of the server; it may work when tried again)",
    }
}

/// Names of signals as Linux numbers them, whatever this program runs on.
fn signal_name(signal: u8) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL: illegal instruction",
        5 => "SIGTRAP",
        6 => "SIGABRT: it aborted",
        7 => "SIGBUS: bad memory access",
        8 => "SIGFPE: bad arithmetic",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV: bad memory access",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS: system call not allowed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use pe_proto::archive::Kind;

    use super::*;
    use crate::answer::tests::head;

    #[test]
    fn each_outcome_is_explained_in_one_line() {
        let check = |json: serde_json::Value, expected: Option<&str>| {
            let line = outcome(&head(json), Shown::Above);
            assert_eq!(line.as_deref(), expected);
        };
        check(serde_json::json!({"kind": "exited", "code": 1}), None);
        check(
            serde_json::json!({"kind": "signaled", "signal": 11}),
            Some("the program was ended by signal 11 (SIGSEGV: bad memory access)"),
        );
        check(
            serde_json::json!({"kind": "timed_out", "clock": "guest"}),
            Some("timed out after 10.0 s; what it printed until then is above. More time: --wall"),
        );
        check(
            serde_json::json!({"kind": "out_of_memory"}),
            Some("out of memory (it used 1.0 MiB); what it printed until then is above"),
        );
        check(
            serde_json::json!({"kind": "refused", "fault": "client", "reason": "no \u{1b}[2Jfoo"}),
            Some("the program was not started: no \\u{1b}[2Jfoo"),
        );
        check(
            serde_json::json!({"kind": "lost", "fault": "us", "reason": "it was killed"}),
            Some(
                "the machine was lost: it was killed; what it printed until then is above (a \
                 fault of the server; it may work when tried again)",
            ),
        );
    }

    #[test]
    fn what_was_cut_is_said_with_the_option_that_helps() {
        let mut head = head(serde_json::json!({"kind": "exited", "code": 0}));
        head.truncated = vec![Truncated::Stdout, Truncated::Files];
        head.notes = vec!["`a\nb` is a fifo".to_owned()];
        head.usage.oom_kills = 1;
        assert_eq!(
            notes(&head),
            [
                "stdout was cut at 1.0 MiB; --stdout-bytes allows up to 4.0 MiB",
                "returned files were cut at 2.0 MiB; --output-bytes allows up to 16.0 MiB",
                "the kernel ended 1 process of it for lack of memory",
                "`a\\nb` is a fifo",
            ]
        );
    }

    #[test]
    fn files_nobody_keeps_are_named() {
        let file = |path: &str| ReturnedFile {
            path: path.to_owned(),
            kind: Kind::File,
            data: vec![0; 512],
        };
        assert_eq!(not_kept(&[]), None);
        assert_eq!(
            not_kept(&[file("a.out")]).as_deref(),
            Some("1 file came back (a.out; 512 bytes); --out DIR keeps it")
        );
        let many: Vec<ReturnedFile> = ["a", "b", "c", "d", "e", "f", "g"].map(file).into();
        assert_eq!(
            not_kept(&many).as_deref(),
            Some("7 files came back (a, b, c, d, e, and 2 more; 3.5 KiB); --out DIR keeps them")
        );
    }

    #[test]
    fn a_problem_says_what_and_what_next() {
        let check = |json: serde_json::Value, retry_after: Option<&str>, expected: &str| {
            let given: Problem = serde_json::from_value(json).expect("a problem");
            let retry_after = retry_after.map(str::to_owned);
            assert_eq!(problem(&given, &Wait { retry_after, ..Wait::default() }), expected);
        };
        check(
            serde_json::json!({"type": "urn:pe:problem:unknown-image", "title": "unknown image",
                "status": 404, "detail": "there is no `foo`", "fault": "client", "retry": false}),
            None,
            "unknown image: there is no `foo`\npe: `pe images` lists what there is",
        );
        check(
            serde_json::json!({"type": "urn:pe:problem:queue-full", "title": "queue full",
                "status": 503, "detail": "200 jobs wait", "fault": "capacity", "retry": true}),
            Some("2"),
            "queue full: 200 jobs wait\npe: the same may work again in 2.0 s",
        );
        check(
            serde_json::json!({"type": "urn:pe:problem:bad-request", "title": "bad request",
                "status": 400, "detail": "too much", "fault": "client", "retry": false,
                "pointer": "/limits/wall_ms"}),
            None,
            "bad request: too much (field /limits/wall_ms)",
        );
        check(
            serde_json::json!({"type": "urn:pe:problem:internal", "title": "internal error",
                "status": 500, "detail": "oops", "fault": "us", "retry": false,
                "request_id": "r-9"}),
            None,
            "internal error: oops\npe: this is a fault of the server (request r-9)",
        );
    }

    #[test]
    fn a_refusal_says_how_long_to_wait_and_where_the_job_stood() {
        let given = serde_json::json!({"type": "urn:pe:problem:queue-too-long", "title": "queue",
            "status": 503, "detail": "too long", "fault": "capacity", "retry": true});
        let given: Problem = serde_json::from_value(given).expect("a problem");
        let check = |[retry_after, position, estimate_ms]: [Option<&str>; 3], expected: &str| {
            let [retry_after, position, estimate_ms] =
                [retry_after, position, estimate_ms].map(|text| text.map(str::to_owned));
            let wait = Wait { retry_after, position, estimate_ms };
            assert_eq!(problem(&given, &wait), format!("queue: too long\npe: {expected}"));
        };
        check(
            [Some("125"), Some("12"), Some("125000")],
            "it was number 12 in the queue, about 2 m 5 s from its turn\n\
             pe: the same may work again in 2 m 5 s",
        );
        check(
            [None, Some("3"), Some("\u{1b}[2J")],
            "it was number 3 in the queue\npe: the same may work when tried again",
        );
        check([Some("x"), Some("-1"), None], "the same may work when tried again");
    }

    #[test]
    fn a_hostile_text_cannot_drive_a_terminal() {
        assert_eq!(printable("a\u{1b}]0;x\u{7}\r\u{9b}"), "a\\u{1b}]0;x\\u{7}\\r\\u{9b}");
        assert_eq!(printable("cod\u{202e}gpj.exe"), "cod\\u{202e}gpj.exe");
        assert_eq!(printable("grüße 日本"), "grüße 日本");
    }
}
