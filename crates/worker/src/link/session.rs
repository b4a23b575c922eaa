//! One visit to the LB: from hello until the connection is gone or the worker is drained.

use std::sync::Arc;

use pe_proto::link::{Hello, State, Welcome, paths};
use pe_proto::{Digest, codec};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Client;
use super::fetching::Line;
use super::slot::{self, Visit};
use super::{LinkError, Quarantine, Shared, Watched, fetching};
use crate::driver::Offer;
use crate::limits::{POLL_MARGIN, POLL_MAX};
use crate::memory::Room;
use crate::metrics::LinkState;

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
        client = Client::dial(&terms.lb, &terms.tls, terms.token.as_ref(), tasks, dead) => client?,
    };
    // Looked at once: what changes from here on is told.
    let (mut quarantine, mut shelves) = (shared.pool.quarantine(), terms.jobs.images.watch());
    let images = shared.images(&mut quarantine, &mut shelves);
    let hello = Hello { images: images.clone(), ..terms.hello.clone() };
    // From here on the LB may know of them.
    let told = Told::new(shared, images);
    let welcome: Welcome = codec::decode(&client.tell(paths::HELLO, &hello).await?)?;
    if welcome.deployment != hello.deployment {
        return Err(LinkError::Deployment(welcome.deployment));
    }
    up();
    shared.metrics.link(LinkState::Up);
    tracing::info!(lb = %terms.lb, poll_ms = welcome.poll_ms, "link to the lb is up");
    let poll_within = Duration::from_millis(welcome.poll_ms).min(POLL_MAX) + POLL_MARGIN;
    let line = terms.desk.as_ref().map(|desk| Line::open(desk, &client));
    let visit = Arc::new(Visit {
        shared: Arc::clone(shared),
        client,
        session: welcome.session,
        poll_within,
        dead: dead.clone(),
    });
    let ended = offer(&visit, quarantine, shelves).await;
    drop((told, line));
    shared.metrics.link(LinkState::Down);
    if ended.is_err() {
        shared.metrics.link_lost();
    }
    ended
}

/// Parks a ready request for each VM that is ready, until the end.
async fn offer(
    visit: &Arc<Visit>,
    quarantine: Quarantine,
    shelves: Watched,
) -> Result<(), LinkError> {
    let shared = &visit.shared;
    let mut slots = JoinSet::new();
    let mut telling = JoinSet::new();
    telling.spawn(announce_images(Arc::clone(visit), quarantine, shelves));
    if let Some(desk) = &shared.terms.desk {
        telling.spawn(fetching::report(Arc::clone(visit), desk.clone()));
        telling.spawn(fetching::ask(Arc::clone(visit), desk.clone()));
    }
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
            (offer, permit, room) = &mut next => {
                let visit = Arc::clone(visit);
                slots.spawn(async move {
                    slot::serve(&visit, offer, room).await;
                    drop(permit);
                });
                next.set(next_offer(shared));
            }
        }
    };
    drop(next);
    // One that is on its way must not overtake what is said next.
    while telling.join_next().await.is_some() {}
    if ended.is_ok() {
        shared.metrics.link(LinkState::Draining);
        let mut shelves = shared.terms.jobs.images.watch();
        let images = shared.images(&mut shared.pool.quarantine(), &mut shelves);
        announce(visit, true, images).await;
    }
    // Each ends by itself: at once if the connection is gone, else when its job is done.
    while slots.join_next().await.is_some() {}
    ended
}

/// The next ready VM, once there is room for all that its job may write and for its result.
async fn next_offer(shared: &Arc<Shared>) -> (Offer, OwnedSemaphorePermit, Room) {
    let permit = Arc::clone(&shared.results).acquire_owned().await;
    let room = shared.terms.rooms.io_file().await;
    match (permit, room, shared.pool.take().await) {
        (Ok(permit), Some(room), Some(offer)) => (offer, permit, room),
        // The pool has ended or ends, and with it the worker.
        _ => std::future::pending().await,
    }
}

/// Tells the LB which images it may send jobs of, whenever that changes.
async fn announce_images(visit: Arc<Visit>, mut quarantine: Quarantine, mut shelves: Watched) {
    loop {
        tokio::select! {
            biased;
            // Nobody to tell.
            () = visit.dead.cancelled() => return,
            // Told with the drain.
            () = visit.shared.drain.cancelled() => return,
            // An image is out, or back.
            changed = quarantine.changed() => if changed.is_err() {
                return;
            },
            // One has come, or is to go.
            changed = shelves.changed() => if changed.is_err() {
                return;
            },
        }
        let images = visit.shared.images(&mut quarantine, &mut shelves);
        if !visit.shared.terms.jobs.images.is_told(&images) {
            announce(&visit, false, images).await;
        }
    }
}

async fn announce(visit: &Visit, draining: bool, images: Vec<Digest>) {
    let state = State { session: visit.session, draining, images };
    match visit.client.tell(paths::STATE, &state).await {
        Ok(_) => visit.shared.terms.jobs.images.told(state.images),
        Err(error) => {
            let error = crate::chain(&error);
            tracing::warn!(error, draining, "lb was not told of a change");
        }
    }
}

/// What the LB was told is on offer, as long as there is a link.
struct Told<'a>(&'a Shared);

impl<'a> Told<'a> {
    fn new(shared: &'a Shared, images: Vec<Digest>) -> Self {
        shared.terms.jobs.images.told(images);
        Self(shared)
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.terms.jobs.images.told([]);
    }
}
