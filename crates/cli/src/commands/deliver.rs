//! The end of `pe run`: streams, files, words, and the exit status. Blocks.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::answer::Received;
use crate::exit_status::{FAILED, of_outcome};
use crate::out_dir::OutDir;
use crate::words::{self, Shown};
use crate::{json, timings};

use super::{Failure, print_now, say};

/// What to do with an answer.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) json: bool,
    pub(super) quiet: bool,
    pub(super) timings: bool,
    /// The whole request as seen from here.
    pub(super) here: Duration,
    pub(super) out: Option<OutDir>,
}

/// Files first, so that a reader of stdout that goes away costs none of them.
pub(super) fn deliver(received: &Received, delivery: &Delivery) -> Result<u8, Failure> {
    let kept = delivery.out.as_ref().map(|out| out.keep(&received.files)).unwrap_or_default();
    let printed = print_streams(received, delivery.json);
    let shown = if delivery.json { Shown::InTheAnswer } else { Shown::Above };
    if let Some(line) = words::outcome(&received.head, shown) {
        say(&line);
    }
    if !delivery.quiet {
        let not_kept = match delivery.out {
            None if !delivery.json => words::not_kept(&received.files),
            _ => None,
        };
        let notes = words::notes(&received.head);
        for line in notes.iter().chain(&kept.notes).chain(&not_kept) {
            say(line);
        }
    }
    for line in &kept.failures {
        say(line);
    }
    if delivery.timings {
        let table = timings::table(&received.head, delivery.here);
        let _ = std::io::stderr().lock().write_all(table.as_bytes());
    }
    printed?;
    let status = of_outcome(&received.head.outcome);
    Ok(if kept.failures.is_empty() { status } else { FAILED })
}

fn print_streams(received: &Received, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let mut text = serde_json::to_vec_pretty(&json::answer(received))
            .map_err(|error| Failure::Internal(error.to_string()))?;
        text.push(b'\n');
        return print_now(&text);
    }
    print_now(&received.stdout)?;
    let mut stderr = std::io::stderr().lock();
    // If stderr is gone there is nobody to tell.
    let _ = stderr.write_all(&received.stderr);
    // On a terminal, what pe says begins on a line of its own; elsewhere bytes stay exact.
    let last = if received.stderr.is_empty() { &received.stdout } else { &received.stderr };
    if stderr.is_terminal() && last.last().is_some_and(|&byte| byte != b'\n') {
        let _ = stderr.write_all(b"\n");
    }
    Ok(())
}
