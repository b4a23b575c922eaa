//! The job's standard output and error: taken from pipes, journaled as they come.
//!
//! What is captured lies in the io device, not in init's memory: a killed VM has lost nothing of
//! it, and 4 MiB of output cost init 64 KiB. Beyond its limit a stream is read on and thrown away,
//! so that a program that says too much is cut, not stopped.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::read;

use pe_proto::io_file::{InHeader, JournalHeader};

use crate::limits::STREAM_BUFFER_BYTES;
use crate::pages::{Device, DeviceError, PAGE_BYTES, Pages};

/// What one look at a pipe brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// Something, kept or thrown away.
    Bytes,
    /// Nothing now.
    Nothing,
    /// Nothing ever again: all writers are gone.
    End,
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    pipe: OwnedFd,
    journal: Range<u64>,
    /// Bytes in the journal.
    len: u64,
    /// The bytes after the last whole page of the journal are kept here, and come first.
    pages: Pages,
    filled: usize,
    truncated: bool,
    ended: bool,
}

impl Stream {
    fn new(pipe: OwnedFd, journal: Range<u64>) -> Self {
        let pages = Pages::new(STREAM_BUFFER_BYTES);
        Self { pipe, journal, len: 0, pages, filled: 0, truncated: false, ended: false }
    }

    /// Where what was captured lies in the device.
    pub fn captured(&self) -> Range<u64> {
        self.journal.start..self.journal.start + self.len
    }

    /// Whether the stream was cut at its limit.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// The pipe, unless nothing more can come from it.
    fn pipe(&self) -> Option<BorrowedFd<'_>> {
        (!self.ended).then(|| self.pipe.as_fd())
    }

    /// Reads the pipe once.
    fn take(&mut self, device: &Device) -> Result<Took, DeviceError> {
        let filled = self.filled;
        let space = self.pages.bytes_mut().get_mut(filled..).unwrap_or_default();
        let got = match read(&self.pipe, space) {
            Ok(0) => {
                self.ended = true;
                return Ok(Took::End);
            }
            Ok(got) => got,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Took::Nothing),
            Err(_) => {
                self.ended = true;
                return Ok(Took::End);
            }
        };
        let room = self.journal.end.saturating_sub(self.captured().end);
        let keep = got.min(usize::try_from(room).unwrap_or(usize::MAX));
        self.truncated |= keep < got;
        if keep > 0 {
            self.journal_pages(device, keep)?;
        }
        Ok(Took::Bytes)
    }

    /// Writes the pages that the next `new` bytes of the buffer touch.
    fn journal_pages(&mut self, device: &Device, new: usize) -> Result<(), DeviceError> {
        let filled = self.filled + new;
        let at = self.captured().end - self.filled as u64;
        let pages = self.pages.front_mut(filled.next_multiple_of(PAGE_BYTES));
        pages.get_mut(filled..).unwrap_or_default().fill(0);
        device.write(at, pages)?;
        let whole = filled / PAGE_BYTES * PAGE_BYTES;
        self.pages.front_mut(filled).copy_within(whole.., 0);
        self.filled = filled - whole;
        self.len += new as u64;
        Ok(())
    }
}

/// Both streams and the page that says how much of them is in the journal.
#[derive(Debug)]
pub struct Streams<'device> {
    device: &'device Device,
    header: InHeader,
    started: bool,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
}

