//! How far a job is that waits, asked of the server for the progress line (`protocol.md 8.10`).
//!
//! The job is asked for by its digest, which is computed here as the server does (`protocol.md
//! 3.3`). That is for people who look at a terminal: whatever goes wrong, the line says less and the
//! job goes on. It ends with the job, whose future owns it.

use std::cell::Cell;
use std::future::pending;

use bytes::Bytes;
use http::StatusCode;
use pe_proto::JobSpec;
use pe_proto::api::{IMAGES_PATH, PROGRESS_PATH, Progress as Whereabouts, RunConfig};
use pe_proto::catalogue::Catalogue;
use pe_proto::digest::JobDigester;
use pe_proto::limits::WALL_MS_DEFAULT;
use tokio::time::sleep;

use crate::limits;
use crate::progress::Progress;

use super::Client;

/// What a digest is made of.
pub(super) struct Followed<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) archive: Bytes,
}

impl Client {
    /// Keeps `told` true until it is dropped.
    pub(super) async fn follow(
        &self,
        job: Option<Followed<'_>>,
        progress: &Progress,
        told: &Cell<Option<Whereabouts>>,
    ) {
        let Some(job) = job else { return pending().await };
        let mut pause = limits::FOLLOW_FIRST;
        // Most jobs are done by then, and cost no question.
        sleep(pause).await;
        while !progress.now().is_waiting() {
            sleep(pause).await;
        }
        let Some(digest) = self.digest(&job).await else { return pending().await };
        drop(job);
        loop {
            told.set(self.whereabouts(&digest).await);
            sleep(pause).await;
            pause = (pause * 3 / 2).min(limits::FOLLOW_MAX);
        }
    }

    /// The job's digest. A deployment may have another wall clock for jobs that ask for none; then
    /// nobody waits for what is asked for here, and the line says no more than before.
    async fn digest(&self, job: &Followed<'_>) -> Option<String> {
        let reply = self.get(IMAGES_PATH, limits::CATALOGUE_BYTES_MAX).await.ok()?;
        let catalogue: Catalogue = serde_json::from_slice(&reply.body).ok()?;
        let (_, platform) = catalogue.find(&job.config.image, job.config.requires.arch)?;
        let spec = JobSpec::merged(job.config, platform, WALL_MS_DEFAULT);
        let mut digester = JobDigester::new(&spec);
        digester.update(&job.archive);
        Some(digester.finish().hex())
    }

    /// Without numbers that only say that time passes.
    async fn whereabouts(&self, digest: &str) -> Option<Whereabouts> {
        let path = format!("{PROGRESS_PATH}{digest}");
        let reply = self.get(&path, limits::PROBLEM_BYTES_MAX).await.ok()?;
        if reply.status != StatusCode::OK {
            return None;
        }
        Some(match serde_json::from_slice(&reply.body).ok()? {
            Whereabouts::Queued { position, .. } => Whereabouts::Queued { position, wait_ms: None },
            Whereabouts::Running { .. } => Whereabouts::Running { for_ms: 0 },
            fetching @ Whereabouts::Fetching { .. } => fetching,
        })
    }
}
