//! Signs of life of a client's connection: whether it has requests, and whether the client reads
//! its answers.
//!
//! HTTP/2 lets a client hold a stream open without reading it, for ever and at no cost of its
//! own; TCP lets it do so for a whole connection. hyper asks a body for more only when there is
//! room for it, so a body that gave a piece and was not asked again is one that nobody reads.
//! The task of the connection looks at this now and then and ends what has stalled: a timer in
//! the body itself would not be polled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vitals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: Instant,
    state: Mutex<State>,
}

/// A leaf lock, held for a few instructions.
#[derive(Debug)]
struct State {
    /// Requests that are not fully answered.
    open: Vec<Arc<AtomicU64>>,
    /// When the last one ended, or the connection began.
    quiet_since: Instant,
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

impl Default for Vitals {
    fn default() -> Self {
        let epoch = Instant::now();
        let state = Mutex::new(State { open: Vec::new(), quiet_since: epoch });
        Self(Arc::new(Inner { epoch, state }))
    }
}

impl Vitals {
    /// A request began; it ends when the pulse is dropped.
    pub fn begin(&self) -> Pulse {
        let mark = Arc::new(AtomicU64::new(WAITING));
        self.state().open.push(Arc::clone(&mark));
        Pulse { vitals: self.clone(), mark }
    }

    /// Looks at everything.
    pub fn check(&self, idle_max: Duration, stall_max: Duration) -> Verdict {
        let state = self.state();
        if state.open.is_empty() {
            let is_idle = state.quiet_since.elapsed() >= idle_max;
            return if is_idle { Verdict::Idle } else { Verdict::Fine };
        }
        let now = self.now();
        let has_stalled = |mark: &Arc<AtomicU64>| match mark.load(Ordering::Relaxed) {
            WAITING => false,
            given => u128::from(now.saturating_sub(given)) >= stall_max.as_millis(),
        };
        if state.open.iter().any(has_stalled) { Verdict::Stalled } else { Verdict::Fine }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the connection began, never [`WAITING`].
    fn now(&self) -> u64 {
        u64::try_from(self.0.epoch.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// The mark of a body that has nothing to give.
const WAITING: u64 = 0;

/// Of one request.
#[derive(Debug)]
pub struct Pulse {
    vitals: Vitals,
    mark: Arc<AtomicU64>,
}

impl Pulse {
    /// A piece was given to the connection: the client's turn.
    pub fn gave(&self) {
        self.mark.store(self.vitals.now(), Ordering::Relaxed);
    }

    /// There is nothing to give: our turn.
    pub fn waits(&self) {
        self.mark.store(WAITING, Ordering::Relaxed);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let mut state = self.vitals.state();
        state.open.retain(|mark| !Arc::ptr_eq(mark, &self.mark));
        state.quiet_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);
    const STALL: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_becomes_idle() {
        let vitals = Vitals::default();
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
        let vitals = Vitals::default();
        let pulse = vitals.begin();
        pulse.gave();
        pulse.waits();
        tokio::time::advance(STALL).await;
        assert_eq!(vitals.check(IDLE, STALL), Verdict::Fine);
        pulse.gave();
        tokio::time::advance(STALL).await;
        assert_eq!(vitals.check(IDLE, STALL), Verdict::Stalled);
        pulse.gave();
        assert_eq!(vitals.check(IDLE, STALL), Verdict::Fine);
    }
}