impl<'device> Streams<'device> {
    /// Captures from the reading ends of two pipes, which must not block.
    pub fn new(
        device: &'device Device,
        header: InHeader,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> Self {
        let stdout = Stream::new(stdout, header.plan.stdout_journal());
        let stderr = Stream::new(stderr, header.plan.stderr_journal());
        Self { device, header, started: false, stdout, stderr }
    }

    /// Says in the journal that from now on the job's program may have run.
    pub fn mark_started(&mut self) -> Result<(), DeviceError> {
        self.started = true;
        self.write_header()
    }

    /// The pipes that something may still come from.
    pub fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.stdout.pipe(), self.stderr.pipe()].into_iter().flatten()
    }

    /// Reads each pipe once and journals what came; true if anything did.
    pub fn take(&mut self) -> Result<bool, DeviceError> {
        let before = (self.stdout.len, self.stderr.len);
        let mut any = false;
        for stream in [&mut self.stdout, &mut self.stderr] {
            if !stream.ended {
                any |= stream.take(self.device)? == Took::Bytes;
            }
        }
        if before != (self.stdout.len, self.stderr.len) {
            self.write_header()?;
        }
        Ok(any)
    }

    fn write_header(&self) -> Result<(), DeviceError> {
        let journal = JournalHeader {
            stdout_len: self.stdout.len,
            stderr_len: self.stderr.len,
            started: self.started,
        };
        let page = self.header.plan.journal_header();
        self.device.write_padded(&page, &journal.encode(&self.header.nonce))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::pipe2;
    use pe_proto::JobLimits;
    use pe_proto::io_file::Plan;

    use super::*;
    use crate::pages::PageReader;

    const STDOUT_CAP: u64 = 100_000;

    fn header() -> InHeader {
        let limits =
            JobLimits { stdout_bytes: STDOUT_CAP, stderr_bytes: 0, ..JobLimits::default() };
        InHeader { nonce: [7; 16], plan: Plan::new(100, 100, &limits).unwrap() }
    }

    fn pipe() -> (OwnedFd, File) {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
        fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        (reading, writing.into())
    }

    fn read_back(device: &Device, range: Range<u64>) -> Vec<u8> {
        let mut reader = PageReader::new(device, range);
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next_piece().unwrap() {
            bytes.extend_from_slice(piece);
        }
        bytes
    }

    fn journaled(device: &Device, header: &InHeader) -> JournalHeader {
        let page = read_back(device, header.plan.journal_header());
        let found = JournalHeader::decode(&page, &header.nonce, &header.plan);
        found.unwrap().unwrap()
    }

    #[test]
    fn what_comes_is_in_the_journal_at_once_and_cut_at_the_limit() {
        let device = Device::of(tempfile::tempfile().unwrap());
        let (header, (out, mut out_writer), (err, mut err_writer)) = (header(), pipe(), pipe());
        let mut streams = Streams::new(&device, header, out, err);
        streams.mark_started().unwrap();
        assert!(!streams.take().unwrap());

        let mut expected = Vec::new();
        for (round, len) in [1, 4095, 1, 10_000, 60_000, 30_000].into_iter().enumerate() {
            let piece = vec![b'a' + u8::try_from(round).unwrap(); len];
            out_writer.write_all(&piece).unwrap();
            assert!(streams.take().unwrap());
            expected.extend_from_slice(&piece);
            expected.truncate(usize::try_from(STDOUT_CAP).unwrap());
            let journal = journaled(&device, &header);
            assert_eq!(journal.stdout_len, expected.len() as u64);
            let start = header.plan.stdout_journal().start;
            let range = start..start + journal.stdout_len;
            assert!(read_back(&device, range) == expected, "round {round}");
        }
        assert!(streams.stdout.truncated());

        err_writer.write_all(b"x").unwrap();
        assert!(streams.take().unwrap());
        assert!(streams.stderr.truncated());
        assert!(streams.stderr.captured().is_empty());

        drop((out_writer, err_writer));
        assert!(!streams.take().unwrap());
        assert_eq!(streams.pipes().count(), 0);
        assert!(journaled(&device, &header).started);
    }

    #[test]
    fn a_stream_of_exactly_its_limit_is_not_cut() {
        let device = Device::of(tempfile::tempfile().unwrap());
        let ((out, mut out_writer), (err, _err_writer)) = (pipe(), pipe());
        let mut streams = Streams::new(&device, header(), out, err);
        for _ in 0..4 {
            out_writer.write_all(&[b'x'; 25_000]).unwrap();
            streams.take().unwrap();
        }
        assert!(!streams.stdout.truncated());
        assert_eq!(streams.stdout.captured().end - streams.stdout.captured().start, STDOUT_CAP);
    }
}
