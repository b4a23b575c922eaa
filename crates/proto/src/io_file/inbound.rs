//! The worker's half: where everything is (`protocol.md 4.2`).

use std::ops::Range;

use crate::JobLimits;
use crate::limits::{IO_FILE_BYTES, RESULT_META_BYTES_MAX, RESULT_OVERHEAD_BYTES};

use super::{BadIoFile, Nonce, PAGE, fields, pages, put_header, split_head};

const MAGIC: [u8; 8] = *b"PEIOIN\0\x01";

/// Where the parts of one job lie in its io file. All offsets are multiples of [`PAGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    config_len: u64,
    archive_offset: u64,
    archive_len: u64,
    out_offset: u64,
    stdout_cap: u64,
    stderr_cap: u64,
}

impl Plan {
    /// Lays out a job.
    ///
    /// # Errors
    /// [`BadIoFile::TooLarge`] if the job or the largest result it may have does not fit.
    pub fn new(config_len: u64, archive_len: u64, limits: &JobLimits) -> Result<Self, BadIoFile> {
        let (stdout_cap, stderr_cap) = (limits.stdout_bytes, limits.stderr_bytes);
        let parts = [config_len, archive_len, limits.output_bytes, stdout_cap, stderr_cap];
        // From here on no sum of parts, rounded up or not, can overflow.
        if parts.into_iter().any(|part| part > IO_FILE_BYTES) {
            return Err(BadIoFile::TooLarge);
        }
        let archive_offset = PAGE + pages(config_len);
        let plan = Self {
            config_len,
            archive_offset,
            archive_len,
            out_offset: archive_offset + pages(archive_len),
            stdout_cap,
            stderr_cap,
        };
        let result_most = limits.output_bytes
            + stdout_cap
            + stderr_cap
            + RESULT_OVERHEAD_BYTES
            + RESULT_META_BYTES_MAX as u64;
        if plan.result_area().start + pages(result_most) > IO_FILE_BYTES {
            return Err(BadIoFile::TooLarge);
        }
        Ok(plan)
    }

    /// The guest config's frame.
    pub fn config(&self) -> Range<u64> {
        PAGE..PAGE + self.config_len
    }

    /// The job's archive.
    pub fn archive(&self) -> Range<u64> {
        self.archive_offset..self.archive_offset + self.archive_len
    }

    /// The page of the result header.
    pub fn result_header(&self) -> Range<u64> {
        self.out_offset..self.out_offset + PAGE
    }

    /// The page of the journal header.
    pub fn journal_header(&self) -> Range<u64> {
        self.out_offset + PAGE..self.out_offset + 2 * PAGE
    }

    /// Where stdout is journaled; as long as its limit.
    pub fn stdout_journal(&self) -> Range<u64> {
        let start = self.out_offset + 2 * PAGE;
        start..start + self.stdout_cap
    }

    /// Where stderr is journaled; as long as its limit.
    pub fn stderr_journal(&self) -> Range<u64> {
        let start = self.out_offset + 2 * PAGE + pages(self.stdout_cap);
        start..start + self.stderr_cap
    }

    /// Where metadata and archive of the result go.
    pub fn result_area(&self) -> Range<u64> {
        let start = self.out_offset + 2 * PAGE + pages(self.stdout_cap) + pages(self.stderr_cap);
        start..IO_FILE_BYTES
    }
}

/// First page of an io file: tells the guest whose job it is and where things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InHeader {
    /// To be repeated in every header the guest writes.
    pub nonce: Nonce,
    /// Where things are.
    pub plan: Plan,
}

impl InHeader {
    /// Bytes that [`InHeader::decode`] needs.
    pub const BYTES: usize = 24 + 7 * 8;

    /// The header's bytes; the rest of its page is zero.
    pub fn encode(&self) -> Vec<u8> {
        let Plan { config_len, archive_offset, archive_len, out_offset, stdout_cap, stderr_cap } =
            self.plan;
        let fields = [
            IO_FILE_BYTES,
            config_len,
            archive_offset,
            archive_len,
            out_offset,
            stdout_cap,
            stderr_cap,
        ];
        put_header(&MAGIC, &self.nonce, &fields)
    }

    /// Reads a header and checks that its parts lie in order inside the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadIoFile> {
        let (nonce, rest) = split_head(bytes, &MAGIC)?;
        let [file_len, config_len, archive_offset, archive_len, out_offset, stdout_cap, stderr_cap] =
            fields(rest)?;
        if file_len != IO_FILE_BYTES {
            return Err(BadIoFile::Range("io file"));
        }
        let within = |value: u64| value <= IO_FILE_BYTES;
        let plan =
            Plan { config_len, archive_offset, archive_len, out_offset, stdout_cap, stderr_cap };
        let all = [config_len, archive_offset, archive_len, out_offset, stdout_cap, stderr_cap];
        if !all.into_iter().all(within) {
            return Err(BadIoFile::Range("in region"));
        }
        if archive_offset != PAGE + pages(config_len)
            || out_offset != archive_offset + pages(archive_len)
        {
            return Err(BadIoFile::Range("archive"));
        }
        if !within(plan.result_area().start) {
            return Err(BadIoFile::Range("out region"));
        }
        Ok(Self { nonce, plan })
    }
}
