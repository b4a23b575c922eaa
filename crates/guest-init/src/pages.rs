//! The io device: whole pages, read and written past the page cache (`protocol.md 4`).
//!
//! O_DIRECT is what makes the host see a page the moment it is written, and what makes the guest
//! see the job of *this* VM: a restored guest's page cache still holds the zygote's pages.
//! Everything here works on page-aligned buffers that are made once and reused.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::uio::{pread, pwrite};

use pe_proto::io_file::PAGE;

use crate::limits::COPY_BYTES;

/// What went wrong with the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// A read failed or came up short.
    #[error("reading the io device failed: {0}")]
    Read(Errno),
    /// A write failed or came up short.
    #[error("writing the io device failed: {0}")]
    Write(Errno),
    /// More was to be written than there is room for.
    #[error("the result does not fit into its area")]
    Full,
}

/// A page as a length in memory.
pub const PAGE_BYTES: usize = 4096;
const _: () = assert!(PAGE_BYTES as u64 == PAGE);

/// Memory that starts on a page border.
#[derive(Debug)]
pub struct Pages {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Pages {
    /// Zeroed memory of at least `bytes`, in whole pages.
    pub fn new(bytes: usize) -> Self {
        let len = bytes.next_multiple_of(PAGE_BYTES);
        let memory = vec![0; len + PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        Self { memory, start, len }
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.len).unwrap_or_default()
    }

    /// All of it, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }

    /// The first `len` bytes, to be changed; fewer if there are fewer.
    pub fn front_mut(&mut self, len: usize) -> &mut [u8] {
        let len = len.min(self.len);
        self.bytes_mut().get_mut(..len).unwrap_or_default()
    }
}

/// An open io device.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
}

impl Device {
    /// Opens a device node for reading and writing.
    pub fn open(path: &Path) -> nix::Result<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_DIRECT | OFlag::O_CLOEXEC;
        Ok(Self { fd: open(path, flags, Mode::empty())? })
    }

    /// Opens a device node for reading only.
    pub fn open_read_only(path: &Path) -> nix::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECT | OFlag::O_CLOEXEC;
        Ok(Self { fd: open(path, flags, Mode::empty())? })
    }

    /// A file in the place of a device.
    #[cfg(test)]
    pub(crate) fn of(file: std::fs::File) -> Self {
        Self { fd: file.into() }
    }

    /// The descriptor, for a child that must keep it.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Fills a page-aligned buffer of whole pages from a page border on.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let wanted = buffer.len();
        let offset = i64::try_from(offset).map_err(|_| DeviceError::Read(Errno::EINVAL))?;
        match pread(&self.fd, buffer, offset) {
            Ok(got) if got == wanted => Ok(()),
            Ok(_) => Err(DeviceError::Read(Errno::EIO)),
            Err(errno) => Err(DeviceError::Read(errno)),
        }
    }

    /// Writes a page-aligned buffer of whole pages at a page border.
    pub fn write(&self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        let offset = i64::try_from(offset).map_err(|_| DeviceError::Write(Errno::EINVAL))?;
        match pwrite(&self.fd, buffer, offset) {
            Ok(put) if put == buffer.len() => Ok(()),
            Ok(_) => Err(DeviceError::Write(Errno::EIO)),
            Err(errno) => Err(DeviceError::Write(errno)),
        }
    }

    /// Writes bytes of any length at a page border; the rest of the last page becomes zero.
    pub fn write_padded(&self, range: &Range<u64>, bytes: &[u8]) -> Result<(), DeviceError> {
        let room = range.end.saturating_sub(range.start);
        if bytes.len() as u64 > room {
            return Err(DeviceError::Full);
        }
        let mut pages = Pages::new(bytes.len().max(1));
        pages.front_mut(bytes.len()).copy_from_slice(bytes);
        self.write(range.start, pages.bytes())
    }
}

/// Reads a range that starts on a page border, piece by piece.
#[derive(Debug)]
pub struct PageReader<'device> {
    device: &'device Device,
    left: Range<u64>,
    pages: Pages,
}

impl<'device> PageReader<'device> {
    /// A reader at the start of `range`.
    pub fn new(device: &'device Device, range: Range<u64>) -> Self {
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let pages = Pages::new(len.clamp(1, COPY_BYTES));
        Self { device, left: range, pages }
    }

