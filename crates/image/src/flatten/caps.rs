//! What an image may cost to flatten. Every one of them is refused by its name.

use serde::{Deserialize, Serialize};

use super::error::LayerError;

const MIB: u64 = 1024 * 1024;

/// The bounds of one image, all its layers together where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// Unpacked layers, and holes of files as if they were zeros: what the disk has to take.
    pub unpacked_bytes: u64,
    /// Files, directories and links that are made, also those that a later layer removes.
    pub inodes: u64,
    /// One path.
    pub path_bytes: u64,
    /// Names in one path: removing a tree holds a descriptor for each.
    pub path_depth: u64,
    /// Names and values of one file's attributes.
    pub xattr_bytes: u64,
    /// CPU time of one layer, and of writing the image into the pack.
    pub cpu_seconds: u64,
    /// The clock's time for one layer, and for writing the image: a source that never ends.
    pub wall_seconds: u64,
    /// Memory of the process that unpacks, and of the one that writes.
    pub memory_bytes: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            unpacked_bytes: 16 * 1024 * MIB,
            // A compiler with all its headers has some ten thousand. What is kept of each during
            // one layer is 9 bytes.
            inodes: 1_000_000,
            // Half of what Linux takes, so that a program may put another before it.
            path_bytes: 2048,
            path_depth: 128,
            // What fits in one block beside an inode of ext4, where trees are staged.
            xattr_bytes: 3072,
            cpu_seconds: 600,
            wall_seconds: 1800,
            memory_bytes: 64 * MIB,
        }
    }
}

/// Which of them was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cap {
    /// [`Caps::unpacked_bytes`].
    UnpackedBytes,
    /// [`Caps::inodes`].
    Inodes,
    /// [`Caps::path_bytes`].
    PathBytes,
    /// [`Caps::path_depth`].
    PathDepth,
    /// [`Caps::xattr_bytes`].
    XattrBytes,
    /// One extended header: [`EXTENSION_BYTES_MAX`].
    ExtensionBytes,
    /// Pieces of one file with holes: [`SPARSE_PIECES_MAX`].
    SparsePieces,
    /// [`Caps::cpu_seconds`].
    CpuSeconds,
    /// [`Caps::wall_seconds`].
    WallSeconds,
    /// [`Caps::memory_bytes`].
    Memory,
    /// [`DIRECTORY_BYTES_MAX`](crate::limits::DIRECTORY_BYTES_MAX).
    DirectoryBytes,
    /// [`LINKS_OPEN_MAX`](crate::limits::LINKS_OPEN_MAX).
    LinksOpen,
    /// The file of a pack: twice [`Caps::unpacked_bytes`].
    PackBytes,
}

/// A PAX header or a GNU long name; Go's tar, by which most layers are made, has the same bound.
pub(super) const EXTENSION_BYTES_MAX: u64 = MIB;

/// Pieces of data between holes.
pub(super) const SPARSE_PIECES_MAX: u64 = 64 * 1024;

/// A zstd frame that wants a larger window than 16 MiB is refused. RFC 8878 asks decoders for 8 MiB; `zstd -19` stays within it.
pub(super) const ZSTD_WINDOW_LOG_MAX: u32 = 24;

impl Cap {
    /// `got` against `limit`.
    pub(crate) fn check(self, got: u64, limit: u64) -> Result<(), LayerError> {
        if got > limit { Err(LayerError::Cap { cap: self, limit }) } else { Ok(()) }
    }

    fn words(self) -> &'static str {
        match self {
            Self::UnpackedBytes => "unpacked bytes",
            Self::Inodes => "inodes",
            Self::PathBytes => "bytes of a path",
            Self::PathDepth => "names in a path",
            Self::XattrBytes => "bytes of a file's xattrs",
            Self::ExtensionBytes => "bytes of an extended header",
            Self::SparsePieces => "pieces of a sparse file",
            Self::CpuSeconds => "seconds of CPU time",
            Self::WallSeconds => "seconds",
            Self::Memory => "bytes of memory",
            Self::DirectoryBytes => "bytes of names in a directory and those above it",
            Self::LinksOpen => "files of which other names are still to come",
            Self::PackBytes => "bytes of a pack",
        }
    }
}

impl std::fmt::Display for Cap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}
