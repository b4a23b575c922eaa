//! Signs of life of a client's connection: whether it has requests, whether the client reads its
//! answers, and whether its seat is needed for another.
//!
//! HTTP/2 lets a client hold a stream open without reading it, for ever and at no cost of its
//! own; TCP lets it do so for a whole connection. hyper asks a body for more only when there is
//! room for it, so an answer that began, or gave a piece, and was not asked again is one that
//! nobody reads. Pieces that were given and are not written yet are counted, too: an answer may
//! be over for us long before it is for the client. The task of the connection looks at all this
//! now and then and ends what has stalled: a timer in the body itself would not be polled.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::core::frames::Flood;
use crate::core::moment::Moment;
use crate::core::seats::Occupant;

/// Of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vitals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    /// Requests that are not fully answered. A leaf lock, held for a few instructions.
    open: Mutex<Vec<Arc<AtomicU64>>>,
    /// When the last one ended, or the connection began; [`BUSY`] while there is one.
    quiet: AtomicU64,
    /// Bytes of answers that were given to HTTP and are not written.
    held: AtomicUsize,
    begun: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    is_blocked: AtomicBool,
    wish: AtomicU8,
    called: Notify,
    flood: AtomicU8,
}

/// What to do about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Nobody needs it.
    Idle,
    /// It holds an answer that its client does not read.
    Stalled,
}

/// What others want of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Stay,
    /// That it ends in good order.
    Leave,
    /// That it is gone.
    Out,
}

impl Vitals {
    /// Of a new connection of a process that began at `epoch`.
    pub fn new(epoch: Instant) -> Self {
        let vitals = Self(Arc::new(Inner {
            epoch,
            open: Mutex::default(),
            quiet: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            is_blocked: AtomicBool::new(false),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            wish: AtomicU8::new(0),
            called: Notify::new(),
            flood: AtomicU8::new(0),
        }));
        vitals.0.quiet.store(vitals.millis(), Ordering::Relaxed);
        vitals
    }

    /// A request began; it ends when the pulse is dropped.
    pub fn begin(&self) -> Pulse {
        let mark = Arc::new(AtomicU64::new(WAITING));
        let mut open = self.open();
        open.push(Arc::clone(&mark));
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.quiet.store(BUSY, Ordering::Relaxed);
        drop(open);
        Pulse { vitals: self.clone(), mark }
    }

    /// Looks at everything but the rate.
    pub fn check(&self, idle_max: Duration, stall_max: Duration) -> Verdict {
        if let Some(quiet) = self.quiet_since() {
            let is_idle = self.now().since(quiet) >= idle_max;
            return if is_idle { Verdict::Idle } else { Verdict::Fine };
        }
        let now = self.millis();
        let has_stalled = |mark: &Arc<AtomicU64>| match mark.load(Ordering::Relaxed) {
            WAITING => false,
            given => u128::from(now.saturating_sub(given)) >= stall_max.as_millis(),
        };
        if self.open().iter().any(has_stalled) { Verdict::Stalled } else { Verdict::Fine }
    }

    /// Whether the client has something to read.
    pub fn is_owed(&self) -> bool {
        self.is_holding() || self.open().iter().any(|mark| mark.load(Ordering::Relaxed) != WAITING)
    }

    /// Whether something of an answer, or more of it than the socket takes, is not written.
    fn is_holding(&self) -> bool {
        self.0.held.load(Ordering::Relaxed) > 0 || self.0.is_blocked.load(Ordering::Relaxed)
    }

    /// How many requests there were.
    pub fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Whether nothing happened for a while and everything is written.
    pub fn is_at_rest(&self, wait: Duration) -> bool {
        self.quiet_since().is_some_and(|quiet| self.now().since(quiet) >= wait)
    }

