//! A job on its way to a worker (`protocol.md 6.3`).

use bincode::{Decode, Encode};

use crate::JobSpec;
use crate::codec::Message;
use crate::limits::CONFIG_BYTES_MAX;

/// Names a lease; unique while the LB runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LeaseId(pub u64);

impl std::fmt::Display for LeaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for LeaseId {
    type Err = std::num::ParseIntError;

    /// Takes only what `Display` writes: a lease has one spelling, so `+f` or `F` is none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let as_written = text.len() == 16 && text.bytes().all(digit);
        u64::from_str_radix(if as_written { text } else { "" }, 16).map(Self)
    }
}

/// First on the answer to a ready request; the job's archive follows, of exactly `archive_bytes`.
///
/// The stream then stays open without further bytes. It is the lease: the LB ends it once the
/// result's head has arrived and resets it to cancel; the worker resets it to give the job up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LeaseHead {
    /// Which lease.
    pub lease: LeaseId,
    /// Request id, for correlation of logs.
    pub request_id: String,
    /// What to run.
    pub spec: JobSpec,
    /// Length of the archive.
    pub archive_bytes: u64,
    /// Time the worker has from now until its result must begin, in milliseconds.
    pub deadline_ms: u64,
}

impl Message for LeaseHead {
    const MAGIC: [u8; 4] = *b"PELL";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = 2 * CONFIG_BYTES_MAX;
}
