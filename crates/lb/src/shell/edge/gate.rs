//! The way in: accepting, and who may stay.
//!
//! The accept loop has an absolute bound of connections, whatever state they are in: those with a
//! seat, those that are leaving, those that are being told that there is no room. Beyond it,
//! connections wait in the kernel's backlog.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug_span, warn};

use super::listener::{Listener, Stream};
use crate::config::connections::Connections;
use crate::core::client::Peer;
use crate::core::ids::ClientKey;
use crate::core::moment::Moment;
use crate::core::seats::{Arrival, SeatId, Seats};
use crate::limits::{ACCEPT_PAUSE, TURNED_AWAY_MAX};
use crate::shell::vitals::{Vitals, Wish};

/// Accepts connections until `stop`, each in a task of its own. The places are shared with other
/// listeners of the same kind.
pub async fn accept<F>(
    listener: Listener,
    places: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: Arc<TaskTracker>,
    serve: impl Fn(Stream, Peer, How) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let how = How { is_tls: listener.is_tls, is_proxied: listener.is_proxied };
    loop {
        let place = tokio::select! {
            biased;
            // The drain goes before everything.
            () = stop.cancelled() => return,
            // Then a place, and only then a connection: others wait in the kernel's backlog.
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            biased;
            // Again the drain first.
            () = stop.cancelled() => return,
            // A connection.
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = serve(stream, peer, how);
                let holding = async move {
                    connection.await;
                    drop(place);
                };
                tasks.spawn(holding.instrument(debug_span!("connection", %peer)));
            }
            Err(error) => {
                warn!(%error, "accept failed");
                drop(place);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What is spoken on a listener before HTTP.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// TLS.
    pub is_tls: bool,
    /// The PROXY protocol, by trusted peers.
    pub is_proxied: bool,
}

/// Who may be connected, and who is shaking hands.
#[derive(Debug)]
pub struct Places {
    epoch: Instant,
    /// Leaf locks, taken when a connection begins and ends.
    seats: Mutex<Seats<Vitals>>,
    shaking: Mutex<VecDeque<(u64, Vitals)>>,
    shaken: AtomicU64,
    terms: Connections,
    turned_away: Arc<Semaphore>,
}

/// A seat; given back when it is dropped.
#[derive(Debug)]
pub struct Seated<'a> {
    places: &'a Places,
    id: SeatId,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSeat {
    /// All are taken by connections with requests.
    Full,
    /// This client has too many.
    Crowd,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attendance {
    /// With a seat.
    pub seated: usize,
    /// Of these, without a request.
    pub quiet: usize,
    /// Asked to leave.
    pub leaving: usize,
    /// In a TLS handshake.
    pub shaking: usize,
}

impl Places {
    /// All free.
    pub fn new(terms: Connections) -> Self {
        Self {
            epoch: Instant::now(),
            seats: Mutex::new(Seats::new(terms.seats)),
            shaking: Mutex::default(),
            shaken: AtomicU64::new(0),
            terms,
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
        }
    }

    /// The most connections there can be at a time, in whatever state.
    pub fn connections_max(&self) -> usize {
        // The last few are for those who have not got so far.
        self.terms.seats.seats + self.terms.seats.leaving + TURNED_AWAY_MAX + 64
    }

    /// Signs of life of a new connection.
    pub fn vitals(&self) -> Vitals {
        Vitals::new(self.epoch)
    }

    /// Takes a seat; whoever must go for it is told.
    ///
    /// # Errors
    /// There is none.
    pub fn sit(&self, vitals: &Vitals, client: Option<ClientKey>) -> Result<Seated<'_>, NoSeat> {
        let arrival = self.seats().arrive(vitals.clone(), client, self.now());
        match arrival {
            Arrival::Seated { seat, asked, thrown_out } => {
                if let Some(asked) = asked {
                    asked.call(Wish::Leave);
                }
                if let Some(thrown_out) = thrown_out {
                    thrown_out.call(Wish::Out);
                }
                Ok(Seated { places: self, id: seat })
            }
            Arrival::Full => Err(NoSeat::Full),
            Arrival::Crowd => Err(NoSeat::Crowd),
        }
    }

    /// Begins a handshake; it ends when what this returns is dropped. When there are too many, the
    /// oldest is given up.
    pub fn shake(&self, vitals: &Vitals) -> Shaking<'_> {
        let id = self.shaken.fetch_add(1, Ordering::Relaxed);
        let mut shaking = self.shaking();
        if shaking.len() >= self.terms.handshakes_max {
            if let Some((_, oldest)) = shaking.pop_front() {
                oldest.call(Wish::Out);
            }
        }
        shaking.push_back((id, vitals.clone()));
        drop(shaking);
        Shaking { places: self, id }
    }

    /// A place among those who are told that there is no room, if there is even that.
    pub fn turn_away(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        Arc::clone(&self.turned_away).try_acquire_owned().ok()
    }

    /// Looks at all of them; as much work as there are connections.
    pub fn attendance(&self) -> Attendance {
        let seats = self.seats();
        let (seated, leaving) = seats.count();
        let quiet = seats.quiet();
        drop(seats);
        Attendance { seated, quiet, leaving, shaking: self.shaking().len() }
    }

    fn now(&self) -> Moment {
        Moment(self.epoch.elapsed())
    }

    fn seats(&self) -> MutexGuard<'_, Seats<Vitals>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shaking(&self) -> MutexGuard<'_, VecDeque<(u64, Vitals)>> {
        self.shaking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        self.places.seats().leave(self.id);
    }
}

/// A handshake that is under way.
#[derive(Debug)]
pub struct Shaking<'a> {
    places: &'a Places,
    id: u64,
}

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        let mut shaking = self.places.shaking();
        // They end about in the order in which they began.
        if let Some(at) = shaking.iter().position(|(id, _)| *id == self.id) {
            shaking.remove(at);
        }
    }
}
