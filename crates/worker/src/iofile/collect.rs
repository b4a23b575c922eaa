//! Reading what a dead VM left: its answer, or what of it can be saved.
//!
//! Everything in the file is hostile. The result header decides whether there is an answer;
//! metadata and archive are each checked whole before a byte of them is passed on. If anything
//! is wrong with an answer it is none, and what the journal holds of the streams is returned
//! instead. Nothing here panics on, or allocates by, a guest's number.

use std::ops::Range;

use pe_proto::archive::{self, BadArchive, Bounds, Decoder, Encoder, Kind, Role};
use pe_proto::codec::{self, BadMessage};
use pe_proto::io_file::{BadIoFile, JournalHeader, ResultHeader};
use pe_proto::limits::{ARCHIVE_ENTRIES_MAX, RESULT_BYTES_MAX, RESULT_OVERHEAD_BYTES};
use pe_proto::{JobLimits, ResultMeta};

use super::IoFile;
use super::job::Written;
use crate::core::ending::{Ending, sober};
use crate::limits::UPLOAD_CHUNK_BYTES;

/// A result that was checked.
#[derive(Debug)]
pub struct Collected {
    /// How it ended.
    pub meta: ResultMeta,
    /// Its archive.
    pub archive: ResultArchive,
    /// Whether the guest answered by itself.
    pub answered: bool,
}

/// A result's archive, where it is.
#[derive(Debug)]
pub enum ResultArchive {
    /// In the io file of the dead VM.
    InIoFile(IoFile, Range<u64>),
    /// Made by the worker.
    InMemory(Vec<u8>),
}

impl ResultArchive {
    /// Bytes of it.
    pub fn len(&self) -> u64 {
        match self {
            Self::InIoFile(_, range) => range.end - range.start,
            Self::InMemory(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }

    /// An archive is never empty, but one without entries says nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
enum Flaw {
    #[error("{0}")]
    Header(#[from] BadIoFile),
    #[error("metadata: {0}")]
    Meta(#[from] BadMessage),
    #[error("{0}")]
    Archive(#[from] BadArchive),
    #[error("io file cannot be read")]
    Host(#[from] std::io::Error),
}

/// Reads the result of a job. Never fails: a file that makes no sense is a lost job.
pub fn collect(io: IoFile, written: &Written, ending: &Ending) -> Collected {
    match answer(&io, written) {
        Ok(Some((meta, range))) => Collected {
            meta: sober(meta),
            archive: ResultArchive::InIoFile(io, range),
            answered: true,
        },
        Ok(None) => salvage(&io, written, ending, None),
        Err(flaw) => {
            tracing::warn!(%flaw, "guest's answer refused");
            salvage(&io, written, ending, Some(&flaw.to_string()))
        }
    }
}

/// A result for a job that never got as far as an io file.
pub fn without_run(outcome: pe_proto::Outcome) -> Collected {
    Collected {
        meta: ResultMeta::without_run(outcome).bounded(),
        archive: ResultArchive::InMemory(Encoder::new().finish()),
        answered: false,
    }
}

fn answer(io: &IoFile, written: &Written) -> Result<Option<(ResultMeta, Range<u64>)>, Flaw> {
    let head = read(io, &written.plan.result_header())?;
    let Some(header) = ResultHeader::decode(&head, &written.nonce, &written.plan)? else {
        return Ok(None);
    };
    let meta = codec::decode(&read(io, &header.meta)?)?;
    check_archive(io, &header.archive, &written.limits)?;
    Ok(Some((meta, header.archive)))
}

fn check_archive(io: &IoFile, range: &Range<u64>, limits: &JobLimits) -> Result<(), Flaw> {
    let most = limits
        .output_bytes
        .saturating_add(limits.stdout_bytes)
        .saturating_add(limits.stderr_bytes)
        .saturating_add(RESULT_OVERHEAD_BYTES);
    let mut decoder = Decoder::new(Bounds {
        role: Role::Result,
        bytes_max: most.min(RESULT_BYTES_MAX),
        entries_max: ARCHIVE_ENTRIES_MAX,
    });
    let mut chunk = vec![0; UPLOAD_CHUNK_BYTES];
    let mut at = range.start;
    while at < range.end {
        let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(chunk.len());
        let piece = chunk.get_mut(..len).unwrap_or_default();
        io.read_at(piece, at)?;
        decoder.check(piece)?;
        at += u64::try_from(len).unwrap_or(u64::MAX);
    }
    Ok(decoder.finish()?)
}

/// Both streams as far as they were journaled, in an archive of their own.
fn salvage(io: &IoFile, written: &Written, ending: &Ending, flaw: Option<&str>) -> Collected {
    let (journal, [stdout, stderr]) = journaled(io, written).unwrap_or_else(|flaw| {
        tracing::warn!(%flaw, "journal refused");
        (JournalHeader::default(), [Vec::new(), Vec::new()])
    });
    let mut meta = ResultMeta::without_run(ending.without_answer(flaw));
    if !journal.started {
        meta.notes.push("the program was not started".to_owned());
    } else {
        meta.notes.push("files are missing: the VM did not live to return them".to_owned());
        meta.truncated.push(pe_proto::outcome::Truncated::Files);
    }
    let mut encoder = Encoder::new();
    // The archive's order puts stderr first.
    for (path, bytes) in [(archive::STDERR, stderr), (archive::STDOUT, stdout)] {
        if encoder.push(Kind::File, path, &bytes).is_err() {
            tracing::error!(path, "salvaged stream does not fit an archive");
        }
    }
    let archive = ResultArchive::InMemory(encoder.finish());
    Collected { meta: meta.bounded(), archive, answered: false }
}

fn journaled(io: &IoFile, written: &Written) -> Result<(JournalHeader, [Vec<u8>; 2]), Flaw> {
    let head = read(io, &written.plan.journal_header())?;
    let journal = JournalHeader::decode(&head, &written.nonce, &written.plan)?.unwrap_or_default();
    let starts = [written.plan.stdout_journal().start, written.plan.stderr_journal().start];
    let [out, err] = starts;
    let stdout = read(io, &(out..out + journal.stdout_len))?;
    let stderr = read(io, &(err..err + journal.stderr_len))?;
    Ok((journal, [stdout, stderr]))
}

/// Reads a range that was checked to lie in the file and to be bounded.
fn read(io: &IoFile, range: &Range<u64>) -> Result<Vec<u8>, std::io::Error> {
    let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len.min(READ_BYTES_MAX)];
    io.read_at(&mut bytes, range.start)?;
    Ok(bytes)
}

/// The largest range read into memory whole: one stream's journal.
#[expect(clippy::cast_possible_truncation, reason = "4 MiB fit any usize")]
const READ_BYTES_MAX: usize = pe_proto::limits::STREAM_BYTES_MAX as usize;

#[cfg(test)]
mod tests;
