//! Reading an archive as it arrives, in pieces of any size.
//!
//! ```text
//!            magic ok          head+path ok           data complete
//!  Magic ---------------> Head ------------> Data ------------------> Head
//!                          | kind 0xff, count ok
//!                          v
//!                         Done   (any further byte is refused)
//! ```
//! The decoder holds at most one path; data is handed out as slices of the caller's input.
//! After an error it stays failed.

use crate::limits::{ARCHIVE_ENTRIES_MAX, INPUT_BYTES_MAX, PATH_BYTES_MAX, RESULT_BYTES_MAX};
use crate::path::{self, BadPath};

use super::{END, ENTRY_HEAD_BYTES, Kind, MAGIC, Role};

/// Why bytes are not an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArchive {
    /// The first bytes are something else, or another version.
    #[error("not an archive of a known version")]
    Magic,
    /// An entry's kind byte is unknown.
    #[error("unknown entry kind {0}")]
    Kind(u8),
    /// A path that may not be.
    #[error("bad path in archive: {0}")]
    Path(#[from] BadPath),
    /// Entries must be sorted and unique.
    #[error("entry `{0}` is out of order or there twice")]
    Order(String),
    /// Something lies below a file, a link or a directory that was listed as empty.
    #[error("entry `{0}` lies below an entry that has nothing below it")]
    BelowLeaf(String),
    /// The path or kind has no place in an archive of this role.
    #[error("entry `{0}` has no place here")]
    NoPlace(String),
    /// A directory with data.
    #[error("directory `{0}` has data")]
    DirectoryData(String),
    /// Larger than allowed.
    #[error("archive is larger than {0} bytes")]
    TooLarge(u64),
    /// More entries than allowed.
    #[error("archive has more than {0} entries")]
    TooMany(u32),
    /// The end marker states another number of entries.
    #[error("archive ends after {found} entries but states {stated}")]
    Count {
        /// What the end marker says.
        stated: u32,
        /// What came.
        found: u32,
    },
    /// Bytes after the end.
    #[error("bytes after the end of the archive")]
    Trailing,
    /// The bytes end before the archive does.
    #[error("archive is cut off")]
    Truncated,
    /// An earlier error; nothing can be read any more.
    #[error("archive was refused before")]
    Failed,
}

/// What a decoder allows.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Which paths and kinds have a place.
    pub role: Role,
    /// Most bytes of the archive, from magic to end.
    pub bytes_max: u64,
    /// Most entries.
    pub entries_max: u32,
}

impl Bounds {
    /// The format's own bounds for a role.
    pub const fn of(role: Role) -> Self {
        let bytes_max = match role {
            Role::Job => INPUT_BYTES_MAX,
            Role::Result => RESULT_BYTES_MAX,
        };
        Self { role, bytes_max, entries_max: ARCHIVE_ENTRIES_MAX }
    }
}

