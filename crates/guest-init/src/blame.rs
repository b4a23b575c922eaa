//! Why a job was not run, and whose fault that is: the one place that turns this crate's errors
//! into what a client reads.

use nix::errno::Errno;

use pe_proto::{Fault, Outcome};

use crate::pages::DeviceError;

/// A job that cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// Who has to change something.
    pub fault: Fault,
    /// What is wrong and what to do, for people.
    pub reason: String,
}

impl Refusal {
    /// The request asks for something that cannot be.
    pub fn client(reason: impl Into<String>) -> Self {
        Self { fault: Fault::Client, reason: reason.into() }
    }

    /// The image is broken or lacks what the job names.
    pub fn image(reason: impl Into<String>) -> Self {
        Self { fault: Fault::Image, reason: reason.into() }
    }

    /// Something of ours failed.
    pub fn ours(reason: impl Into<String>) -> Self {
        Self { fault: Fault::Us, reason: reason.into() }
    }

    /// A system call of ours failed.
    pub fn call(what: &str, errno: Errno) -> Self {
        Self::ours(format!("{what} failed in the guest: {}", errno.desc()))
    }

    /// How the job ended, then.
    pub fn into_outcome(self) -> Outcome {
        Outcome::Refused { fault: self.fault, reason: self.reason }
    }
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Self {
        Self::ours(error.to_string())
    }
}

/// Adds what was being done to an error number.
pub trait Doing<T> {
    /// `what` as in "mounting the image".
    fn doing(self, what: &str) -> Result<T, Refusal>;
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: &str) -> Result<T, Refusal> {
        self.map_err(|errno| Refusal::call(what, errno))
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: &str) -> Result<T, Refusal> {
        self.map_err(|error| {
            Refusal::call(what, Errno::from_raw(error.raw_os_error().unwrap_or_default()))
        })
    }
}
