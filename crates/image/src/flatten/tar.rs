//! A tar as a stream of entries, in bounded memory.
//!
//! Fields of headers are read by the tar crate; which headers belong together, what they override
//! and how long a body is, is decided here, as Go's `archive/tar` does it, because the layers of
//! the world are made and read by that. The crate's own reader keeps a long name or a PAX header
//! of any length in memory, and its `unpack` writes to the host by names: neither is used.

use std::io::Read;

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::caps::{Cap, Caps, EXTENSION_BYTES_MAX, SPARSE_PIECES_MAX};
use super::error::LayerError;
use super::pax::{Pax, PaxSparse};

const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    Device,
}

/// One file, link, or directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    /// What a link points to.
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, u32),
    /// With its holes.
    pub(super) size: u64,
    /// Where the bytes of the body go, if not all at the beginning.
    pub(super) pieces: Option<Vec<Piece>>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Data between holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// Reads a tar.
pub(super) struct Tar<R> {
    input: R,
    /// Of the current entry, what was not read yet.
    body: u64,
    padding: u64,
    xattr_bytes_max: u64,
    /// Attributes that were left out.
    pub(super) xattrs_dropped: u64,
}

impl<R: Read> Tar<R> {
    pub(super) fn new(input: R, caps: &Caps) -> Self {
        let xattr_bytes_max = caps.xattr_bytes;
        Self { input, body: 0, padding: 0, xattr_bytes_max, xattrs_dropped: 0 }
    }

    /// The next entry; `None` at the end of the archive.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the crate's kinds may become more")]
    pub(super) fn entry(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut pax = Pax::default();
        loop {
            self.skip()?;
            let Some(block) = self.header()? else {
                return Ok(None);
            };
            let header = Header::from_byte_slice(&block);
            check_sum(header)?;
            let size = size_of(header)?;
            match header.entry_type() {
                EntryType::XHeader => {
                    let text = self.extension(size)?;
                    // Of several, each stands for itself: the last one before the entry counts.
                    pax = Pax { path: pax.path, link: pax.link, ..Pax::default() };
                    pax.read(&text, self.xattr_bytes_max, &mut self.xattrs_dropped)?;
                }
                // Comments of `git archive`. Go hands them over unapplied, and so nobody applies
                // them to layers.
                EntryType::XGlobalHeader => {
                    self.extension(size)?;
                }
                EntryType::GNULongName => pax.path = Some(text_of(self.extension(size)?)),
                EntryType::GNULongLink => pax.link = Some(text_of(self.extension(size)?)),
                other => return self.interpret(header, other, size, pax).map(Some),
            }
        }
    }

