//! The frame around every bincode message (`protocol.md 1.2`).
//!
//! ```text
//! magic 4 bytes · version u16le · zero u16le · length u32le · bincode (fixed integers, LE)
//! ```
//! bincode 2.0.1 is used for structs whose both ends are ours, only here, always with a limit: a
//! length inside a message cannot make the decoder allocate more than [`LIMIT`] beyond the bytes
//! it was given.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};

/// Length of the frame's head.
pub const HEAD_BYTES: usize = 12;

/// A message with a place in the protocol.
pub trait Message: bincode::Encode + bincode::Decode<()> {
    /// First four bytes.
    const MAGIC: [u8; 4];
    /// Version of its layout; any other is refused.
    const VERSION: u16;
    /// Most bytes of the encoded message, head not included.
    const BYTES_MAX: usize;
}

/// Why bytes are not the message expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// The bytes end before the message does.
    #[error("message is cut off")]
    Truncated,
    /// Another message, or none at all.
    #[error("expected magic {expected:?}, got {found:?}")]
    Magic {
        /// What it should be.
        expected: [u8; 4],
        /// What it is.
        found: [u8; 4],
    },
    /// A version that this program does not speak.
    #[error("expected version {expected}, got {found}")]
    Version {
        /// What it should be.
        expected: u16,
        /// What it is.
        found: u16,
    },
    /// Stated length over the message's bound.
    #[error("message of {0} bytes is too large")]
    TooLarge(u32),
    /// The content does not decode.
    #[error("message content is malformed")]
    Malformed,
    /// Bytes after the end.
    #[error("bytes after the end of the message")]
    Trailing,
}

/// Largest of all `BYTES_MAX`; bincode wants its limit as a constant of the configuration.
pub const LIMIT: usize = 1024 * 1024;

fn config() -> Configuration<LittleEndian, Fixint, Limit<LIMIT>> {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<LIMIT>()
}

/// Appends a message to a buffer.
///
/// # Errors
/// [`BadMessage::TooLarge`] when it is over its own bound.
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), BadMessage> {
    let content =
        bincode::encode_to_vec(message, config()).map_err(|_| BadMessage::TooLarge(u32::MAX))?;
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
    if content.len() > M::BYTES_MAX {
        return Err(BadMessage::TooLarge(len));
    }
    out.extend_from_slice(&M::MAGIC);
    out.extend_from_slice(&M::VERSION.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&content);
    Ok(())
}

/// A message in a buffer of its own.
///
/// # Errors
/// As [`encode`].
pub fn to_vec<M: Message>(message: &M) -> Result<Vec<u8>, BadMessage> {
    let mut out = Vec::with_capacity(256);
    encode(message, &mut out)?;
    Ok(out)
}

/// Length of the whole frame whose head these bytes begin with; for readers of streams.
///
/// # Errors
/// [`BadMessage::Truncated`] if the head is not whole; else what is wrong with it.
pub fn frame_len<M: Message>(bytes: &[u8]) -> Result<usize, BadMessage> {
    let &[m0, m1, m2, m3, v0, v1, z0, z1, l0, l1, l2, l3, ..] = bytes else {
        return Err(BadMessage::Truncated);
    };
    let found = [m0, m1, m2, m3];
    if found != M::MAGIC {
        return Err(BadMessage::Magic { expected: M::MAGIC, found });
    }
    let found = u16::from_le_bytes([v0, v1]);
    if found != M::VERSION {
        return Err(BadMessage::Version { expected: M::VERSION, found });
    }
    if [z0, z1] != [0, 0] {
        return Err(BadMessage::Malformed);
    }
    let stated = u32::from_le_bytes([l0, l1, l2, l3]);
    match usize::try_from(stated) {
        Ok(len) if len <= M::BYTES_MAX => Ok(HEAD_BYTES + len),
        _ => Err(BadMessage::TooLarge(stated)),
    }
}

/// Decodes a message from the front of `bytes`; returns it and the bytes after it.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_prefix<M: Message>(bytes: &[u8]) -> Result<(M, &[u8]), BadMessage> {
    let len = frame_len::<M>(bytes)?;
    let (frame, rest) = bytes.split_at_checked(len).ok_or(BadMessage::Truncated)?;
    let content = frame.get(HEAD_BYTES..).unwrap_or_default();
    let (message, used) =
        bincode::decode_from_slice(content, config()).map_err(|_| BadMessage::Malformed)?;
    if used != content.len() {
        return Err(BadMessage::Trailing);
    }
    Ok((message, rest))
}

/// Decodes a message that is all of `bytes`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, BadMessage> {
    match decode_prefix(bytes)? {
        (message, []) => Ok(message),
        _ => Err(BadMessage::Trailing),
    }
}
