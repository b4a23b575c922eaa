//! A guest's serial port, read with a bound.

use std::io;

use pe_proto::serial::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::vm::console::Console;

/// Any byte wakes the guest; this one is agreed upon (`protocol.md 4.5`).
const WAKE: &[u8] = b"g";

/// Read at a time.
const PIECE_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Serial<S> {
    stream: S,
    console: Console,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Serial<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, console: Console::default() }
    }

    /// The guest's next signal; an error if the port is closed.
    ///
    /// # Cancel safety
    /// What was read is kept, so nothing is lost.
    pub(super) async fn signal(&mut self) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.console.signal() {
                return Ok(signal);
            }
            let mut piece = [0; PIECE_BYTES];
            let read = self.stream.read(&mut piece).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.console.feed(piece.get(..read).unwrap_or_default());
        }
    }

    /// Rings the guest.
    pub(super) async fn wake(&mut self) -> io::Result<()> {
        self.stream.write_all(WAKE).await
    }

    /// The last of what was said.
    pub(super) fn tail(&self) -> String {
        self.console.tail()
    }
}
