//! A result on its way back (`protocol.md 6.4`).

use bincode::{Decode, Encode};

use crate::ResultMeta;
use crate::codec::Message;
use crate::limits::RESULT_META_BYTES_MAX;
use crate::link::{LeaseId, SessionId};
use crate::outcome::{RanOn, WorkerPhases};

/// First in the body of a done request; the result's archive follows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DoneHead {
    /// From [`crate::link::Welcome`].
    pub session: SessionId,
    /// Must be the lease in the request's path, held by this session.
    pub lease: LeaseId,
    /// What the guest said, or the worker in its place.
    pub meta: ResultMeta,
    /// Times on the worker.
    pub phases: WorkerPhases,
    /// Where it ran.
    pub ran_on: RanOn,
    /// Length of the archive.
    pub archive_bytes: u64,
}

impl Message for DoneHead {
    const MAGIC: [u8; 4] = *b"PELD";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = RESULT_META_BYTES_MAX + 4096;
}
