//! The signals that a worker listens to. SIGTERM and SIGINT mean the same: the first drains, the
//! second ends. SIGHUP asks for a new zygote, as when kernel or initramfs were replaced.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// All of them, listened for from the start.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What somebody wants of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// That it ends.
    End,
    /// That it makes a new zygote.
    Rebuild,
}

impl Signals {
    /// Takes them over from their default, which is to end the process.
    ///
    /// # Errors
    /// The host refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next of them.
    ///
    /// # Cancel safety
    /// A signal that was not returned is not lost.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            biased;
            // From a service manager.
            _ = self.terminate.recv() => Wish::End,
            // From a keyboard.
            _ = self.interrupt.recv() => Wish::End,
            // From an operator.
            _ = self.hangup.recv() => Wish::Rebuild,
        }
    }

    /// The next that wants an end.
    ///
    /// # Cancel safety
    /// As [`Signals::next`]; others that came meanwhile are forgotten.
    pub async fn end(&mut self) {
        while self.next().await != Wish::End {}
    }
}
