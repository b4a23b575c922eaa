//! The link: the worker dials the LB, offers its ready VMs, and runs what it is given
//! (`protocol.md 6`).
//!
//! ```text
//!  dial -> hello/welcome -> session: one parked ready request per ready VM
//!    ^                         |          |- 204: ask again
//!    |                         |          '- lease: run it, post done
//!    +---- wait (jitter) <-----+ connection lost: every lease of it is dead
//! ```
//! Owns the connection and the tasks on it. A VM is on offer exactly as long as its ready request
//! is parked. It ends when draining is done; until then it dials again for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pe_proto::Digest;
use pe_proto::link::Hello;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::reconnect::{Lost, Reconnect, ReconnectTerms};
use crate::driver::PoolHandle;
use crate::fetch::Desk;
use crate::job::JobTerms;
use crate::library::Shelves;
use crate::limits::{
    DIAL_AGAIN_FIRST, DIAL_AGAIN_GONE, DIAL_AGAIN_MAX, LINK_GOOD_AFTER, RESULTS_WAITING_PER_SLOT,
};
use crate::memory::Rooms;
use crate::metrics::{LinkState, Metrics};

mod body;
pub(crate) mod call;
pub(crate) mod client;
mod fetching;
pub mod lease;
mod session;
mod silent;
mod slot;
mod tls;

pub(crate) use client::Client;
pub use client::{LbAddress, LbAddressError, Token};
pub(crate) use silent::Silent;
pub use tls::LinkTls;

/// What a link is made with.
#[derive(Debug)]
pub struct LinkTerms {
    /// Where the LB listens for workers.
    pub lb: LbAddress,
    /// How TLS is spoken with it, if it is.
    pub tls: LinkTls,
    /// Shown to the LB with every request.
    pub token: Option<Token>,
    /// Who we are and what we offer; the images are those of `jobs`.
    pub hello: Hello,
    /// How jobs are run.
    pub jobs: Arc<JobTerms>,
    /// Room for io files and results.
    pub rooms: Rooms,
    /// Where images are fetched, if they are.
    pub desk: Option<Desk>,
}

/// The link, ready to run.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

/// What all tasks of the link use.
#[derive(Debug)]
struct Shared {
    terms: LinkTerms,
    pool: PoolHandle,
    metrics: Metrics,
    drain: CancellationToken,
    /// Bounds offers, jobs and results on their way: each holds an io file.
    results: Arc<Semaphore>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody is there.
    #[error("cannot reach {0}")]
    Dial(String, #[source] std::io::Error),
    #[error("lb did not answer in time: {0}")]
    Late(&'static str),
    #[error("lb does not speak http/2")]
    Http(#[from] hyper::Error),
    #[error("lb answered {what} with {status}: {said}")]
    Status { what: &'static str, status: http::StatusCode, said: String },
    #[error("lb's answer cannot be read")]
    Message(#[from] pe_proto::codec::BadMessage),
    #[error("connection to the lb ended")]
    Closed,
    #[error("our own hello is over its bounds")]
    Hello,
    #[error("the lb is of another deployment: `{0}`")]
    Deployment(String),
}

impl LinkError {
    fn lost(&self) -> Lost {
        match self {
            Self::Dial(..) | Self::Late(_) | Self::Http(_) | Self::Closed => Lost::Gone,
            Self::Status { .. } | Self::Message(_) | Self::Hello | Self::Deployment(_) => {
                Lost::Refused
            }
        }
    }
}

impl Link {
    /// A link that offers what the pool has until `drain`.
    pub fn new(
        terms: LinkTerms,
        pool: PoolHandle,
        metrics: Metrics,
        drain: CancellationToken,
    ) -> Self {
        let results = terms.hello.slots.saturating_mul(1 + RESULTS_WAITING_PER_SLOT);
        let results = usize::try_from(results).unwrap_or(1).max(1);
        let results = Arc::new(Semaphore::new(results.min(Semaphore::MAX_PERMITS)));
        Self { shared: Arc::new(Shared { terms, pool, metrics, drain, results }) }
    }

    /// Runs until drained.
    pub async fn run(self) {
        let shared = &self.shared;
        let began = Instant::now();
        shared.metrics.link(LinkState::Down);
        let mut reconnect = Reconnect::new(ReconnectTerms {
            wait_first: DIAL_AGAIN_FIRST,
            wait_gone: DIAL_AGAIN_GONE,
            wait_max: DIAL_AGAIN_MAX,
            good_after: LINK_GOOD_AFTER,
        });
        while !shared.drain.is_cancelled() {
            let ended = session::run(shared, || reconnect.up(began.elapsed())).await;
            let Err(error) = ended else { return };
            let wait = reconnect.down(error.lost(), began.elapsed(), random());
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let error = crate::chain(&error);
            tracing::warn!(lb = %shared.terms.lb, error, wait_ms, "no link to the lb");
            pause(wait, &shared.drain).await;
        }
    }
}

/// Images that are not to be offered.
type Quarantine = watch::Receiver<Arc<BTreeSet<Digest>>>;

/// What is here.
type Watched = watch::Receiver<Shelves>;

impl Shared {
    /// Those that are to be, as things are now.
    fn images(&self, quarantine: &mut Quarantine, shelves: &mut Watched) -> Vec<Digest> {
        let out = quarantine.borrow_and_update();
        let mut images = shelves.borrow_and_update().offered();
        images.retain(|image| !out.contains(image));
        images
    }
}

async fn pause(wait: Duration, drain: &CancellationToken) {
    tokio::select! {
        biased;
        // No need to dial again.
        () = drain.cancelled() => {}
        // Now.
        () = tokio::time::sleep(wait) => {}
    }
}

/// Random bits for the jitter; a fixed number does no harm.
fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests;
