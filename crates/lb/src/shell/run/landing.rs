//! A result as it comes from its worker, kept until all who wait for it have it.
//!
//! One writer takes the pieces off the worker as fast as they come and appends them, each checked
//! before; any number of readers replay them from the start, each at its own pace. So a client
//! that reads slowly holds neither the worker nor others; it holds the memory, of which the
//! landing has its share from before its first byte until its last reader is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use pe_proto::api::{AnswerHead, CacheStatus};
use pe_proto::outcome::{RanOn, WorkerPhases};
use pe_proto::{Digest, JobLimits, Outcome, ResultMeta};
use tokio::sync::OnceCell;

use super::compose::{self, NotWritten, Text};
use crate::core::ids::ClientKey;
use crate::core::trust::Identity;
use crate::shell::app::Gathered;
use crate::shell::memory::Room;
use crate::shell::outgoing::Aborted;

/// See the module.
#[derive(Debug)]
pub struct Landing {
    facts: Facts,
    bytes: u64,
    state: Mutex<State>,
    /// Its share of the memory for results.
    _room: Option<Room>,
    /// As JSON for all who joined.
    pub(super) joined: OnceCell<Result<Text, NotWritten>>,
}

/// What is said of a result beside its archive.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Whose memory it takes.
    pub(super) client: ClientKey,
    pub(super) digest: Digest,
    pub(super) request_id: String,
    pub(super) image: Digest,
    pub(super) limits: JobLimits,
    pub(super) meta: ResultMeta,
    pub(super) worker_phases: WorkerPhases,
    pub(super) ran_on: Option<RanOn>,
    /// Who sent it; nobody for one of ours.
    pub(super) origin: Option<Arc<Identity>>,
    /// How long the job waited for leases.
    pub(super) queued: Duration,
    /// Its position in the queue when it came; 0 if it did not wait.
    pub(super) position: usize,
    /// From the job being handed in to its result.
    pub(super) total: Duration,
}

/// A leaf lock, held for a few instructions.
#[derive(Debug, Default)]
struct State {
    gathered: Gathered,
    is_broken: bool,
    /// Readers that have all there is.
    waiting: Vec<Waker>,
}

impl Landing {
    pub(super) fn new(facts: Facts, bytes: u64, room: Option<Room>) -> Self {
        let state = Mutex::new(State::default());
        Self { facts, bytes, state, _room: room, joined: OnceCell::new() }
    }

    /// How it ended.
    pub fn outcome(&self) -> &Outcome {
        &self.facts.meta.outcome
    }

    /// Who sent it; nobody for one of ours.
    pub fn origin(&self) -> Option<&Arc<Identity>> {
        self.facts.origin.as_ref()
    }

    /// What is known of the run.
    pub(super) fn meta(&self) -> &ResultMeta {
        &self.facts.meta
    }

    /// How long the job waited for leases, and its position in the queue when it came.
    pub(super) fn wait(&self) -> (Duration, usize) {
        (self.facts.queued, self.facts.position)
    }

    /// On whose behalf it was run.
    pub(super) fn client(&self) -> ClientKey {
        self.facts.client
    }

    /// Length of the whole archive.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What an answer with it begins with.
    pub fn head(&self, cache: CacheStatus) -> AnswerHead {
        compose::head(&self.facts, cache)
    }

    /// All pieces that are here; once it landed, all there are.
    pub fn pieces(&self) -> Vec<Bytes> {
        self.state().gathered.pieces().to_vec()
    }

    /// The next piece comes.
    pub(super) fn push(&self, piece: Bytes) {
        let mut state = self.state();
        state.gathered.push(piece);
        wake(state);
    }

    /// All came.
    pub(super) fn complete(&self) {
        let mut state = self.state();
        state.gathered.close();
        wake(state);
    }

    /// It breaks off: what was sent of it is of no use, and the rest never comes.
    pub(super) fn break_off(&self) {
        let mut state = self.state();
        state.is_broken = true;
        wake(state);
    }

    /// A reader's next piece, by its number; `Pending` until it came.
    pub(super) fn poll_piece(
        &self,
        number: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Aborted>> {
        let mut state = self.state();
        if state.is_broken {
            return Poll::Ready(Err(Aborted::Broken));
        }
        if let Some(piece) = state.gathered.pieces().get(number) {
            return Poll::Ready(Ok(piece.clone()));
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes who waits, without the lock.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn landing(bytes: u64) -> Landing {
        let facts = Facts {
            client: ClientKey([0; 16]),
            digest: Digest([0; 32]),
            request_id: String::new(),
            image: Digest([0; 32]),
            limits: JobLimits::default(),
            meta: ResultMeta::without_run(Outcome::Exited { code: 0 }),
            worker_phases: WorkerPhases::default(),
            ran_on: None,
            origin: None,
            queued: Duration::ZERO,
            position: 0,
            total: Duration::ZERO,
        };
        Landing::new(facts, bytes, None)
    }

    #[tokio::test]
    async fn readers_replay_a_landing_from_its_start_whenever_they_come() {
        let landing = landing(30_000);
        let read = async || {
            let (mut all, mut number) = (Vec::new(), 0);
            while all.len() < 30_000 {
                let piece = poll_fn(|cx| landing.poll_piece(number, cx)).await.unwrap();
                all.extend_from_slice(&piece);
                number += 1;
            }
            all
        };
        let write = async {
            for byte in 0..30 {
                // Large and small pieces mixed.
                for length in [999, 1] {
                    landing.push(vec![byte; length].into());
                    tokio::task::yield_now().await;
                }
            }
            landing.complete();
        };
        let expected: Vec<u8> = (0..30).flat_map(|byte| vec![byte; 1000]).collect();
        let (early, other, ()) = tokio::join!(read(), read(), write);
        assert!(early == expected && other == expected && read().await == expected);
        assert_eq!(landing.pieces().concat(), expected);
    }

    #[tokio::test]
    async fn a_landing_that_breaks_off_is_an_end_for_every_reader() {
        let landing = landing(10);
        landing.push(Bytes::from_static(b"begun"));
        let wait = poll_fn(|cx| landing.poll_piece(0, cx));
        let (read, ()) = tokio::join!(wait, async { landing.break_off() });
        assert_eq!(read, Err(Aborted::Broken));
    }
}
