//! Who may wait, for how long, and where it stands.

use std::num::NonZeroU8;
use std::time::Duration;

use super::Broker;
use super::terms::{Claim, Place, Refusal};
use crate::core::ids::{ClientKey, Fit, JobId};

impl Broker {
    /// How long a job may wait: as long as all may, and so that there is time left before its
    /// deadline for what a job of its kind takes.
    pub(super) fn patience(&self, claim: Claim, fit: Fit, wall: Duration) -> Duration {
        let most = self.queue_wait(fit);
        let Some(deadline) = claim.deadline else {
            return most;
        };
        let service = self.pace.service(fit).unwrap_or_default().min(wall);
        most.min(deadline.saturating_sub(service))
    }

    /// Where a job stands that would have to wait, or why it may not.
    pub(super) fn place_of_new(
        &self,
        claim: Claim,
        fit: Fit,
        patience: Duration,
    ) -> Result<Place, Refusal> {
        let place = self.place(None, claim.client, claim.priority, fit);
        if self.queue.len_fresh() >= self.terms.queue_jobs_max {
            Err(Refusal::QueueFull(place))
        } else if self.queue.len_of(claim.client) >= claim.queued_max {
            Err(Refusal::ClientQueueFull(place))
        } else if patience.is_zero() || self.is_too_long(place, fit, patience) {
            Err(Refusal::TooLong(place))
        } else {
            Ok(place)
        }
    }

    /// A wrong refusal is worse than none, so the estimate must rest on enough.
    fn is_too_long(&self, place: Place, fit: Fit, patience: Duration) -> bool {
        place.wait.is_some_and(|wait| wait > patience)
            && self.pace.is_sure(|other| self.fleet.are_rivals(fit, other))
    }

    /// Where a job stands, or would stand if it came now.
    pub(super) fn place(
        &self,
        job: Option<JobId>,
        client: ClientKey,
        priority: NonZeroU8,
        fit: Fit,
    ) -> Place {
        let rivals = |other: Fit| self.fleet.are_rivals(fit, other);
        let position = 1 + self.queue.ahead(job, client, priority, rivals);
        Place { position, wait: self.pace.wait(position, rivals) }
    }
}
