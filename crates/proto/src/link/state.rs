//! Changes of a worker's state (`protocol.md 6.5`).

use bincode::{Decode, Encode};

use crate::Digest;
use crate::codec::Message;
use crate::limits::{CONFIG_BYTES_MAX, OFFERED_IMAGES_MAX};
use crate::link::SessionId;

/// Sent by a worker when something about it changes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// From [`crate::link::Welcome`].
    pub session: SessionId,
    /// It takes no further leases; parked ready requests are answered `204` at once.
    pub draining: bool,
    /// Images it can run now.
    pub images: Vec<Digest>,
}

impl State {
    /// Whether every list is within its bound.
    pub fn is_bounded(&self) -> bool {
        self.images.len() <= OFFERED_IMAGES_MAX
    }
}

impl Message for State {
    const MAGIC: [u8; 4] = *b"PELS";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = CONFIG_BYTES_MAX;
}
