//! What happened when, as lines on stdout for whoever started the worker:
//! `MICROSECONDS EVENT WORKER DETAIL`, the time as that of the system's clock.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where events are told; or nowhere, so that a measurement is not one of the journal.
#[derive(Debug, Clone, Copy)]
pub struct Journal {
    /// Whether anybody wants them.
    pub is_on: bool,
}

impl Journal {
    /// Tells one.
    pub fn tell(self, event: &str, worker: &str, detail: impl std::fmt::Display) {
        if !self.is_on {
            return;
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        // One write for each line, so that workers of one process do not mix theirs.
        let line = format!("{at} {event} {worker} {detail}\n");
        // A reader that is gone wants no more.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}