/// What a decoder found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'decoder, 'input> {
    /// An entry begins; `len` bytes of data follow.
    Entry {
        /// What it is.
        kind: Kind,
        /// Its path, with the prefix of its role.
        path: &'decoder str,
        /// Length of its data.
        len: u32,
    },
    /// The next piece of the entry's data.
    Data(&'input [u8]),
    /// The archive is complete.
    End {
        /// Entries it held.
        entries: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    Head,
    Data { left: u32 },
    Done,
    Failed,
}

/// A streaming decoder. Feed it with [`Decoder::next`] until it returns `None`.
#[derive(Debug)]
pub struct Decoder {
    bounds: Bounds,
    state: State,
    /// Bytes of a magic, head or path that is not complete yet.
    partial: Vec<u8>,
    last: String,
    entries: u32,
    bytes: u64,
}

impl Decoder {
    /// A decoder at the start of an archive.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: State::Magic,
            partial: Vec::new(),
            last: String::new(),
            entries: 0,
            bytes: 0,
        }
    }

    /// Takes bytes from the front of `input` until something is found. `None` means that all of
    /// `input` was taken and more is needed (or, after [`Event::End`], that all is done).
    ///
    /// # Errors
    /// The first thing wrong with the bytes; from then on [`BadArchive::Failed`].
    pub fn next<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Event<'_, 'i>>, BadArchive> {
        match self.state {
            State::Magic => {
                if !self.collect(input, MAGIC.len())? {
                    return Ok(None);
                }
                if self.partial != MAGIC {
                    return Err(self.fail(BadArchive::Magic));
                }
                self.partial.clear();
                self.state = State::Head;
                self.next_head(input)
            }
            State::Head => self.next_head(input),
            State::Data { left } => {
                if input.is_empty() {
                    return Ok(None);
                }
                let take = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let (data, rest) = input.split_at(take);
                *input = rest;
                self.count(take)?;
                self.state = match left.saturating_sub(u32::try_from(take).unwrap_or(left)) {
                    0 => State::Head,
                    left => State::Data { left },
                };
                Ok(Some(Event::Data(data)))
            }
            State::Done if input.is_empty() => Ok(None),
            State::Done => Err(self.fail(BadArchive::Trailing)),
            State::Failed => Err(BadArchive::Failed),
        }
    }

    /// Runs over `input`, checking it and dropping what is found: for relays that only validate.
    ///
    /// # Errors
    /// As [`Decoder::next`].
    pub fn check(&mut self, input: &[u8]) -> Result<(), BadArchive> {
        let mut input = input;
        while self.next(&mut input)?.is_some() {}
        Ok(())
    }

    /// Whether the end marker was read.
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// To be called when no more bytes will come.
    ///
    /// # Errors
    /// [`BadArchive::Truncated`] unless the archive is complete.
    pub fn finish(&self) -> Result<(), BadArchive> {
        match self.state {
            State::Done => Ok(()),
            State::Failed => Err(BadArchive::Failed),
            State::Magic | State::Head | State::Data { .. } => Err(BadArchive::Truncated),
        }
    }

    fn next_head<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Event<'_, 'i>>, BadArchive> {
        if !self.collect(input, 1)? {
            return Ok(None);
        }
        let kind_byte = self.partial.first().copied().unwrap_or(END);
        if kind_byte == END {
            return self.next_end(input);
        }
        let Some(kind) = Kind::from_byte(kind_byte) else {
            return Err(self.fail(BadArchive::Kind(kind_byte)));
        };
        if !self.collect(input, ENTRY_HEAD_BYTES)? {
            return Ok(None);
        }
        let &[_, p0, p1, d0, d1, d2, d3, ..] = self.partial.as_slice() else {
            return Ok(None);
        };
        let path_len = usize::from(u16::from_le_bytes([p0, p1]));
        let len = u32::from_le_bytes([d0, d1, d2, d3]);
        if path_len > PATH_BYTES_MAX {
            return Err(self.fail(BadPath::TooLong.into()));
        }
        // All of the entry that is still to come, however much of its path is here already.
        let path_left = (ENTRY_HEAD_BYTES + path_len).saturating_sub(self.partial.len());
        let left = u64::from(len).saturating_add(u64::try_from(path_left).unwrap_or(u64::MAX));
        if self.bytes.saturating_add(left) > self.bounds.bytes_max {
            return Err(self.fail(BadArchive::TooLarge(self.bounds.bytes_max)));
        }
        if !self.collect(input, ENTRY_HEAD_BYTES + path_len)? {
            return Ok(None);
        }
        if let Err(bad) = self.accept_entry(kind, len) {
            return Err(self.fail(bad));
        }
        self.state = if len == 0 { State::Head } else { State::Data { left: len } };
        Ok(Some(Event::Entry { kind, path: &self.last, len }))
    }

    /// Checks the entry whose head and path are in `partial` and makes it the last one.
    fn accept_entry(&mut self, kind: Kind, len: u32) -> Result<(), BadArchive> {
        let path = path::check(self.partial.get(ENTRY_HEAD_BYTES..).unwrap_or_default())?;
        if self.entries > 0 && path::compare(&self.last, path).is_ge() {
            return Err(BadArchive::Order(path.to_owned()));
        }
        if self.entries > 0 && path::is_below(path, &self.last) {
            return Err(BadArchive::BelowLeaf(path.to_owned()));
        }
        if !self.bounds.role.admits(kind, path) {
            return Err(BadArchive::NoPlace(path.to_owned()));
        }
        if kind == Kind::Directory && len != 0 {
            return Err(BadArchive::DirectoryData(path.to_owned()));
        }
        if self.entries >= self.bounds.entries_max {
            return Err(BadArchive::TooMany(self.bounds.entries_max));
        }
        self.entries += 1;
        self.last.clear();
        self.last.push_str(path);
        self.partial.clear();
        Ok(())
    }

    fn next_end(
        &mut self,
        input: &mut &[u8],
    ) -> Result<Option<Event<'static, 'static>>, BadArchive> {
        if !self.collect(input, 5)? {
            return Ok(None);
        }
        let stated = match self.partial.as_slice() {
            &[_, a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => return Ok(None),
        };
        if stated != self.entries {
            return Err(self.fail(BadArchive::Count { stated, found: self.entries }));
        }
        self.state = State::Done;
        if !input.is_empty() {
            return Err(self.fail(BadArchive::Trailing));
        }
        Ok(Some(Event::End { entries: self.entries }))
    }

    /// Fills `partial` to `len` bytes; false if the input ran out before.
    fn collect(&mut self, input: &mut &[u8], len: usize) -> Result<bool, BadArchive> {
        let missing = len.saturating_sub(self.partial.len());
        let take = missing.min(input.len());
        let (taken, rest) = input.split_at(take);
        self.partial.extend_from_slice(taken);
        *input = rest;
        self.count(take)?;
        Ok(take == missing)
    }

    fn count(&mut self, bytes: usize) -> Result<(), BadArchive> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.bytes > self.bounds.bytes_max {
            return Err(self.fail(BadArchive::TooLarge(self.bounds.bytes_max)));
        }
        Ok(())
    }

    fn fail(&mut self, bad: BadArchive) -> BadArchive {
        self.state = State::Failed;
        bad
    }
}