    /// Reads some of the current entry's body; 0 at its end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, LayerError> {
        let most = usize::try_from(self.body).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let got = self.input.read(into.get_mut(..most).unwrap_or_default()).map_err(unreadable)?;
        if got == 0 {
            return Err(LayerError::tar("it ends within a file"));
        }
        self.body -= u64::try_from(got).unwrap_or(u64::MAX);
        Ok(got)
    }

    /// Reads what follows the archive, which belongs to the layer's digest.
    pub(super) fn finish(mut self) -> Result<(), LayerError> {
        std::io::copy(&mut self.input, &mut std::io::sink()).map_err(unreadable)?;
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the crate's kinds may become more")]
    fn interpret(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        pax: Pax,
    ) -> Result<Entry, LayerError> {
        let path = pax.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = match kind {
            // In the oldest archives, directories are known by their names only.
            EntryType::Regular
                if header.as_bytes().get(156) == Some(&0) && path.ends_with(b"/") =>
            {
                Kind::Directory
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::HardLink,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char | EntryType::Block => Kind::Device,
            _ => return Err(LayerError::entry("an entry of a kind that layers have not", &path)),
        };
        let mut entry = Entry {
            kind,
            link: pax.link.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default(),
            mode: u32::try_from(field(header, Field::Mode)? & 0o7777).unwrap_or_default(),
            uid: id(pax.uid, header, Field::Uid)?,
            gid: id(pax.gid, header, Field::Gid)?,
            mtime: match pax.mtime {
                Some(time) => time,
                // Times before 1970 are negative in base 256.
                None => (i64::from_ne_bytes(field(header, Field::Mtime)?.to_ne_bytes()), 0),
            },
            size: 0,
            pieces: None,
            xattrs: pax.xattrs,
            path,
        };
        if kind == Kind::File {
            entry.size = pax.size.unwrap_or(size);
            self.expect(entry.size);
            if header.entry_type() == EntryType::GNUSparse {
                self.gnu_sparse(header, &mut entry)?;
            } else {
                self.pax_sparse(pax.sparse, &mut entry)?;
            }
        }
        Ok(entry)
    }

    /// The form of GNU tar's own format: pieces in the header and in blocks after it.
    fn gnu_sparse(&mut self, header: &Header, entry: &mut Entry) -> Result<(), LayerError> {
        let bad = |_| LayerError::tar("a bad header of a sparse file");
        let gnu = header.as_gnu().ok_or(LayerError::tar("a sparse file in a foreign header"))?;
        let mut pieces = Vec::new();
        let mut more = gnu.is_extended();
        for piece in gnu.sparse.iter().filter(|piece| !piece.is_empty()) {
            let (offset, bytes) = (piece.offset().map_err(bad)?, piece.length().map_err(bad)?);
            add_piece(&mut pieces, Piece { offset, bytes })?;
        }
        while more {
            let mut block = GnuExtSparseHeader::new();
            // They are not counted in the body.
            self.input.read_exact(block.as_mut_bytes()).map_err(unreadable)?;
            for piece in block.sparse().iter().filter(|piece| !piece.is_empty()) {
                let (offset, bytes) = (piece.offset().map_err(bad)?, piece.length().map_err(bad)?);
                add_piece(&mut pieces, Piece { offset, bytes })?;
            }
            more = block.is_extended();
        }
        self.set_pieces(entry, pieces, gnu.real_size().map_err(bad)?)
    }

    /// The forms of PAX archives: the map is in a record (0.1) or before the data (1.0).
    fn pax_sparse(&mut self, sparse: PaxSparse, entry: &mut Entry) -> Result<(), LayerError> {
        let numbers = match (sparse.major, sparse.minor, sparse.map) {
            (Some(1), Some(0), None) => self.map_before_data()?,
            (None | Some(0), None | Some(1), Some(map)) => map,
            (None, None, None) if !sparse.is_ancient => return Ok(()),
            _ => {
                return Err(LayerError::entry(
                    "a form of sparse file that is not known",
                    &entry.path,
                ));
            }
        };
        if let Some(name) = sparse.name {
            entry.path = name;
        }
        let mut pieces = Vec::new();
        for pair in numbers.chunks(2) {
            let &[offset, bytes] = pair else {
                return Err(LayerError::tar("a map of holes with an odd count"));
            };
            add_piece(&mut pieces, Piece { offset, bytes })?;
        }
        let size = sparse.size.ok_or(LayerError::tar("a sparse file without a size"))?;
        self.set_pieces(entry, pieces, size)
    }

    /// Decimal numbers, a line each: how many pairs, then the pairs; padded to a block.
    fn map_before_data(&mut self) -> Result<Vec<u64>, LayerError> {
        let mut numbers = Vec::new();
        let mut wanted = None;
        let mut number: Option<u64> = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; BLOCK];
            let mut at = 0;
            while at < BLOCK {
                match self.read(block.get_mut(at..).unwrap_or_default())? {
                    0 => return Err(LayerError::tar("it ends within a map of holes")),
                    got => at += got,
                }
            }
            for byte in block {
                match byte {
                    b'0'..=b'9' => {
                        let digit = u64::from(byte - b'0');
                        let grown = number.unwrap_or(0).checked_mul(10);
                        let grown = grown.and_then(|number| number.checked_add(digit));
                        number = Some(grown.ok_or(LayerError::tar("too large a number"))?);
                    }
                    b'\n' => {
                        let line =
                            number.take().ok_or(LayerError::tar("an empty line of a map"))?;
                        if wanted.is_none() {
                            Cap::SparsePieces.check(line, SPARSE_PIECES_MAX)?;
                            wanted = usize::try_from(line.saturating_mul(2)).ok();
                        } else {
                            numbers.push(line);
                        }
                        if wanted == Some(numbers.len()) {
                            break;
                        }
                    }
                    _ => return Err(LayerError::tar("a map of holes that is none")),
                }
            }
        }
        Ok(numbers)
    }

    fn set_pieces(
        &mut self,
        entry: &mut Entry,
        pieces: Vec<Piece>,
        size: u64,
    ) -> Result<(), LayerError> {
        let mut end = 0_u64;
        let mut data = 0_u64;
        for piece in &pieces {
            let begins_late = piece.offset >= end;
            end = piece.offset.saturating_add(piece.bytes);
            data = data.saturating_add(piece.bytes);
            if !begins_late || end > size {
                return Err(LayerError::entry("pieces of a sparse file lie wrongly", &entry.path));
            }
        }
        if data != self.body {
            return Err(LayerError::entry("pieces of a sparse file are not its data", &entry.path));
        }
        entry.size = size;
        entry.pieces = Some(pieces);
        Ok(())
    }

    /// The body of an extension, of which memory is taken only as it comes.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        Cap::ExtensionBytes.check(size, EXTENSION_BYTES_MAX)?;
        self.expect(size);
        let mut text = Vec::new();
        let got = (&mut self.input).take(size).read_to_end(&mut text).map_err(unreadable)?;
        self.body = 0;
        if u64::try_from(got).ok() != Some(size) {
            return Err(LayerError::tar("it ends within an extended header"));
        }
        Ok(text)
    }

    fn expect(&mut self, bytes: u64) {
        self.body = bytes;
        self.padding = bytes.wrapping_neg() % 512;
    }

    /// Goes to the next header.
    fn skip(&mut self) -> Result<(), LayerError> {
        let rest = self.body.saturating_add(std::mem::take(&mut self.padding));
        self.body = 0;
        let skipped = std::io::copy(&mut (&mut self.input).take(rest), &mut std::io::sink());
        // The padding of the last file may be missing.
        skipped.map(drop).map_err(unreadable)
    }

    /// The next block that is no end mark; `None` at the end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        for marks in 0.. {
            let mut block = [0; BLOCK];
            let mut at = 0;
            while at < BLOCK {
                let rest = block.get_mut(at..).unwrap_or_default();
                match self.input.read(rest).map_err(unreadable)? {
                    0 if at == 0 => return Ok(None),
                    0 => return Err(LayerError::tar("it ends within a header")),
                    got => at += got,
                }
            }
            if block.iter().any(|&byte| byte != 0) {
                // One zero block is not an end, and nothing that goes on after it is a tar.
                return if marks == 0 {
                    Ok(Some(block))
                } else {
                    Err(LayerError::tar("a lone zero block"))
                };
            }
            if marks == 1 {
                break;
            }
        }
        Ok(None)
    }
}

