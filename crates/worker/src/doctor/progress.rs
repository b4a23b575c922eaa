//! Tells what is waited for, on standard error, once it takes longer than a moment.
//!
//! On a terminal it is one line that is written again and again and leaves nothing; elsewhere a
//! line now and then, so that a log shows what took so long.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{Check, Entry};

/// A check that takes longer is shown.
const MOMENT: Duration = Duration::from_secs(1);
/// Where lines stay, there are fewer of them.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Of a terminal's line.
const COLUMNS: usize = 79;

/// What is waited for.
#[derive(Debug)]
pub(super) struct Progress {
    waiting: Vec<&'static Check>,
    began: Instant,
    ticks: Interval,
    on_terminal: bool,
    is_shown: bool,
}

impl Progress {
    /// All of these are waited for.
    pub(super) fn new(waiting: impl Iterator<Item = &'static Check>) -> Self {
        let began = Instant::now();
        let on_terminal = io::stderr().is_terminal();
        let every = if on_terminal { MOMENT } else { LINE_EVERY };
        let mut ticks = interval_at(began + MOMENT, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { waiting: waiting.collect(), began, ticks, on_terminal, is_shown: false }
    }

    /// These are not waited for any more.
    pub(super) fn answered(&mut self, entries: &[Entry]) {
        self.waiting.retain(|check| entries.iter().all(|entry| entry.check.id != check.id));
        if self.is_shown && self.on_terminal {
            self.show();
        }
    }

    /// Resolves when it is time to show something.
    ///
    /// # Cancel safety
    /// A tick that was not returned is not lost.
    pub(super) async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// Shows what is waited for.
    pub(super) fn show(&mut self) {
        let line = line(&self.waiting, self.began.elapsed());
        // Nobody may be there to read it, which is no reason to stop.
        let _ = if self.on_terminal {
            write!(io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(io::stderr(), "pe-worker doctor: {line}")
        };
        self.is_shown = true;
    }

    /// Leaves a terminal as it was.
    pub(super) fn clear(&mut self) {
        if self.is_shown && self.on_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(waiting: &[&Check], took: Duration) -> String {
    let ids: Vec<&str> = waiting.iter().map(|check| check.id).collect();
    let mut line = format!("waiting for {} ({} s)", ids.join(", "), took.as_secs());
    line.truncate(COLUMNS);
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks;

    #[test]
    fn the_line_says_what_is_waited_for_and_fits_a_terminal() {
        let took = Duration::from_millis(2400);
        assert_eq!(line(&[&checks::BOOT, &checks::LB], took), "waiting for boot, lb (2 s)");
        assert!(line(checks::ALL, took).len() <= COLUMNS);
    }
}
