//! Writing a job into an io file while its archive arrives.
//!
//! The archive is checked as it passes. The header, which makes the file a job, is written last
//! and only if all was right, so a guest never sees half of one.

use std::time::{SystemTime, UNIX_EPOCH};

use pe_proto::archive::{BadArchive, Bounds, Decoder, Role};
use pe_proto::codec::{self, BadMessage};
use pe_proto::guest_config::GuestConfig;
use pe_proto::io_file::{BadIoFile, InHeader, Nonce, Plan};
use pe_proto::{JobLimits, JobSpec};

use super::IoFile;

/// Why a job cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum BadJob {
    /// Its archive is none.
    #[error("job's archive is refused")]
    Archive(#[from] BadArchive),
    /// It does not fit.
    #[error("job does not fit")]
    Plan(#[from] BadIoFile),
    /// Its config does not fit.
    #[error("job's config cannot be encoded")]
    Config(#[from] BadMessage),
    /// More or fewer bytes than were announced.
    #[error("job's archive was announced with {stated} bytes and has another length")]
    Length {
        /// Announced.
        stated: u64,
    },
    /// The host failed.
    #[error("cannot write the io file")]
    Host(#[from] std::io::Error),
}

/// What is needed to read a job's result: kept by the worker, never taken from the file.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// Random, this job's own.
    pub nonce: Nonce,
    /// Where things are.
    pub plan: Plan,
    /// What the result may hold.
    pub limits: JobLimits,
}

/// A job being written.
#[derive(Debug)]
pub struct JobWriter {
    config: GuestConfig,
    plan: Plan,
    decoder: Decoder,
    archive_bytes: u64,
    received: u64,
}

impl JobWriter {
    /// Lays out a job. Nothing is written yet.
    ///
    /// # Errors
    /// It does not fit.
    pub fn new(
        request_id: String,
        spec: JobSpec,
        pack_uuid: [u8; 16],
        pack_prefix: &str,
        archive_bytes: u64,
    ) -> Result<Self, BadJob> {
        let limits = spec.limits;
        let mut config = GuestConfig {
            request_id,
            spec,
            entropy: [0; 64],
            time_unix_us: 0,
            hostname: "pe".to_owned(),
            pack_uuid,
            pack_prefix: pack_prefix.to_owned(),
        };
        getrandom::fill(&mut config.entropy).map_err(|_| no_randomness())?;
        let config_len = u64::try_from(codec::to_vec(&config)?.len()).unwrap_or(u64::MAX);
        let plan = Plan::new(config_len, archive_bytes, &limits)?;
        let decoder = Decoder::new(Bounds::of(Role::Job));
        Ok(Self { config, plan, decoder, archive_bytes, received: 0 })
    }

    /// Bytes of the archive that are still to come.
    pub fn missing(&self) -> u64 {
        self.archive_bytes - self.received
    }

    /// Takes the next bytes of the archive.
    ///
    /// # Errors
    /// They are not an archive's, or too many.
    pub fn write(&mut self, io: &IoFile, bytes: &[u8]) -> Result<(), BadJob> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if len > self.missing() {
            return Err(BadJob::Length { stated: self.archive_bytes });
        }
        self.decoder.check(bytes)?;
        io.write_at(bytes, self.plan.archive().start + self.received)?;
        self.received += len;
        Ok(())
    }

    /// Completes the job: from now on a guest that looks will find it.
    ///
    /// # Errors
    /// The archive is not whole.
    pub fn finish(mut self, io: &IoFile) -> Result<Written, BadJob> {
        self.decoder.finish()?;
        if self.missing() != 0 {
            return Err(BadJob::Length { stated: self.archive_bytes });
        }
        // The guest has no other clock; fixed integers keep the frame's length.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.config.time_unix_us = u64::try_from(now.as_micros()).unwrap_or(0);
        io.write_at(&codec::to_vec(&self.config)?, self.plan.config().start)?;
        let mut nonce = Nonce::default();
        getrandom::fill(&mut nonce).map_err(|_| no_randomness())?;
        let limits = self.config.spec.limits;
        let header = InHeader { nonce, plan: self.plan }.encode();
        // The magic comes last: a guest that looks at this very moment finds a whole header or
        // none.
        let (magic, rest) = header.split_at(MAGIC_BYTES.min(header.len()));
        io.write_at(rest, MAGIC_BYTES as u64)?;
        io.write_at(magic, 0)?;
        Ok(Written { nonce, plan: self.plan, limits })
    }
}

/// The header's first field.
const MAGIC_BYTES: usize = 8;

fn no_randomness() -> BadJob {
    BadJob::Host(std::io::Error::other("the system has no randomness"))
}
