//! The guest's half: the answer, and the journal for when there is none (`protocol.md 4.4`).

use std::ops::Range;

use crate::limits::{RESULT_BYTES_MAX, RESULT_META_BYTES_MAX};

use super::{BadIoFile, Nonce, Plan, fields, put_header, split_head};

const RESULT_MAGIC: [u8; 8] = *b"PEIOOUT\x01";
const JOURNAL_MAGIC: [u8; 8] = *b"PEIOJRN\x01";

/// The answered marker: written when metadata and archive are complete in the result area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultHeader {
    /// The metadata's frame, absolute.
    pub meta: Range<u64>,
    /// The result's archive, absolute.
    pub archive: Range<u64>,
}

impl ResultHeader {
    /// Bytes that [`ResultHeader::decode`] needs.
    pub const BYTES: usize = 24 + 4 * 8;

    /// The header's bytes.
    pub fn encode(&self, nonce: &Nonce) -> Vec<u8> {
        let fields = [
            self.meta.start,
            self.meta.end.saturating_sub(self.meta.start),
            self.archive.start,
            self.archive.end.saturating_sub(self.archive.start),
        ];
        put_header(&RESULT_MAGIC, nonce, &fields)
    }

    /// Reads a header that a guest wrote. `None` if it never answered: the page is still zero.
    ///
    /// # Errors
    /// Anything else that is not an answer to this very job with both ranges in the result area,
    /// one after the other and not over their bounds.
    pub fn decode(bytes: &[u8], nonce: &Nonce, plan: &Plan) -> Result<Option<Self>, BadIoFile> {
        if bytes.get(..8).is_some_and(|magic| magic == [0; 8]) {
            return Ok(None);
        }
        let (found, rest) = split_head(bytes, &RESULT_MAGIC)?;
        if found != *nonce {
            return Err(BadIoFile::Nonce);
        }
        let [meta_offset, meta_len, archive_offset, archive_len] = fields(rest)?;
        let area = plan.result_area();
        let meta = range_in(&area, meta_offset, meta_len).ok_or(BadIoFile::Range("metadata"))?;
        let archive =
            range_in(&area, archive_offset, archive_len).ok_or(BadIoFile::Range("archive"))?;
        let meta_max = RESULT_META_BYTES_MAX as u64 + crate::codec::HEAD_BYTES as u64;
        if meta_len > meta_max || archive_len > RESULT_BYTES_MAX {
            return Err(BadIoFile::TooLarge);
        }
        if archive.start < meta.end {
            return Err(BadIoFile::Range("archive"));
        }
        Ok(Some(Self { meta, archive }))
    }
}

/// How much of each stream is in the journal. What a killed guest left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalHeader {
    /// Bytes of stdout.
    pub stdout_len: u64,
    /// Bytes of stderr.
    pub stderr_len: u64,
    /// The program was started. Before that, nothing of the job's ran.
    pub started: bool,
}

impl JournalHeader {
    /// Bytes that [`JournalHeader::decode`] needs.
    pub const BYTES: usize = 24 + 3 * 8;

    /// The header's bytes.
    pub fn encode(&self, nonce: &Nonce) -> Vec<u8> {
        let fields = [self.stdout_len, self.stderr_len, u64::from(self.started)];
        put_header(&JOURNAL_MAGIC, nonce, &fields)
    }

    /// Reads a journal header; `None` if nothing was journaled yet.
    ///
    /// # Errors
    /// A header that is not of this job, or states more than the journal holds.
    pub fn decode(bytes: &[u8], nonce: &Nonce, plan: &Plan) -> Result<Option<Self>, BadIoFile> {
        if bytes.get(..8).is_some_and(|magic| magic == [0; 8]) {
            return Ok(None);
        }
        let (found, rest) = split_head(bytes, &JOURNAL_MAGIC)?;
        if found != *nonce {
            return Err(BadIoFile::Nonce);
        }
        let [stdout_len, stderr_len, started] = fields(rest)?;
        let started = match started {
            0 => false,
            1 => true,
            _ => return Err(BadIoFile::Range("started flag")),
        };
        let cap = |range: Range<u64>| range.end - range.start;
        if stdout_len > cap(plan.stdout_journal()) {
            return Err(BadIoFile::Range("stdout journal"));
        }
        if stderr_len > cap(plan.stderr_journal()) {
            return Err(BadIoFile::Range("stderr journal"));
        }
        Ok(Some(Self { stdout_len, stderr_len, started }))
    }
}

fn range_in(area: &Range<u64>, offset: u64, len: u64) -> Option<Range<u64>> {
    let end = offset.checked_add(len)?;
    (offset >= area.start && end <= area.end).then_some(offset..end)
}
