//! Runs that are shared: one task runs the job, all who want it wait for it.
//!
//! Whoever waits has a [`Seat`]; the last seat that is dropped before the result is whole ends
//! the run. After that the task goes on: whoever read all of a large result as it came has left
//! before it can be kept. The task publishes the result before it says that the run is over, so whoever comes
//! too late for the flight finds it in the cache. A result of an untrusted worker is not published;
//! when all have it, the task looks for another worker that [says the same](super::confirm).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use pe_proto::api::{CachePolicy, CacheStatus};
use pe_proto::{Digest, ResultMeta};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::confirm::{Subject, confirm};
use super::execute::{NotRun, Progress, execute};
use super::landing::Landing;
use super::{compose, is_proof};
use crate::cache::rules::{self, NotKept};
use crate::core::flights::{Boarded, FlightId, Flights as Core, Left, Phase, Row};
use crate::core::trust::Standing;
use crate::driver::Order;
use crate::limits::FLIGHT_SEATS_MAX;
use crate::respond::Failure;
use crate::shell::admit::Ticket;
use crate::shell::app::App;

/// All flights.
#[derive(Debug)]
pub struct Flights {
    /// A leaf lock, held for a look-up.
    core: Mutex<Core<Digest, Shared>>,
    tasks: TaskTracker,
}

/// What everybody on a flight has.
#[derive(Debug, Clone)]
struct Shared {
    progress: watch::Receiver<Progress>,
    run: AbortHandle,
    request_id: Arc<str>,
    started: Instant,
    /// Not to keep it: its body takes memory.
    order: Weak<Order>,
}

/// A flight as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightRow {
    /// Digest of its job.
    pub job: Digest,
    /// Of the request on whose behalf it was started.
    pub request_id: Arc<str>,
    /// How many wait for it, or still read its result.
    pub seats: usize,
    /// How far it is.
    pub phase: Phase,
    /// Since it was started.
    pub age: Duration,
}

/// How much of a result must be here before it is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// Its beginning.
    Begun,
}

/// A place on a flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    app: Arc<App>,
    flight: FlightId,
    progress: watch::Receiver<Progress>,
    /// Whether the flight was there before.
    pub(super) status: CacheStatus,
}

impl Default for Flights {
    fn default() -> Self {
        Self { core: Mutex::new(Core::new(FLIGHT_SEATS_MAX)), tasks: TaskTracker::new() }
    }
}

impl Flights {
    /// All of them, for operators.
    pub fn rows(&self) -> Vec<FlightRow> {
        let row = |Row { job, seats, phase, shared }: Row<Digest, Shared>| {
            let Shared { request_id, started, .. } = shared;
            FlightRow { job, request_id, seats, phase, age: started.elapsed() }
        };
        let rows = self.core().rows();
        rows.into_iter().map(row).collect()
    }

    /// What the youngest run of a job that is under way was handed in as.
    pub fn order(&self, job: Digest) -> Option<Arc<Order>> {
        self.core().latest(job).and_then(|shared| shared.order.upgrade())
    }

    /// Who asks for this job from now on does not share a run that is under way.
    pub fn purge(&self, job: Digest) {
        self.core().part(job);
    }

