//! The signals that end a worker. All mean the same: the first drains, the second ends.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, listened for from the start.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both over from their default, which is to end the process.
    ///
    /// # Errors
    /// The host refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next of either.
    ///
    /// # Cancel safety
    /// A signal that was not returned is not lost.
    pub async fn next(&mut self) {
        tokio::select! {
            biased;
            // From a service manager.
            _ = self.terminate.recv() => {}
            // From a keyboard.
            _ = self.interrupt.recv() => {}
        }
    }
}
