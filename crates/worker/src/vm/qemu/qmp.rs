//! QEMU's control socket: one JSON object a line, both ways.
//!
//! The other end runs a hostile guest and may be in its hands: lines are bounded, every wait has
//! an end, and an answer is looked at only for what was asked.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::limits::{QMP_LINE_BYTES_MAX, QMP_REPLY};
use crate::vm::VmError;
use crate::vm::console::printable;

/// Events kept until somebody asks; only the last few matter.
const EVENTS_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Qmp {
    stream: UnixStream,
    received: Vec<u8>,
    events: VecDeque<Event>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) event: String,
    #[serde(default)]
    pub(super) data: Value,
}

/// A command with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    name: &'static str,
    arguments: Value,
}

impl Command {
    pub(super) fn new(name: &'static str, arguments: Value) -> Self {
        Self { name, arguments }
    }

    fn line(&self) -> Vec<u8> {
        let mut line = json!({"execute": self.name, "arguments": self.arguments}).to_string();
        line.push('\n');
        line.into_bytes()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Return {
        #[serde(rename = "return")]
        value: Value,
    },
    Error {
        error: Refusal,
    },
    Event(Event),
    Greeting {
        #[serde(rename = "QMP")]
        _version: Value,
    },
}

#[derive(Deserialize)]
struct Refusal {
    desc: String,
}

impl Qmp {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, received: Vec::new(), events: VecDeque::new() }
    }

    /// Waits for the greeting and ends the negotiation.
    pub(super) async fn negotiate(&mut self) -> Result<(), VmError> {
        let greeting = within("greeting", self.line()).await?;
        if !matches!(greeting, Line::Greeting { .. }) {
            return Err(VmError::Garbled);
        }
        self.ask("qmp_capabilities", json!({})).await?;
        Ok(())
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn ask(
        &mut self,
        name: &'static str,
        arguments: Value,
    ) -> Result<Value, VmError> {
        let command = Command::new(name, arguments);
        let line = command.line();
        within(name, async {
            self.stream.write_all(&line).await.map_err(VmError::Closed)?;
            self.answer(name).await
        })
        .await
    }

    /// Sends several commands at once and waits for all of their answers: no round trip between.
    pub(super) async fn ask_all(&mut self, commands: &[Command]) -> Result<(), VmError> {
        let lines: Vec<u8> = commands.iter().flat_map(Command::line).collect();
        within("several commands", async {
            self.stream.write_all(&lines).await.map_err(VmError::Closed)?;
            // All answers are read even if one is a refusal, so that the next command finds its
            // own.
            let mut refused = Ok(());
            for command in commands {
                match self.answer(command.name).await {
                    Err(refusal @ VmError::Refused { .. }) if refused.is_ok() => {
                        refused = Err(refusal);
                    }
                    Ok(_) | Err(VmError::Refused { .. }) => {}
                    Err(broken) => return Err(broken),
                }
            }
            refused
        })
        .await
    }

    /// Sends a command together with a descriptor that it speaks of.
    pub(super) async fn hand_over(
        &mut self,
        command: Command,
        fd: BorrowedFd<'_>,
    ) -> Result<Value, VmError> {
        let line = command.line();
        let socket = self.stream.as_raw_fd();
        let send = || -> io::Result<usize> {
            let fds = [fd.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&fds)];
            let bytes = [IoSlice::new(&line)];
            Ok(sendmsg::<UnixAddr>(socket, &bytes, &rights, MsgFlags::MSG_NOSIGNAL, None)?)
        };
        let sent = self.stream.async_io(Interest::WRITABLE, send);
        let sent = within(command.name, async { sent.await.map_err(VmError::Closed) }).await?;
        if sent != line.len() {
            return Err(VmError::Garbled);
        }
        within(command.name, self.answer(command.name)).await
    }

    /// Waits for an event that fits.
    pub(super) async fn event(
        &mut self,
        name: &'static str,
        mut fits: impl FnMut(&Event) -> bool,
    ) -> Result<Event, VmError> {
        within(name, async {
            loop {
                while let Some(event) = self.events.pop_front() {
                    if fits(&event) {
                        return Ok(event);
                    }
                }
                match self.line().await? {
                    Line::Event(event) => self.events.push_back(event),
                    Line::Return { .. } | Line::Error { .. } | Line::Greeting { .. } => {
                        return Err(VmError::Garbled);
                    }
                }
            }
        })
        .await
    }

    async fn answer(&mut self, name: &str) -> Result<Value, VmError> {
        loop {
            match self.line().await? {
                Line::Return { value } => return Ok(value),
                Line::Error { error } => {
                    let reason = printable(error.desc.as_bytes());
                    return Err(VmError::Refused { command: name.to_owned(), reason });
                }
                Line::Event(event) => {
                    if self.events.len() >= EVENTS_MAX {
                        self.events.pop_front();
                    }
                    self.events.push_back(event);
                }
                Line::Greeting { .. } => return Err(VmError::Garbled),
            }
        }
    }

    async fn line(&mut self) -> Result<Line, VmError> {
        let mut searched = 0;
        loop {
            let unseen = self.received.get(searched..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=searched + at).collect();
                return serde_json::from_slice(&line).map_err(|_| VmError::Garbled);
            }
            searched = self.received.len();
            if searched > QMP_LINE_BYTES_MAX {
                return Err(VmError::Garbled);
            }
            let read = self.stream.read_buf(&mut self.received).await.map_err(VmError::Closed)?;
            if read == 0 {
                return Err(VmError::Closed(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

async fn within<T>(
    what: &str,
    wait: impl Future<Output = Result<T, VmError>>,
) -> Result<T, VmError> {
    match timeout(QMP_REPLY, wait).await {
        Ok(done) => done,
        Err(_) => Err(VmError::Late(what.to_owned())),
    }
}

#[cfg(test)]
mod tests;
