//! A process of scripted workers, and the journal of what they did.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::lb::{PATIENCE, image};
use crate::paths;
use crate::process::Process;

/// See the module.
#[derive(Debug)]
pub struct Workers {
    /// The process.
    pub process: Process,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, by the system's clock.
    pub at_us: u64,
    /// What.
    pub event: String,
    /// Who.
    pub worker: String,
    /// The rest.
    pub detail: Vec<String>,
}

impl Workers {
    /// Starts some; `more` are further arguments of theirs.
    ///
    /// # Errors
    /// They do not start.
    pub fn start(
        lb: SocketAddr,
        name: &str,
        workers: usize,
        slots: usize,
        more: &[&str],
        out: PathBuf,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(paths::binary("scripted-worker")?);
        command.args(["--lb", &lb.to_string(), "--images", &image().to_string()]);
        command.args(["--name", name, "--workers", &workers.to_string()]);
        command.args(["--slots", &slots.to_string(), "--journal"]).args(more);
        Ok(Self { process: Process::start(command, out)? })
    }

    /// All that they have done so far.
    ///
    /// # Errors
    /// A line that is none.
    pub fn journal(&self) -> anyhow::Result<Vec<Entry>> {
        read(&self.process.output())
    }

    /// Waits until so many links have come up in all.
    ///
    /// # Errors
    /// They do not.
    pub async fn all_up(&self, links: usize) -> anyhow::Result<Vec<Entry>> {
        self.until("links", |journal| {
            let up: Vec<Entry> = journal.into_iter().filter(|entry| entry.event == "up").collect();
            (up.len() >= links).then_some(up)
        })
        .await
    }

    /// Waits until the journal says so.
    ///
    /// # Errors
    /// It never does.
    pub async fn until<T>(
        &self,
        what: &str,
        mut wanted: impl FnMut(Vec<Entry>) -> Option<T>,
    ) -> anyhow::Result<T> {
        let begin = Instant::now();
        loop {
            if let Some(found) = wanted(self.journal()?) {
                return Ok(found);
            }
            let is_late = begin.elapsed() > PATIENCE;
            anyhow::ensure!(!is_late, "no {what}: {}", self.process.output());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Reads a journal. A last line without an end was being written when its writer was killed.
///
/// # Errors
/// A line that is none.
pub fn read(text: &str) -> anyhow::Result<Vec<Entry>> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(entry).collect()
}

fn entry(line: &str) -> anyhow::Result<Entry> {
    let mut words = line.split(' ').map(str::to_owned);
    let mut next = || words.next().with_context(|| format!("no journal: {line}"));
    let (at, event, worker) = (next()?, next()?, next()?);
    let at_us = at.parse().with_context(|| format!("no journal: {line}"))?;
    Ok(Entry { at_us, event, worker, detail: words.collect() })
}