    /// Whether the socket took what was last written to it.
    pub fn blocked(&self, is_blocked: bool) {
        self.0.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// Bytes read and written so far.
    pub fn moved(&self) -> (u64, u64) {
        (self.0.read.load(Ordering::Relaxed), self.0.written.load(Ordering::Relaxed))
    }

    /// So much came.
    pub fn read(&self, bytes: usize) {
        self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So much went.
    pub fn wrote(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The connection broke by this.
    pub fn flooded(&self, flood: Flood) {
        let mark = match flood {
            Flood::Control => 1,
            Flood::Resets => 2,
        };
        self.0.flood.store(mark, Ordering::Relaxed);
    }

    /// The flood that it broke by, if any.
    pub fn flood(&self) -> Option<Flood> {
        match self.0.flood.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Flood::Control),
            _ => Some(Flood::Resets),
        }
    }

    /// Wants something of the connection.
    pub fn call(&self, wish: Wish) {
        let wish = match wish {
            Wish::Stay => return,
            Wish::Leave => 1,
            Wish::Out => 2,
        };
        self.0.wish.fetch_max(wish, Ordering::Relaxed);
        self.0.called.notify_one();
    }

    /// Waits until something new is wanted.
    ///
    /// # Cancel safety
    /// A dropped future loses nothing: the wish stays.
    pub async fn called(&self, known: Wish) -> Wish {
        loop {
            let wish = self.wish();
            if wish != known {
                return wish;
            }
            self.0.called.notified().await;
        }
    }

    /// What is wanted now.
    pub fn wish(&self) -> Wish {
        match self.0.wish.load(Ordering::Relaxed) {
            0 => Wish::Stay,
            1 => Wish::Leave,
            _ => Wish::Out,
        }
    }

    /// The time of the process.
    pub fn now(&self) -> Moment {
        Moment(self.0.epoch.elapsed())
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the process began, never [`WAITING`] or [`BUSY`].
    fn millis(&self) -> u64 {
        u64::try_from(self.0.epoch.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Occupant for Vitals {
    fn quiet_since(&self) -> Option<Moment> {
        if self.is_holding() {
            return None;
        }
        let since = self.0.quiet.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Moment(Duration::from_millis(since)))
    }
}

/// The mark of a body that has nothing to give.
const WAITING: u64 = 0;
/// In place of a time, while there are requests.
const BUSY: u64 = 0;

/// Of one request.
#[derive(Debug)]
pub struct Pulse {
    vitals: Vitals,
    mark: Arc<AtomicU64>,
}

impl Pulse {
    /// Something was given to the connection: the client's turn.
    pub fn gave(&self) {
        self.mark.store(self.vitals.millis(), Ordering::Relaxed);
    }

    /// There is nothing to give: our turn.
    pub fn waits(&self) {
        self.mark.store(WAITING, Ordering::Relaxed);
    }

    /// A piece on its way to the client.
    pub fn piece(&self, bytes: Bytes) -> Piece {
        let held = bytes.len();
        self.vitals.0.held.fetch_add(held, Ordering::Relaxed);
        Piece { bytes, held: Some((self.vitals.clone(), held)) }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let mut open = self.vitals.open();
        open.retain(|mark| !Arc::ptr_eq(mark, &self.mark));
        if open.is_empty() {
            self.vitals.0.quiet.store(self.vitals.millis(), Ordering::Relaxed);
        }
    }
}

/// A piece of an answer, counted until it is written.
#[derive(Debug)]
pub struct Piece {
    bytes: Bytes,
    held: Option<(Vitals, usize)>,
}

impl From<Bytes> for Piece {
    /// One that nobody counts.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, held: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some((vitals, held)) = &self.held {
            vitals.0.held.fetch_sub(*held, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);
    const STALL: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_becomes_idle() {
        let vitals = Vitals::new(Instant::now());
        assert_eq!(vitals.check(IDLE, STALL), Verdict::Fine);
        let pulse = vitals.begin();
        tokio::time::advance(IDLE).await;
        assert_eq!(vitals.check(IDLE, STALL), Verdict::Fine);
        drop(pulse);
        tokio::time::advance(IDLE).await;
        assert_eq!(vitals.check(IDLE, STALL), Verdict::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_is_a_stall_and_a_slow_worker_is_not() {
        let vitals = Vitals::new(Instant::now());
        let pulse = vitals.begin();
        pulse.gave();
        pulse.waits();
        tokio::time::advance(STALL).await;
        assert_eq!((vitals.check(IDLE, STALL), vitals.is_owed()), (Verdict::Fine, false));
        pulse.gave();
        tokio::time::advance(STALL).await;
        assert_eq!((vitals.check(IDLE, STALL), vitals.is_owed()), (Verdict::Stalled, true));
        pulse.gave();
        assert_eq!(vitals.check(IDLE, STALL), Verdict::Fine);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_and_not_written_is_owed_and_keeps_the_connection_from_being_quiet() {
        let vitals = Vitals::new(Instant::now());
        let pulse = vitals.begin();
        let piece = pulse.piece(Bytes::from_static(b"piece"));
        drop(pulse);
        assert_eq!((vitals.is_owed(), vitals.quiet_since()), (true, None));
        drop(piece);
        assert!(!vitals.is_owed());
        assert!(vitals.quiet_since().is_some());
    }

    #[tokio::test]
    async fn a_wish_is_heard_once_whenever_it_was_made_and_only_grows() {
        let vitals = Vitals::new(Instant::now());
        vitals.call(Wish::Out);
        vitals.call(Wish::Leave);
        assert_eq!(vitals.called(Wish::Stay).await, Wish::Out);
    }
}
