//! Who is let in over the worker link.
//!
//! Tokens may change while connections live: each of them watches the roster, and one whose token
//! is gone or another worker's now is ended at once. A wrong token is answered late, the
//! connection is ended with that answer, and only so many are waiting for theirs at a time, so
//! that guessing costs a connection and seconds for each guess.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::config::Config;
use crate::core::trust::roster::Roster;
use crate::limits::WRONG_TOKENS_MAX;

/// See the module.
#[derive(Debug)]
pub struct Door {
    roster: watch::Sender<Arc<Roster>>,
    deployment: String,
    wrong: Semaphore,
}

impl Door {
    /// As the settings have it.
    pub fn new(config: &Config) -> Self {
        let (roster, _) = watch::channel(Arc::new(config.workers.roster.clone()));
        let deployment = config.workers.deployment.clone();
        Self { roster, deployment, wrong: Semaphore::new(WRONG_TOKENS_MAX) }
    }

    /// Takes over the tokens of new settings. The deployment stays: it is what this process is.
    pub fn reload(&self, config: &Config) {
        self.roster.send_if_modified(|roster| {
            let is_new = **roster != config.workers.roster;
            if is_new {
                *roster = Arc::new(config.workers.roster.clone());
            }
            is_new
        });
    }

    /// Which deployment this load balancer is of.
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    /// Who is let in now.
    pub(super) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// Tells when that changes.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Roster>> {
        self.roster.subscribe()
    }

    /// A place to wait in for who showed a wrong token, if there is one.
    pub(super) fn doghouse(&self) -> Option<SemaphorePermit<'_>> {
        self.wrong.try_acquire().ok()
    }
}
