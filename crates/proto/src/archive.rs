//! The archive: how trees of small files cross every border (`protocol.md 2`).
//!
//! ```text
//! magic   8 bytes  "PEARCH\0\x01" (the last byte is the version)
//! entry*  kind u8 · path length u16le · data length u32le · path · data
//! end     kind 0xff · entries u32le
//! ```
//!
//! Paths are relative, unique and in the order of [`crate::path::compare`]. A directory is
//! listed only if nothing is below it, so one tree has exactly one encoding and the digest of an
//! archive is the digest of a tree.
//!
//! A job's archive holds `input/...` and, if there is input on standard input, `stdin`. A
//! result's archive holds `output/...`, `stderr` and `stdout`.

mod decode;
mod encode;

pub use decode::{BadArchive, Bounds, Decoder, Event, for_each_entry};
pub use encode::{Encoder, EntryRefused};

/// First bytes of every archive.
pub const MAGIC: [u8; 8] = *b"PEARCH\0\x01";

/// Length of an entry's fixed head.
pub const ENTRY_HEAD_BYTES: usize = 7;

/// Kind byte that ends an archive.
pub(crate) const END: u8 = 0xff;

/// Prefix of input files in a job's archive.
pub const INPUT_PREFIX: &str = "input/";
/// Prefix of returned files in a result's archive.
pub const OUTPUT_PREFIX: &str = "output/";
/// Standard input in a job's archive.
pub const STDIN: &str = "stdin";
/// Standard error in a result's archive.
pub const STDERR: &str = "stderr";
/// Standard output in a result's archive.
pub const STDOUT: &str = "stdout";

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A regular file that may be executed.
    Executable,
    /// A directory with nothing in it.
    Directory,
    /// A symbolic link; the data is its target. In results only, and never followed.
    Symlink,
}

impl Kind {
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::File => 0,
            Self::Executable => 1,
            Self::Directory => 2,
            Self::Symlink => 3,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::File, Self::Executable, Self::Directory, Self::Symlink]
            .into_iter()
            .find(|kind| kind.to_byte() == byte)
    }
}

/// Which paths and kinds an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// From a client: `input/...`, `stdin`; no symbolic links.
    Job,
    /// From a guest: `output/...`, `stderr`, `stdout`.
    Result,
}

impl Role {
    /// Whether an entry has a place in an archive of this role.
    pub fn admits(self, kind: Kind, path: &str) -> bool {
        match self {
            Self::Job => match kind {
                Kind::File if path == STDIN => true,
                Kind::File | Kind::Executable | Kind::Directory => path.starts_with(INPUT_PREFIX),
                Kind::Symlink => false,
            },
            Self::Result => match kind {
                Kind::File if path == STDOUT || path == STDERR => true,
                Kind::File | Kind::Executable | Kind::Directory | Kind::Symlink => {
                    path.starts_with(OUTPUT_PREFIX)
                }
            },
        }
    }
}