    /// Waits until no task is left. To be called when there is nobody who could board.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn core(&self) -> MutexGuard<'_, Core<Digest, Shared>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a seat on the flight of a job, which is started if there is none. A job that leaves the
/// cache alone, or replaces what is there, is run for itself.
///
/// Only who starts a flight needs to be admitted, and pays for it: `admit` is asked if there is
/// none to join.
///
/// # Errors
/// Too many wait for the same job, or it may not be run for this caller.
pub(super) fn board(
    app: &Arc<App>,
    digest: Digest,
    policy: CachePolicy,
    order: Arc<Order>,
    admit: impl FnOnce() -> Result<Ticket, Failure>,
) -> Result<Seat, Failure> {
    if policy == CachePolicy::Use {
        let joined = app.flights.core().join(digest);
        if let Some(joined) = joined {
            return seat(app, joined);
        }
    }
    let mut ticket = Some(admit()?);
    let start = |flight: FlightId| {
        let (sender, progress) = watch::channel(Progress::Running);
        let request_id = Arc::from(order.request_id.as_str());
        let handed_in = Arc::downgrade(&order);
        // On the heap: it is large, and would be copied with its task several times.
        let run = Box::pin(run(
            Arc::clone(app),
            Closing(Arc::clone(app), flight),
            ticket.take(),
            policy,
            digest,
            order,
            sender,
        ));
        let run = app.flights.tasks.spawn(run.in_current_span()).abort_handle();
        Shared { progress, run, request_id, started: Instant::now(), order: handed_in }
    };
    let boarded = {
        let mut core = app.flights.core();
        let boarded = match policy {
            CachePolicy::Use => core.board(digest, start),
            CachePolicy::Refresh | CachePolicy::Off => {
                let (flight, shared) = core.board_alone(digest, start);
                Boarded::Started(flight, shared)
            }
        };
        observe(app, &core);
        boarded
    };
    if let Some(unused) = ticket {
        // Somebody else was a moment quicker.
        unused.refund();
    }
    seat(app, boarded)
}

fn seat(app: &Arc<App>, boarded: Boarded<Shared>) -> Result<Seat, Failure> {
    let (flight, shared, status) = match boarded {
        Boarded::Started(flight, shared) => (flight, shared, CacheStatus::Miss),
        Boarded::Joined(flight, shared) => {
            app.metrics.cache.joins.inc();
            (flight, shared, CacheStatus::Joined)
        }
        Boarded::Full => {
            app.metrics.cache.flights_full.inc();
            return Err(NotRun::Crowded.into());
        }
    };
    Ok(Seat { app: Arc::clone(app), flight, progress: shared.progress, status })
}

/// The task of a flight.
async fn run(
    app: Arc<App>,
    closing: Closing,
    ticket: Option<Ticket>,
    policy: CachePolicy,
    digest: Digest,
    order: Arc<Order>,
    progress: watch::Sender<Progress>,
) {
    let arch = order.spec.arch;
    let claim = ticket.as_ref().map(Ticket::claim);
    // Without a ticket nothing was started; the crash that this would be is told as one.
    let Some((claim, ticket)) = claim.zip(ticket) else { return };
    let fare = Fare(Some(ticket), Arc::clone(&order));
    let age = app.cache.age(digest);
    let mut doubtful = None;
    let last = match execute(&app, claim, digest, Arc::clone(&order), &progress).await {
        Ok(landing) => {
            closing.landed();
            fare.pay(landing.meta());
            let head = landing.head(CacheStatus::Hit);
            compose::count(&app.metrics, &head);
            if is_proof(landing.outcome()) {
                app.readiness.prove(arch);
            }
            let kept = match rules::check(policy, landing.outcome()) {
                Ok(()) if !is_trusted(&landing) => {
                    doubtful = Some(Arc::clone(&landing));
                    Err(NotKept::Untrusted)
                }
                Ok(()) => app.cache.publish(digest, age, &head, landing.pieces()).await,
                Err(why) => Err(why),
            };
            if let Err(why) = kept {
                app.metrics.cache.not_kept(why);
            }
            Progress::Landed(landing)
        }
        Err(not_run) => {
            // What was run before is paid for, what was not is not.
            drop(fare);
            Progress::NotRun(not_run)
        }
    };
    // In this order: who comes from now on finds the result in the cache, or runs the job anew.
    drop(closing);
    progress.send_replace(last);
    drop(progress);
    if let Some(landing) = doubtful {
        // Nobody waits for what is done from here on.
        Box::pin(confirm(&app, Subject { digest, age, order }, landing)).await;
    }
}

/// What a flight costs whoever started it. If nobody stays to the end, it is what its worker was
/// held for; nothing, if there was none yet.
struct Fare(Option<Ticket>, Arc<Order>);

impl Fare {
    fn pay(mut self, meta: &ResultMeta) {
        if let Some(ticket) = self.0.take() {
            ticket.settle(meta);
        }
    }
}

impl Drop for Fare {
    fn drop(&mut self) {
        match (self.0.take(), self.1.held()) {
            (Some(ticket), Some(held)) => ticket.abandon(held),
            (Some(ticket), None) => ticket.refund(),
            (None, _) => {}
        }
    }
}

/// Whether a result may be given to others than those who wait for this run.
fn is_trusted(landing: &Landing) -> bool {
    landing.origin().is_none_or(|origin| origin.standing() == Standing::Trusted)
}

/// Closes a flight when its task ends, however it does.
struct Closing(Arc<App>, FlightId);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.flights.core().end(self.1);
    }
}

impl Closing {
    /// From now on the task goes on though nobody waits: the result is worth keeping.
    fn landed(&self) {
        self.0.flights.core().land(self.1);
    }
}

impl Seat {
    /// Whether the flight was there before.
    pub(super) fn is_joined(&self) -> bool {
        self.status == CacheStatus::Joined
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// There is none.
    ///
    /// # Cancel safety
    /// Nothing is lost but time.
    pub(super) async fn landing(&mut self, wanted: Wanted) -> Result<Arc<Landing>, NotRun> {
        loop {
            let now = self.progress.borrow_and_update().clone();
            match now {
                Progress::Landed(landing) => return Ok(landing),
                Progress::Begun(landing) if wanted == Wanted::Begun => return Ok(landing),
                Progress::NotRun(not_run) => return Err(not_run),
                Progress::Running | Progress::Begun(_) => {}
            }
            // The task is gone without a last word: it crashed.
            self.progress.changed().await.map_err(|_| NotRun::Crashed)?;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let left = {
            let mut core = self.app.flights.core();
            let left = core.leave(self.flight);
            observe(&self.app, &core);
            left
        };
        match left {
            Left::Nothing => {}
            Left::Cancel(shared) => shared.run.abort(),
        }
    }
}

fn observe(app: &App, core: &Core<Digest, Shared>) {
    app.metrics.cache.flights.set(i64::try_from(core.len()).unwrap_or(i64::MAX));
}