    /// The next piece; `None` after the last.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, DeviceError> {
        let left = self.left.end.saturating_sub(self.left.start);
        if left == 0 {
            return Ok(None);
        }
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(self.pages.len);
        let buffer = self.pages.front_mut(len.next_multiple_of(PAGE_BYTES));
        self.device.read(self.left.start, buffer)?;
        self.left.start += len as u64;
        Ok(self.pages.bytes().get(..len))
    }
}

/// Writes a stream of bytes into a range that starts on a page border.
#[derive(Debug)]
pub struct PageWriter<'device> {
    device: &'device Device,
    /// Where the buffer's first byte goes.
    next: u64,
    end: u64,
    pages: Pages,
    filled: usize,
}

impl<'device> PageWriter<'device> {
    /// A writer at the start of `range`.
    pub fn new(device: &'device Device, range: Range<u64>) -> Self {
        Self { device, next: range.start, end: range.end, pages: Pages::new(COPY_BYTES), filled: 0 }
    }

    /// Where the next byte goes.
    pub fn position(&self) -> u64 {
        self.next + self.filled as u64
    }

    /// Free bytes before the end of the range.
    pub fn room(&self) -> u64 {
        self.end.saturating_sub(self.position())
    }

    /// Appends bytes.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<(), DeviceError> {
        while !bytes.is_empty() {
            let space = self.space(bytes.len())?;
            let take = space.len().min(bytes.len());
            let (now, later) = bytes.split_at(take);
            space.get_mut(..take).unwrap_or_default().copy_from_slice(now);
            self.advance(take)?;
            bytes = later;
        }
        Ok(())
    }

    /// Room in the buffer for up to `wanted` bytes (at least one), to be filled by the caller
    /// from its front on and then taken by [`PageWriter::advance`].
    pub fn space(&mut self, wanted: usize) -> Result<&mut [u8], DeviceError> {
        let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(DeviceError::Full);
        }
        let from = self.filled;
        let to = from.saturating_add(wanted.min(room)).min(self.pages.len);
        self.pages.bytes_mut().get_mut(from..to).ok_or(DeviceError::Full)
    }

    /// Takes the first `bytes` of what [`PageWriter::space`] gave.
    pub fn advance(&mut self, bytes: usize) -> Result<(), DeviceError> {
        self.filled = self.filled.saturating_add(bytes).min(self.pages.len);
        if self.filled == self.pages.len {
            self.device.write(self.next, self.pages.bytes())?;
            self.next += self.filled as u64;
            self.filled = 0;
        }
        Ok(())
    }

    /// Writes what is left and returns where the stream ended.
    pub fn finish(mut self) -> Result<u64, DeviceError> {
        let end = self.position();
        let padded = self.filled.next_multiple_of(PAGE_BYTES);
        let filled = self.filled;
        let tail = self.pages.front_mut(padded);
        tail.get_mut(filled..).unwrap_or_default().fill(0);
        if padded > 0 {
            self.device.write(self.next, tail)?;
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_start_on_a_page_border_and_are_whole() {
        for bytes in [1, 4095, 4096, 4097, 100_000] {
            let pages = Pages::new(bytes);
            assert_eq!(pages.bytes().as_ptr() as usize % PAGE_BYTES, 0);
            assert_eq!(pages.bytes().len(), bytes.next_multiple_of(PAGE_BYTES));
        }
    }

    /// An ordinary file stands in for the device.
    fn device(bytes: u64) -> Device {
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        Device::of(file)
    }

    #[test]
    fn a_stream_of_any_pieces_is_read_back_as_it_was_written() {
        let device = device(4 << 20);
        let range = 8192..3 << 20;
        let bytes: Vec<u8> = (0..700_001_u32).map(|n| (n % 251) as u8).collect();
        let mut writer = PageWriter::new(&device, range.clone());
        for piece in bytes.chunks(30_011) {
            writer.put(piece).unwrap();
        }
        let end = writer.finish().unwrap();
        assert_eq!(end, 8192 + 700_001);
        let mut reader = PageReader::new(&device, range.start..end);
        let mut back = Vec::new();
        while let Some(piece) = reader.next_piece().unwrap() {
            back.extend_from_slice(piece);
        }
        assert!(back == bytes);
    }

    #[test]
    fn a_writer_never_leaves_its_range() {
        let device = device(1 << 20);
        let mut writer = PageWriter::new(&device, 0..8192);
        assert_eq!(writer.put(&[1; 8193]), Err(DeviceError::Full));
        assert_eq!(device.write_padded(&(0..4096), &[1; 4097]), Err(DeviceError::Full));
    }
}
