//! What a worker could fetch, and how far it is with what it fetches (`protocol.md 6.7`).

use bincode::{Decode, Encode};

use crate::Digest;
use crate::codec::Message;
use crate::limits::{CONFIG_BYTES_MAX, OFFERED_IMAGES_MAX, WANTED_IMAGES_MAX};
use crate::link::SessionId;

/// Sent by a worker that fetches images, when something about that changes. It takes the place
/// of the one before; a worker that never sends it has all the images that it will ever have.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Fetches {
    /// From [`crate::link::Welcome`].
    pub session: SessionId,
    /// Images that it lacks and could have, those under way included.
    pub able: Vec<Digest>,
    /// Those that it is fetching now.
    pub under_way: Vec<Fetching>,
}

/// An image on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Fetching {
    /// Which.
    pub image: Digest,
    /// Bytes of its pack that are here.
    pub bytes: u64,
    /// Bytes of its pack.
    pub bytes_total: u64,
}

impl Fetches {
    /// Whether every list is within its bound, and nothing is more than whole.
    pub fn is_bounded(&self) -> bool {
        self.able.len() <= OFFERED_IMAGES_MAX
            && self.under_way.len() <= WANTED_IMAGES_MAX
            && self.under_way.iter().all(|fetching| fetching.bytes <= fetching.bytes_total)
    }
}

impl Message for Fetches {
    const MAGIC: [u8; 4] = *b"PELF";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = CONFIG_BYTES_MAX;
}
