//! The file that is written: contents once and in order, metadata an extent at a time.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

use super::AppendError;
use super::contents::Contents;
use crate::erofs::space::{Slot, Space};
use crate::erofs::{BLOCK, BLOCK_BYTES};
use crate::flatten::Cap;
use crate::pack::sparse::write_sparse;

/// One read of a file; most files are smaller.
const PIECE_BYTES: usize = 256 * 1024;

/// The pack and what is known of it.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    space: Space,
    bytes_max: u64,
    /// Where the extent begins that is being filled, and what is in it so far.
    extent: (u64, Vec<u8>),
    contents: Contents,
    saved_bytes: u64,
    piece: Vec<u8>,
    /// The same place of what may be the same.
    other: Vec<u8>,
}

impl Output {
    /// Goes on behind the first blocks of a file.
    pub(super) fn new(
        file: File,
        end: u32,
        contents: Contents,
        bytes_max: u64,
    ) -> Result<Self, AppendError> {
        // Padding, and whatever else is there, is zeros from here on.
        file.set_len(u64::from(end) * BLOCK_BYTES)?;
        Ok(Self {
            file,
            space: Space::behind(end),
            bytes_max,
            extent: (0, Vec::new()),
            contents,
            saved_bytes: 0,
            piece: Vec::new(),
            other: Vec::new(),
        })
    }

    /// Stores a file's content, if it is not there yet. Returns its first block.
    /// `None`: the file is not as long as was said.
    pub(super) fn content(
        &mut self,
        source: &File,
        bytes: u64,
    ) -> Result<Option<u32>, AppendError> {
        if bytes == 0 {
            return Ok((source.read_at(&mut [0], 0)? == 0).then_some(0));
        }
        self.piece.clear();
        let Some(hash) = self.hash(source, bytes)? else {
            return Ok(None);
        };
        if let Some(block) = self.contents.find(hash) {
            if self.is_there(source, bytes, block)? {
                self.saved_bytes += bytes;
                return Ok(Some(block));
            }
        }
        let block = self.claim(bytes)?;
        let start = u64::from(block) * BLOCK_BYTES;
        let mut at = 0;
        while at < bytes {
            if !self.load(source, at, bytes)? {
                return Ok(None);
            }
            write_sparse(&self.file, start + at, &self.piece)?;
            at += long(self.piece.len());
        }
        self.contents.note(hash, block);
        Ok(Some(block))
    }

    /// Stores bytes on blocks of their own. Returns the first.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<u32, AppendError> {
        let block = self.claim(long(bytes.len()))?;
        self.file.write_all_at(bytes, u64::from(block) * BLOCK_BYTES)?;
        Ok(block)
    }

    /// Blocks for so many bytes.
    pub(super) fn claim(&mut self, bytes: u64) -> Result<u32, AppendError> {
        let block = self.space.blocks(bytes)?;
        self.check_length()?;
        Ok(block)
    }

    /// A place among metadata, which is filled by [`Output::put`] at any time.
    pub(super) fn slot(&mut self, bytes: u64) -> Result<Slot, AppendError> {
        let slot = self.space.slot(bytes)?;
        self.check_length()?;
        if let Some(begun) = slot.begun {
            self.flush()?;
            self.extent = (begun, Vec::new());
        }
        // It is in the file's extent from now on, even if it is filled later.
        let needed = slot.offset + bytes - self.extent.0;
        let needed = usize::try_from(needed).unwrap_or(usize::MAX);
        if self.extent.1.len() < needed {
            self.extent.1.resize(needed, 0);
        }
        Ok(slot)
    }

    fn check_length(&self) -> Result<(), AppendError> {
        if u64::from(self.space.end()) * BLOCK_BYTES > self.bytes_max {
            return Err(AppendError::Cap { cap: Cap::PackBytes, limit: self.bytes_max });
        }
        Ok(())
    }

    /// Fills a place.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), AppendError> {
        let within = offset.checked_sub(self.extent.0).and_then(|at| usize::try_from(at).ok());
        let place = within.and_then(|at| self.extent.1.get_mut(at..at.checked_add(bytes.len())?));
        match place {
            Some(place) => place.copy_from_slice(bytes),
            None => self.file.write_all_at(bytes, offset)?,
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let (start, bytes) = std::mem::take(&mut self.extent);
        self.file.write_all_at(&bytes, start)
    }

    /// Ends a section. Returns the first block behind it.
    pub(super) fn end_section(&mut self) -> Result<u32, AppendError> {
        self.flush()?;
        self.space.close();
        self.file.set_len(u64::from(self.space.end()) * BLOCK_BYTES)?;
        Ok(self.space.end())
    }

    pub(super) fn saved_bytes(&self) -> u64 {
        self.saved_bytes
    }

    pub(super) fn into_contents(self) -> Contents {
        self.contents
    }

    /// The first bits of a content's SHA-256.
    fn hash(&mut self, source: &File, bytes: u64) -> Result<Option<u64>, AppendError> {
        let mut hasher = Sha256::new();
        let mut at = 0;
        while at < bytes {
            if !self.load(source, at, bytes)? {
                return Ok(None);
            }
            hasher.update(&self.piece);
            at += long(self.piece.len());
        }
        if source.read_at(&mut [0], bytes)? != 0 {
            return Ok(None);
        }
        let digest = hasher.finalize();
        Ok(digest.first_chunk().map(|first| u64::from_le_bytes(*first)))
    }

    /// Has one piece of a file at hand, which a small one is as a whole. `false`: it is shorter.
    fn load(&mut self, source: &File, at: u64, bytes: u64) -> Result<bool, AppendError> {
        let length = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
        if at == 0 && length < PIECE_BYTES && self.piece.len() == length {
            return Ok(true);
        }
        self.piece.resize(length, 0);
        match source.read_exact_at(&mut self.piece, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a content and the zeros up to a block's end are in the file.
    fn is_there(&mut self, source: &File, bytes: u64, block: u32) -> Result<bool, AppendError> {
        let start = u64::from(block) * BLOCK_BYTES;
        let mut at = 0;
        while at < bytes {
            if !self.load(source, at, bytes)? {
                return Ok(false);
            }
            let length = self.piece.len();
            self.other.clear();
            self.other.resize(length.next_multiple_of(BLOCK), 0);
            read_or_zeros(&self.file, start + at, &mut self.other)?;
            let (same, rest) = self.other.split_at_checked(length).unwrap_or_default();
            if same != self.piece || rest.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            at += long(length);
        }
        Ok(true)
    }
}

/// Reads a file; behind its end there are zeros.
fn read_or_zeros(file: &File, mut at: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match file.read_at(into, at) {
            Ok(0) => break,
            Ok(got) => {
                at += long(got);
                into = into.get_mut(got..).unwrap_or_default();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn long(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