/// A failure of the decompressor says itself what it is.
fn unreadable(error: std::io::Error) -> LayerError {
    match error.downcast::<LayerError>() {
        Ok(error) => error,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            LayerError::tar("it ends too early")
        }
        Err(error) => LayerError::Packing(error.to_string()),
    }
}

fn check_sum(header: &Header) -> Result<(), LayerError> {
    let mut sum = header.clone();
    sum.set_cksum();
    match (sum.cksum(), header.cksum()) {
        (Ok(is), Ok(said)) if is == said => Ok(()),
        _ => Err(LayerError::tar("a header with a wrong checksum")),
    }
}

#[derive(Clone, Copy)]
enum Field {
    Mode,
    Uid,
    Gid,
    Mtime,
}

/// A number of the header; what is blank is zero.
fn field(header: &Header, field: Field) -> Result<u64, LayerError> {
    let old = header.as_old();
    let (bytes, number) = match field {
        Field::Mode => (&old.mode[..], header.mode().map(u64::from)),
        Field::Uid => (&old.uid[..], header.uid()),
        Field::Gid => (&old.gid[..], header.gid()),
        Field::Mtime => (&old.mtime[..], header.mtime()),
    };
    if bytes.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    number.map_err(|_| LayerError::tar("a number in a header that is none"))
}

fn size_of(header: &Header) -> Result<u64, LayerError> {
    let bytes = &header.as_old().size;
    if bytes.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(0);
    }
    let size = header.entry_size().map_err(|_| LayerError::tar("a size that is none"))?;
    // Negative, in base 256.
    if size > u64::MAX / 2 { Err(LayerError::tar("a size that is none")) } else { Ok(size) }
}

fn id(pax: Option<u64>, header: &Header, which: Field) -> Result<u32, LayerError> {
    let id = pax.map_or_else(|| field(header, which), Ok)?;
    // The last one means "leave it as it is" to chown.
    let known = u32::try_from(id).ok().filter(|&id| id != u32::MAX);
    known.ok_or(LayerError::tar("an owner beyond 32 bits"))
}

fn add_piece(pieces: &mut Vec<Piece>, piece: Piece) -> Result<(), LayerError> {
    pieces.push(piece);
    Cap::SparsePieces.check(u64::try_from(pieces.len()).unwrap_or(u64::MAX), SPARSE_PIECES_MAX)
}

/// Up to the first NUL.
fn text_of(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}
