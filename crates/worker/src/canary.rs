//! Jobs of our own: whether a VM runs jobs at all, and whether an image does.
//!
//! The job is `true`, and it takes the way of every other job: written into the io file, the pack
//! attached, the guest woken, the VM killed, the io file read. An image need not have such a
//! program. What counts is that the guest answered, with this job's nonce, that it ran something
//! or that the image lacks it: until it can say that, everything of ours has worked.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pe_proto::archive::Encoder;
use pe_proto::link::{LeaseHead, LeaseId};
use pe_proto::outcome::Fault;
use pe_proto::{Digest, JobLimits, JobSpec, Outcome};

use crate::core::pool::Subject;
use crate::driver::Tryout;
use crate::job::{self, Finished, JobStream, JobTerms};
use crate::library::Shelves;
use crate::limits::{TRANSFER, TRIAL_WALL};
use crate::link::lease::LeaseLost;
use crate::vm::LeasedVm;

/// The request id of our own jobs, in logs and in the guest.
pub const REQUEST_ID: &str = "canary";

/// Runs jobs of our own.
#[derive(Debug)]
pub struct Canary {
    terms: Arc<JobTerms>,
}

impl Canary {
    /// A canary for what a worker can run.
    pub fn new(terms: Arc<JobTerms>) -> Self {
        Self { terms }
    }

    /// A worker that has no image yet waits here for its first one.
    async fn image(&self, subject: Subject) -> Option<Digest> {
        match subject {
            Subject::Image(image) => Some(image),
            Subject::Worker(attempt) => {
                let mut shelves = self.terms.images.watch();
                let has_any = |shelves: &Shelves| !shelves.images().digests().is_empty();
                let here = Arc::clone(shelves.wait_for(has_any).await.ok()?.images());
                // Those of small packs first: they are the soonest there.
                let mut images = here.digests();
                images.sort_by_key(|image| here.pack(*image).map(|pack| pack.bytes()));
                let attempt = usize::try_from(attempt).unwrap_or(0);
                images.get(attempt.checked_rem(images.len())?).copied()
            }
        }
    }

    fn head(&self, image: Digest, archive_bytes: u64) -> LeaseHead {
        let wall = TRIAL_WALL;
        let deadline = TRANSFER + wall + self.terms.clock.grace + self.terms.clock.reserve;
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        LeaseHead {
            lease: LeaseId(0),
            request_id: REQUEST_ID.to_owned(),
            spec: JobSpec {
                image,
                arch: self.terms.arch,
                args: vec!["true".to_owned()],
                env: vec!["PATH=/usr/local/bin:/usr/bin:/bin".to_owned()],
                cwd: "/".to_owned(),
                user: String::new(),
                outputs: Vec::new(),
                limits: JobLimits { wall_ms: ms(wall), ..JobLimits::default() },
            },
            archive_bytes,
            deadline_ms: ms(deadline),
        }
    }

    async fn fly(&self, vm: LeasedVm, subject: Subject) -> bool {
        let Some(image) = self.image(subject).await else {
            return false;
        };
        let pid = vm.pid();
        let archive = Bytes::from(Encoder::new().finish());
        let head = self.head(image, u64::try_from(archive.len()).unwrap_or(u64::MAX));
        let finished = job::run(vm, head, &mut OurOwn(archive), &self.terms, || ()).await;
        let Ok(finished) = finished else { return false };
        let passed = is_alive(&finished);
        let outcome = &finished.collected.meta.outcome;
        if passed {
            tracing::info!(pid, %image, outcome = outcome.kind(), "trial passed");
        } else {
            tracing::error!(pid, %image, ?outcome, "trial failed");
        }
        passed
    }
}

impl Tryout for Canary {
    fn run(&self, vm: LeasedVm, subject: Subject) -> BoxFuture<'_, bool> {
        self.fly(vm, subject).boxed()
    }
}

/// Whether the answer is one that only a guest that works can give.
fn is_alive(finished: &Finished) -> bool {
    let said = match &finished.collected.meta.outcome {
        Outcome::Exited { .. } | Outcome::Signaled { .. } => true,
        // A program that is not there is the fault of who asked for it: here, of us who ask for
        // one that an image need not have.
        Outcome::Refused { fault, .. } => match fault {
            Fault::Image | Fault::Client => true,
            Fault::Capacity | Fault::Us => false,
        },
        Outcome::TimedOut { .. } | Outcome::OutOfMemory | Outcome::Lost { .. } => false,
    };
    said && finished.collected.answered
}

/// An archive that is there, and a lease that does not end.
struct OurOwn(Bytes);

impl JobStream for OurOwn {
    async fn piece(&mut self, most: u64) -> Result<Bytes, LeaseLost> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.0.len());
        Ok(self.0.split_to(most))
    }

    async fn ended(&mut self) -> LeaseLost {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
