//! The line on stderr while something is waited for: only on a terminal, and gone afterwards.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pe_proto::api::Progress as Whereabouts;

use crate::units::{show_bytes, show_duration};

/// How far a request is. Written by the connection, read by the line.
#[derive(Debug, Default)]
pub struct Progress {
    connected: AtomicU64,
    sent: AtomicU64,
    to_send: AtomicU64,
    received: AtomicU64,
}

/// [`Progress`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Whether the connection stands.
    pub connected: bool,
    /// Bytes handed to the connection.
    pub sent: u64,
    /// Bytes to be sent in all.
    pub to_send: u64,
    /// Bytes of the answer so far.
    pub received: u64,
    /// Where the server says the job is, if it was asked.
    pub told: Option<Whereabouts>,
}

impl Progress {
    /// The connection stands; this much is to be sent.
    pub fn connected(&self, to_send: u64) {
        self.to_send.store(to_send, Ordering::Relaxed);
        self.connected.store(1, Ordering::Relaxed);
    }

    /// More was sent.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// More came.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How far it is now.
    pub fn now(&self) -> Moment {
        Moment {
            connected: self.connected.load(Ordering::Relaxed) != 0,
            sent: self.sent.load(Ordering::Relaxed),
            to_send: self.to_send.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            told: None,
        }
    }
}

impl Moment {
    /// The words of the line.
    pub fn line(self, elapsed: Duration) -> String {
        let what = if !self.connected {
            "connecting".to_owned()
        } else if self.received > 0 {
            format!("receiving, {}", show_bytes(self.received))
        } else if self.sent < self.to_send {
            format!("uploading, {} of {}", show_bytes(self.sent), show_bytes(self.to_send))
        } else {
            waiting(self.told)
        };
        format!("{what} ({})", show_duration(elapsed))
    }

    /// All was sent, and nothing came.
    pub fn is_waiting(self) -> bool {
        self.connected && self.received == 0 && self.sent >= self.to_send
    }
}

fn waiting(told: Option<Whereabouts>) -> String {
    match told {
        None | Some(Whereabouts::Queued { position: 0, .. }) => "waiting".to_owned(),
        Some(Whereabouts::Queued { position, .. }) => format!("waiting, place {position} in line"),
        Some(Whereabouts::Fetching { percent, bytes_total, .. }) => {
            format!("fetching the image, {percent} % of {}", show_bytes(bytes_total))
        }
        Some(Whereabouts::Running { .. }) => "running".to_owned(),
    }
}

/// A line that is drawn over itself. Dropping it clears it, also on Ctrl-C.
#[derive(Debug)]
pub struct LiveLine {
    wanted: bool,
    drawn: bool,
}

impl LiveLine {
    /// A line if stderr is a terminal and nobody asked for quiet; else one that is never drawn.
    pub fn on_stderr(quiet: bool) -> Self {
        Self { wanted: !quiet && std::io::stderr().is_terminal(), drawn: false }
    }

    /// Whether drawing shows anything.
    pub fn is_live(&self) -> bool {
        self.wanted
    }

    /// Draws it. A terminal that cannot be written to is not worth failing for.
    pub fn draw(&mut self, text: &str) {
        if self.wanted {
            self.drawn = true;
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[Kpe: {text}");
            let _ = stderr.flush();
        }
    }

    /// Removes it.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K");
            let _ = stderr.flush();
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_the_phase_and_the_seconds() {
        let progress = Progress::default();
        let check = |line: &str| {
            assert_eq!(progress.now().line(Duration::from_millis(1500)), line);
        };
        check("connecting (1.5 s)");
        progress.connected(2048);
        check("uploading, 0 bytes of 2.0 KiB (1.5 s)");
        progress.sent(2048);
        check("waiting (1.5 s)");
        for (told, line) in [
            (Whereabouts::Queued { position: 0, wait_ms: None }, "waiting (0 ms)"),
            (Whereabouts::Queued { position: 3, wait_ms: None }, "waiting, place 3 in line (0 ms)"),
            (Whereabouts::fetching(1 << 20, 4 << 20), "fetching the image, 25 % of 4.0 MiB (0 ms)"),
            (Whereabouts::Running { for_ms: 9 }, "running (0 ms)"),
        ] {
            let moment = Moment { told: Some(told), ..progress.now() };
            assert_eq!(moment.line(Duration::ZERO), line);
        }
        progress.received(1);
        check("receiving, 1 byte (1.5 s)");
    }
}
