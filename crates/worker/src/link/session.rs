//! One visit to the LB: from hello until the connection is gone or the worker is drained.

use std::sync::Arc;

use pe_proto::codec;
use pe_proto::link::{State, Welcome, paths};
use tokio::task::JoinSet;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Client;
use super::slot::{self, Visit};
use super::{LinkError, Shared};
use crate::driver::Offer;
use crate::limits::{POLL_MARGIN, POLL_MAX};

/// Serves one session. `Ok` when drained.
pub(super) async fn run(shared: &Arc<Shared>, up: impl FnOnce()) -> Result<(), LinkError> {
    let tasks = TaskTracker::new();
    let dead = CancellationToken::new();
    let ended = visit(shared, &tasks, &dead, up).await;
    dead.cancel();
    tasks.close();
    tasks.wait().await;
    ended
}

async fn visit(
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
    dead: &CancellationToken,
    up: impl FnOnce(),
) -> Result<(), LinkError> {
    let terms = &shared.terms;
    if !terms.hello.is_bounded() {
        return Err(LinkError::Hello);
    }
    let client = tokio::select! {
        biased;
        // Nothing to offer any more.
        () = shared.drain.cancelled() => return Ok(()),
        client = Client::dial(terms, tasks, dead) => client?,
    };
    let welcome: Welcome = codec::decode(&client.tell(paths::HELLO, &terms.hello).await?)?;
    up();
    shared.metrics.link(true);
    tracing::info!(lb = %terms.lb, poll_ms = welcome.poll_ms, "link to the lb is up");
    let poll_within = Duration::from_millis(welcome.poll_ms).min(POLL_MAX) + POLL_MARGIN;
    let visit = Arc::new(Visit {
        shared: Arc::clone(shared),
        client,
        session: welcome.session,
        poll_within,
        dead: dead.clone(),
    });
    let ended = offer(&visit).await;
    shared.metrics.link(false);
    if ended.is_err() {
        shared.metrics.link_lost();
    }
    ended
}

/// Parks a ready request for each VM that is ready, until the end.
async fn offer(visit: &Arc<Visit>) -> Result<(), LinkError> {
    let shared = &visit.shared;
    let mut slots = JoinSet::new();
    let mut next = Box::pin(next_offer(shared));
    let ended = loop {
        tokio::select! {
            biased;
            // The connection is gone.
            () = visit.dead.cancelled() => break Err(LinkError::Closed),
            // No more offers; what runs may end.
            () = shared.drain.cancelled() => break Ok(()),
            // Done with a VM, one way or another.
            Some(_) = slots.join_next(), if !slots.is_empty() => {}
            // A VM to offer.
            (offer, permit) = &mut next => {
                let visit = Arc::clone(visit);
                slots.spawn(async move {
                    slot::serve(&visit, offer).await;
                    drop(permit);
                });
                next.set(next_offer(shared));
            }
        }
    };
    drop(next);
    if ended.is_ok() {
        announce_drain(visit).await;
    }
    // Each ends by itself: at once if the connection is gone, else when its job is done.
    while slots.join_next().await.is_some() {}
    ended
}

/// The next ready VM, once there is room for its result.
async fn next_offer(shared: &Arc<Shared>) -> (Offer, tokio::sync::OwnedSemaphorePermit) {
    let room = Arc::clone(&shared.results).acquire_owned().await;
    match (room, shared.pool.take().await) {
        (Ok(permit), Some(offer)) => (offer, permit),
        // The pool has ended or ends, and with it the worker.
        _ => std::future::pending().await,
    }
}

async fn announce_drain(visit: &Visit) {
    let session = visit.session;
    let state = State { session, draining: true, images: visit.shared.images() };
    if let Err(error) = visit.client.tell(paths::STATE, &state).await {
        let error = crate::chain(&error);
        tracing::warn!(error, "lb was not told of the drain");
    }
}
