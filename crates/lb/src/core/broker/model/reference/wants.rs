//! Cold images, and what is wanted.

use std::time::Duration;

use proptest::prelude::*;

use super::{Model, ModelState};
use crate::core::broker::{Broker, Whereabouts};
use crate::core::ids::Fit;

impl Model {
    pub(super) fn could_fetch(&self, fit: Fit) -> bool {
        let mut workers = self.workers.values().filter(|worker| worker.offer().is_some());
        workers.any(|worker| worker.able.contains(&fit.image))
    }

    pub(super) fn queue_wait(&self, fit: Fit) -> Duration {
        let is_cold = self.offering(fit).is_empty() && self.could_fetch(fit);
        if is_cold {
            self.terms.queue_wait.max(self.terms.fetch_wait)
        } else {
            self.terms.queue_wait
        }
    }

    /// Whether the broker wants what jobs wait for, and tells of each job where it is.
    pub(in crate::core::broker::model) fn check_wanted(
        &self,
        broker: &mut Broker,
    ) -> Result<(), TestCaseError> {
        let mut expected: Vec<(bool, _, Fit)> = Vec::new();
        for (id, job) in &self.jobs {
            let is_waiting = matches!(job.state, ModelState::Waiting(_));
            if is_waiting && !expected.iter().any(|(_, _, fit)| *fit == job.fit) {
                expected.push((!self.offering(job.fit).is_empty(), *id, job.fit));
            }
            let whereabouts = broker.whereabouts(*id, self.now);
            match job.state {
                ModelState::Waiting(_) => {
                    let is_cold = self.offering(job.fit).is_empty() && self.could_fetch(job.fit);
                    let is_so = match whereabouts {
                        Some(Whereabouts::Fetching(None)) => is_cold,
                        Some(Whereabouts::Queued(place)) => {
                            !is_cold && place == self.place(*id, job)
                        }
                        _ => false,
                    };
                    prop_assert!(is_so, "{whereabouts:?} of a job that waits");
                }
                ModelState::Leased | ModelState::Answering(_) => {
                    let is_so = matches!(whereabouts, Some(Whereabouts::Running(_)));
                    prop_assert!(is_so, "{whereabouts:?} of a job that runs");
                }
            }
        }
        expected.sort_unstable();
        let has_fetchers = self.workers.values().any(|worker| !worker.able.is_empty());
        if let Some(wanted) = broker.wanted() {
            prop_assert!(has_fetchers);
            // Which of them are on offer may have changed since what is waited for did.
            let expected: Vec<Fit> = expected.iter().map(|(_, _, fit)| *fit).collect();
            prop_assert_eq!(wanted, expected);
            prop_assert_eq!(broker.wanted(), None, "told once");
        }
        Ok(())
    }
}
