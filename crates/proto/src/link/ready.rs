//! One slot on offer (`protocol.md 6.2`).

use bincode::{Decode, Encode};

use crate::codec::Message;
use crate::link::SessionId;

/// Offers one VM that is ready now. The offer stands as long as the request's stream does.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ready {
    /// From [`crate::link::Welcome`].
    pub session: SessionId,
    /// Which of the worker's slots; for logs.
    pub slot: u32,
}

impl Message for Ready {
    const MAGIC: [u8; 4] = *b"PELR";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = 1024;
}
