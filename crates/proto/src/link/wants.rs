//! Which images a worker had better fetch first (`protocol.md 6.8`).

use bincode::{Decode, Encode};

use crate::Digest;
use crate::codec::Message;
use crate::limits::WANTED_IMAGES_MAX;
use crate::link::SessionId;

/// Asks what is wanted. It is answered as soon as that is something else than what is said here.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Wants {
    /// From [`crate::link::Welcome`].
    pub session: SessionId,
    /// What the last answer said; zeros before the first.
    pub catalogue: Digest,
    /// What the last answer said.
    pub known: Vec<Digest>,
}

impl Wants {
    /// Whether the list is within its bound.
    pub fn is_bounded(&self) -> bool {
        self.known.len() <= WANTED_IMAGES_MAX
    }
}

impl Message for Wants {
    const MAGIC: [u8; 4] = *b"PELQ";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = 4096;
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Wanted {
    /// SHA-256 of the catalogue as it is now.
    pub catalogue: Digest,
    /// Images that the worker said it could fetch and that jobs wait for, the most urgent first.
    pub images: Vec<Digest>,
}

impl Wanted {
    /// Whether the list is within its bound.
    pub fn is_bounded(&self) -> bool {
        self.images.len() <= WANTED_IMAGES_MAX
    }
}

impl Message for Wanted {
    const MAGIC: [u8; 4] = *b"PELN";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = 4096;
}