/// Reads a whole archive that is in memory: `visit` gets each entry with all of its data.
///
/// # Errors
/// As [`Decoder::next`], and [`BadArchive::Truncated`].
pub fn for_each_entry<'a>(
    bytes: &'a [u8],
    bounds: Bounds,
    mut visit: impl FnMut(Kind, &str, &'a [u8]),
) -> Result<(), BadArchive> {
    let mut decoder = Decoder::new(bounds);
    let mut rest = bytes;
    loop {
        // The entry is looked at only when its data is whole, hence the copy of its (short) path.
        let mut view = rest;
        let (kind, path, len) = match decoder.next(&mut view)? {
            Some(Event::Entry { kind, path, len }) => (kind, path.to_owned(), len),
            Some(Event::End { .. }) => return Ok(()),
            Some(Event::Data(_)) | None => return Err(BadArchive::Truncated),
        };
        let consumed = rest.len() - view.len();
        rest = rest.get(consumed..).unwrap_or_default();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some((data, after)) = rest.split_at_checked(len) else {
            return Err(BadArchive::Truncated);
        };
        decoder.check_data(data)?;
        rest = after;
        visit(kind, &path, data);
    }
}

impl Decoder {
    /// Takes exactly the data of the entry just begun.
    fn check_data(&mut self, data: &[u8]) -> Result<(), BadArchive> {
        if !data.is_empty() {
            let mut view = data;
            self.next(&mut view)?;
        }
        Ok(())
    }
}
