//! The serial port: how the host rings, and the few words init says (`protocol.md 4.5`).
//!
//! The port is raw: what the host sends is not echoed, what init says is not changed. Writing can
//! never hold a job up for long: the words are few and short.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};

use pe_proto::serial;

/// The first serial port, open and raw.
#[derive(Debug)]
pub struct Port {
    fd: OwnedFd,
}

impl Port {
    /// Opens the port. A port that cannot be made raw is used as it is.
    pub fn open(path: &str) -> io::Result<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty())?;
        if let Ok(mut settings) = tcgetattr(&fd) {
            cfmakeraw(&mut settings);
            tcsetattr(&fd, SetArg::TCSANOW, &settings)?;
        }
        Ok(Self { fd })
    }

    /// Waiting for a job begins.
    pub fn say_ready(&self) {
        self.say(serial::READY, "");
    }

    /// What comes now is of this request's job. The host takes no notice but in its log.
    pub fn say_job(&self, request_id: &str) {
        self.say(serial::JOB, request_id);
    }

    /// The answer is in the io file.
    pub fn say_done(&self) {
        self.say(serial::DONE, "");
    }

    /// There will be no answer.
    pub fn say_fault(&self, reason: &str) {
        self.say(serial::FAULT, reason);
    }

    /// Takes whatever the host sent; it means nothing but "look".
    pub fn drain(&self) {
        let mut bytes = [0; 64];
        while read(&self.fd, &mut bytes).is_ok_and(|got| got > 0) {}
    }

    /// Begins with a line feed of its own, so that a kernel message just before it does not make
    /// it a part of another line. Nobody is left to tell if this fails.
    fn say(&self, word: &str, reason: &str) {
        let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
        let mut line = format!("\n{word} {reason}").trim_end().to_owned();
        let mut end = line.len().min(serial::LINE_BYTES_MAX);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('\n');
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match write(&self.fd, rest) {
                Ok(put) if put > 0 => rest = rest.get(put..).unwrap_or_default(),
                Ok(_) | Err(_) => return,
            }
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
