//! The bytes of an erofs file, and where in it each goes. Pure: nothing here reads or writes.
//!
//! What is written is the plain part of the format, which every kernel since 5.4 reads: blocks of
//! 4096 bytes, nothing compressed, contents of files on whole pages of their own (so that a guest
//! maps them straight from pmem), inodes of 64 bytes with 32-bit owners and nanoseconds.
//!
//! ```text
//!  alone    [superblock][section of the image]                    padding
//!  shared   [superblock, inodes of prefixes ][section][section]…  padding
//!            the head: of one size, the only part that an appended image changes
//!
//!  section  inodes, small directories and links in extents of some blocks; between these,
//!           contents of files and large directories, in the order of the walk;
//!           of a shared pack, at its end the directories of prefixes that it changed
//! ```
//! The metadata area begins at byte 0, so an inode's number is its offset divided by 32, and what
//! is appended can name what was there. A directory gets its place before what is in it, which
//! names it as `..`, and its bytes afterwards. A section depends on nothing that comes later.
//!
//! Format: Linux, `Documentation/filesystems/erofs.rst`, and <https://erofs.docs.kernel.org>.

pub(crate) mod dirent;
pub(crate) mod inode;
pub(crate) mod prefixes;
pub(crate) mod space;
pub(crate) mod superblock;
pub(crate) mod xattr;

/// A block, which is also what a directory is cut into.
pub(crate) const BLOCK: usize = 4096;

/// The same, of offsets.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// Inodes are named by their offset in units of this.
const NID_BYTES: u64 = 32;

const _: () = assert!(BLOCK as u64 == BLOCK_BYTES, "one length of a block");

/// What names an inode at an offset.
pub(crate) fn nid(offset: u64) -> u64 {
    offset / NID_BYTES
}

/// Blocks that so many bytes take.
pub(crate) fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES)
}

/// Appends bytes up to a length, filled with zeros.
fn pad(into: &mut Vec<u8>, multiple: usize) {
    into.resize(into.len().next_multiple_of(multiple), 0);
}
