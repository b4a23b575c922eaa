//! Answers in their right form, and their parts for those who want them in another.

use pe_proto::archive::MAGIC;
use pe_proto::codec;
use pe_proto::io_file::{JournalHeader, ResultHeader};
use pe_proto::{Outcome, ResultMeta};

use crate::Job;

/// The archive's place in the result area; metadata is shorter than this.
const ARCHIVE_AT: u64 = 8192;

/// Answers that the program said this and exited with 0, and rings.
pub(crate) fn honest(job: &mut Job, stdout: &[u8]) -> anyhow::Result<()> {
    let parts = Parts::with(job, meta()?, archive(&[(b"stdout", stdout)])?);
    parts.write(job)?;
    job.device.write(job.header.plan.result_header().start, &parts.header(job))?;
    job.ring()
}

/// Metadata and archive of an answer, and where they go.
pub(crate) struct Parts {
    pub(crate) meta: Vec<u8>,
    pub(crate) archive: Vec<u8>,
    pub(crate) places: ResultHeader,
}

impl Parts {
    pub(crate) fn with(job: &Job, meta: Vec<u8>, archive: Vec<u8>) -> Self {
        let start = job.header.plan.result_area().start;
        let archive_at = start + ARCHIVE_AT;
        let places = ResultHeader {
            meta: start..start + meta.len() as u64,
            archive: archive_at..archive_at + archive.len() as u64,
        };
        Self { meta, archive, places }
    }

    /// Writes both, and no header yet.
    pub(crate) fn write(&self, job: &Job) -> anyhow::Result<()> {
        let start = job.header.plan.result_area().start;
        job.device.write(start, &self.meta)?;
        job.device.write(start + ARCHIVE_AT, &self.archive)
    }

    pub(crate) fn header(&self, job: &Job) -> Vec<u8> {
        self.places.encode(&job.header.nonce)
    }
}

pub(crate) fn meta() -> anyhow::Result<Vec<u8>> {
    Ok(codec::to_vec(&ResultMeta::without_run(Outcome::Exited { code: 0 }))?)
}

/// An archive of files with any names at all, in any order.
pub(crate) fn archive(files: &[(&[u8], &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    for (name, data) in files {
        bytes.push(0);
        bytes.extend(u16::try_from(name.len())?.to_le_bytes());
        bytes.extend(u32::try_from(data.len())?.to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(data);
    }
    bytes.push(0xff);
    bytes.extend(u32::try_from(files.len())?.to_le_bytes());
    Ok(bytes)
}

/// A journal with some output, so that a test sees it is kept.
pub(crate) fn journal(job: &Job) -> anyhow::Result<()> {
    journal_text(job, b"so far")
}

/// The same with any text.
pub(crate) fn journal_text(job: &Job, text: &[u8]) -> anyhow::Result<()> {
    let plan = &job.header.plan;
    job.device.write(plan.stdout_journal().start, text)?;
    let lengths = JournalHeader { stdout_len: text.len() as u64, stderr_len: 0, started: true };
    job.device.write(plan.journal_header().start, &lengths.encode(&job.header.nonce))
}
