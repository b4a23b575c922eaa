//! The thread that writes the access log.
//!
//! It ends when nobody is left who could log. What it cannot write is counted as dropped and told
//! once, until writing works again. It may hang in a pipe that nobody reads: then its queue fills
//! up and others drop their lines; nobody ever waits for it but a flush, which has its own bound.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use prometheus::IntCounter;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Destination;
use crate::limits::{ACCESS_BUFFER_BYTES, ACCESS_LINES_MAX};

/// To the thread.
#[derive(Debug)]
pub(super) enum Message {
    Line(Vec<u8>),
    /// Open anew, perhaps something else.
    Reopen(Option<Destination>),
    Flush(oneshot::Sender<()>),
}

/// Starts the thread.
pub(super) fn start(
    destination: Destination,
    dropped: IntCounter,
) -> std::io::Result<SyncSender<Message>> {
    let (queue, messages) = sync_channel(ACCESS_LINES_MAX);
    let out = open(&destination)?;
    let writer = Writer { destination, out, dropped, is_failing: false };
    std::thread::Builder::new().name("access-log".to_owned()).spawn(|| writer.run(messages))?;
    Ok(queue)
}

struct Writer {
    destination: Destination,
    out: Option<BufWriter<Box<dyn Write + Send>>>,
    dropped: IntCounter,
    is_failing: bool,
}

impl Writer {
    #[expect(clippy::needless_pass_by_value, reason = "when it returns, the queue is gone")]
    fn run(mut self, messages: Receiver<Message>) {
        loop {
            // Written when there is nothing more to gather: bursts cost few writes, and a quiet
            // log is never behind.
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => {
                    self.flush();
                    match messages.recv() {
                        Ok(message) => message,
                        Err(_) => return,
                    }
                }
                Err(TryRecvError::Disconnected) => {
                    self.flush();
                    return;
                }
            };
            match message {
                Message::Line(line) => self.write(&line),
                Message::Reopen(destination) => self.reopen(destination),
                Message::Flush(done) => {
                    self.flush();
                    // Whoever asked may have lost patience.
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        let Some(out) = &mut self.out else {
            return;
        };
        let written = out.write_all(line);
        self.judge(written);
    }

    fn flush(&mut self) {
        if let Some(out) = &mut self.out {
            let written = out.flush();
            self.judge(written);
        }
    }

    fn judge(&mut self, written: std::io::Result<()>) {
        match written {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                self.dropped.inc();
                if !self.is_failing {
                    self.is_failing = true;
                    warn!(%error, "access log cannot be written");
                }
            }
        }
    }

    fn reopen(&mut self, destination: Option<Destination>) {
        self.flush();
        let destination = destination.unwrap_or_else(|| self.destination.clone());
        if destination == self.destination && destination == Destination::Off {
            return;
        }
        match open(&destination) {
            Ok(out) => {
                info!(to = ?destination, "access log opened");
                self.out = out;
                self.destination = destination;
            }
            Err(error) => warn!(%error, to = ?destination, "access log cannot be opened"),
        }
    }
}

fn open(destination: &Destination) -> std::io::Result<Option<BufWriter<Box<dyn Write + Send>>>> {
    let out: Box<dyn Write + Send> = match destination {
        Destination::Off => return Ok(None),
        Destination::Stderr => Box::new(std::io::stderr()),
        Destination::File(path) => Box::new(append(path)?),
    };
    Ok(Some(BufWriter::with_capacity(ACCESS_BUFFER_BYTES, out)))
}

/// Each write goes to the end of the file, whoever else writes to it. For its owner and group
/// only: addresses of clients are in it.
fn append(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}
