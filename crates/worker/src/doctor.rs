//! `pe-worker doctor`: every precondition of a worker, what was found, and what mends it.
//!
//! ```text
//!  facts   (what /proc, /sys and harmless system calls tell)  --+
//!  probes  (a guest that boots, packs read, an lb called)     --+--> checks --> report
//!  needs   (what the config asks of the host)                 --+    (pure)
//! ```
//! Only [`facts`] and [`probes`] do I/O; a check is a function of what they found, and says
//! nothing that is not in there. Nothing is changed on the host: what boots is killed, the LB gets
//! one hello without images and no ready request. Every probe has a time limit; one that does not
//! answer is a finding, too. [`public`] asks some of the same checks before a worker serves.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::config::Config;

pub mod checks;
pub mod facts;
mod needs;
pub mod probes;
mod progress;
pub mod public;
mod report;
mod sys;

pub use needs::Needs;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// The worker runs, slower or less isolated than it could.
    Warn,
    /// The worker does not run, or must not.
    Fail,
}

impl Verdict {
    /// As in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A precondition. Its id is part of the report's format.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Names it, for ever.
    pub id: &'static str,
    /// What is expected.
    pub what: &'static str,
    /// Why it matters, in one sentence.
    pub why: &'static str,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// Commands that mend it, one a line; lines that begin with `#` are for a person.
    pub mend: Option<String>,
}

impl Finding {
    /// Nothing to mend.
    pub fn pass(seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, seen: seen.into(), mend: None }
    }

    /// The worker runs.
    pub fn warn(seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, seen: seen.into(), mend: Some(mend.into()) }
    }

    /// It does not, or must not.
    pub fn fail(seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, seen: seen.into(), mend: Some(mend.into()) }
    }
}

/// A check with its finding.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What was asked.
    pub check: &'static Check,
    /// What was found.
    pub finding: Finding,
    /// How long the probe behind it took.
    pub took: Duration,
}

/// All findings, in the order of [`checks::ALL`].
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// One for each check.
    pub entries: Vec<Entry>,
    /// From the first question to the last answer.
    pub took: Duration,
}

impl Diagnosis {
    /// The gravest verdict.
    pub fn verdict(&self) -> Verdict {
        self.entries.iter().map(|entry| entry.finding.verdict).max().unwrap_or(Verdict::Fail)
    }
}

/// Examines this host and prints what it found. Returns the gravest verdict.
///
/// # Errors
/// The report cannot be written.
pub async fn run(config: &Config, json: bool) -> io::Result<Verdict> {
    let diagnosis = probes::examine(config).await;
    let text = if json {
        report::json(&diagnosis)
    } else {
        report::text(&diagnosis, io::stdout().is_terminal())
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(diagnosis.verdict())
}
