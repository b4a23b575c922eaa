//! The few words a guest says on its serial port (`protocol.md 4.5`).
//!
//! Everything else on the port is the kernel's or a bug's, kept only as a bounded tail for the
//! worker's log. The port is a bell, never a source of truth: what a job did is in the io file.

/// Guest init has done all that does not depend on a job and waits for an io file.
pub const READY: &str = "pe:ready";
/// The answer is complete in the io file.
pub const DONE: &str = "pe:done";
/// A job begins; the rest of the line is its request id. No signal, but for who reads the log: what
/// comes after it on the port is of this job.
pub const JOB: &str = "pe:job";
/// Guest init cannot go on; the rest of the line says why.
pub const FAULT: &str = "pe:fault";

/// Longest line looked at; the rest of a longer one is dropped.
pub const LINE_BYTES_MAX: usize = 512;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// [`READY`].
    Ready,
    /// [`DONE`].
    Done,
    /// [`FAULT`] and its reason.
    Fault(String),
    /// Some other line.
    Noise(String),
}

/// Cuts a stream of bytes into lines and reads them. Holds at most [`LINE_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Scanner {
    line: Vec<u8>,
}

impl Scanner {
    /// Takes bytes; calls `found` for each line that ended in them.
    pub fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(Signal)) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    found(read(&self.line));
                    self.line.clear();
                }
                b'\r' => {}
                _ if self.line.len() < LINE_BYTES_MAX => self.line.push(byte),
                _ => {}
            }
        }
    }
}

/// A signal is a line of its own: kernel messages that run into one make it noise, so the guest
/// begins each with a line feed.
fn read(line: &[u8]) -> Signal {
    let text = String::from_utf8_lossy(line);
    match text.as_ref() {
        READY => Signal::Ready,
        DONE => Signal::Done,
        FAULT => Signal::Fault(String::new()),
        other => match other.strip_prefix(FAULT).and_then(|rest| rest.strip_prefix(' ')) {
            Some(reason) => Signal::Fault(reason.trim().to_owned()),
            None => Signal::Noise(text.into_owned()),
        },
    }
}
