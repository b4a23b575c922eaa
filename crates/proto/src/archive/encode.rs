//! Writing an archive. The writer refuses what every reader would refuse; what has no place in an
//! archive of one role is that role's reader to refuse.

use crate::limits::ARCHIVE_ENTRIES_MAX;
use crate::path::{self, BadPath};

use super::{END, Kind, MAGIC};

/// Why an entry could not be added. The archive is as it was before the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryRefused {
    /// The path itself is bad.
    #[error("`{0}`: {1}")]
    Path(String, BadPath),
    /// Entries must come in order, each once.
    #[error("`{0}` is out of order or there twice")]
    Order(String),
    /// Something lies below a path that is not a directory (or was listed as an empty one).
    #[error("`{0}` lies below an entry that has nothing below it")]
    BelowLeaf(String),
    /// A directory with data.
    #[error("directory `{0}` has data")]
    DirectoryData(String),
    /// Data of a length that the format cannot say.
    #[error("`{0}` is larger than 4 GiB")]
    TooLarge(String),
    /// More than [`ARCHIVE_ENTRIES_MAX`] entries.
    #[error("more than {ARCHIVE_ENTRIES_MAX} entries")]
    TooMany,
}

/// Appends entries to a buffer. Call [`Encoder::finish`] to end the archive.
#[derive(Debug)]
pub struct Encoder {
    out: Vec<u8>,
    last: Option<String>,
    entries: u32,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An empty archive.
    pub fn new() -> Self {
        Self { out: MAGIC.to_vec(), last: None, entries: 0 }
    }

    /// Adds an entry with its data.
    pub fn push(&mut self, kind: Kind, path: &str, data: &[u8]) -> Result<(), EntryRefused> {
        self.begin(kind, path, data.len())?;
        self.out.extend_from_slice(data);
        Ok(())
    }

    /// Takes the bytes written so far, for a writer that streams: it calls [`Encoder::begin`],
    /// writes what this returns, then exactly as many bytes of data as it announced. The bytes of
    /// [`Encoder::finish`] come last. [`Encoder::len`] starts over.
    pub fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Bytes written so far, the end marker not included.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether no entry was added.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Ends the archive and returns its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(END);
        self.out.extend_from_slice(&self.entries.to_le_bytes());
        self.out
    }

    /// Adds the head of an entry whose data the caller writes itself.
    pub fn begin(&mut self, kind: Kind, path: &str, data_len: usize) -> Result<(), EntryRefused> {
        path::check_str(path).map_err(|bad| EntryRefused::Path(path.to_owned(), bad))?;
        if let Some(last) = &self.last {
            if path::compare(last, path).is_ge() {
                return Err(EntryRefused::Order(path.to_owned()));
            }
            if path::is_below(path, last) {
                return Err(EntryRefused::BelowLeaf(path.to_owned()));
            }
        }
        if kind == Kind::Directory && data_len != 0 {
            return Err(EntryRefused::DirectoryData(path.to_owned()));
        }
        if self.entries >= ARCHIVE_ENTRIES_MAX {
            return Err(EntryRefused::TooMany);
        }
        let too_large = || EntryRefused::TooLarge(path.to_owned());
        let data_len = u32::try_from(data_len).map_err(|_| too_large())?;
        let path_len = u16::try_from(path.len()).map_err(|_| too_large())?;
        self.out.push(kind.to_byte());
        self.out.extend_from_slice(&path_len.to_le_bytes());
        self.out.extend_from_slice(&data_len.to_le_bytes());
        self.out.extend_from_slice(path.as_bytes());
        self.last = Some(path.to_owned());
        self.entries += 1;
        Ok(())
    }
}
