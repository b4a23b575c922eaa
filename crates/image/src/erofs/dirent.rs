//! Directories: names in the order of their bytes, `.` and `..` among them, cut into blocks.
//!
//! ```text
//!  block  12 bytes for each name: number, where the name begins, type │ names, end to end │ zeros
//! ```
//! A reader halves its way to the block of a name by the first name of each, then within it. A
//! name ends where the next begins; the last of a block, at its first zero or the block's end.

use super::inode::Kind;
use super::{BLOCK, BLOCK_BYTES, pad};

/// Of one name, without the name.
const DIRENT_BYTES: usize = 12;

/// Longest name.
pub(crate) const NAME_BYTES_MAX: usize = 255;

const _: () = assert!(DIRENT_BYTES + NAME_BYTES_MAX <= BLOCK, "any name fits in a block");

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) nid: u64,
    pub(crate) kind: Kind,
}

/// What a directory takes: known by its names alone, before anybody knows their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Blocks that the next name did not fit in.
    pub(crate) full: u32,
    /// Bytes of the last one.
    pub(crate) last: usize,
}

impl Shape {
    /// Of names in their order.
    pub(crate) fn of(lengths: impl Iterator<Item = usize>) -> Self {
        let mut shape = Self::default();
        for length in lengths {
            let bytes = DIRENT_BYTES + length;
            if shape.last + bytes > BLOCK {
                shape.full = shape.full.saturating_add(1);
                shape.last = 0;
            }
            shape.last += bytes;
        }
        shape
    }

    /// How long the directory says it is.
    pub(crate) fn bytes(&self) -> u64 {
        let last = u64::try_from(self.last).unwrap_or(BLOCK_BYTES);
        u64::from(self.full) * BLOCK_BYTES + last
    }
}

/// Gives the blocks of a directory, one after the other. All but the last are whole.
pub(crate) fn encode<'a, E>(
    entries: impl Iterator<Item = Entry<'a>>,
    emit: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut block: Vec<Entry<'a>> = Vec::new();
    let mut used = 0;
    for entry in entries {
        let bytes = DIRENT_BYTES + entry.name.len();
        if used + bytes > BLOCK {
            let mut whole = one(&block);
            pad(&mut whole, BLOCK);
            emit(&whole)?;
            block.clear();
            used = 0;
        }
        used += bytes;
        block.push(entry);
    }
    emit(&one(&block))
}

fn one(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK);
    let mut at = entries.len() * DIRENT_BYTES;
    for entry in entries {
        bytes.extend_from_slice(&entry.nid.to_le_bytes());
        // Within a block.
        bytes.extend_from_slice(&u16::try_from(at).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&[entry.kind.number(), 0]);
        at += entry.name.len();
    }
    for entry in entries {
        bytes.extend_from_slice(entry.name);
    }
    bytes
}

#[cfg(test)]
mod tests;
