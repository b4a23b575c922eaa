//! The pool's task: the one owner of the policy and of every VM that nobody has taken.
//!
//! Others hold a [`PoolHandle`]. A VM that is taken travels as an [`Offer`]; whatever happens to
//! the offer, its slot hears of it: leased, given back, or gone when the value is dropped. The
//! task ends when the pool was drained, or at once when `stop` is cancelled; the VMs it still
//! holds die with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::core::Moment;
use crate::core::pool::{Decision, Event, How, Pool, PoolTerms, Slot, SlotId};
use crate::limits::POOL_QUEUE;
use crate::metrics::Metrics;
use crate::vm::{Backend, ReadyVm, StartError};

mod offer;

pub use offer::{LeasedSlot, Offer};
use offer::{Notice, Tickets};

/// The pool's task failed: a defect of ours, after which the worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// An event the policy did not expect.
    #[error("pool policy refused an event")]
    Policy(#[from] crate::core::pool::Refused),
    /// A task of the pool panicked.
    #[error("a task of the pool ended abnormally")]
    Task(#[from] tokio::task::JoinError),
}

/// How others reach the pool.
#[derive(Debug, Clone)]
pub struct PoolHandle {
    wants: mpsc::Sender<oneshot::Sender<Offer>>,
    drain: CancellationToken,
}

impl PoolHandle {
    /// The next VM that is ready; `None` once the pool is gone.
    ///
    /// # Cancel safety
    /// A VM that was on its way goes back to the pool.
    pub async fn take(&self) -> Option<Offer> {
        let (reply, answer) = oneshot::channel();
        self.wants.send(reply).await.ok()?;
        Taking(answer).await
    }

    /// Starts nothing more; what waits is killed.
    pub fn drain(&self) {
        self.drain.cancel();
    }
}

/// The wait for an offer; when it is given up, an offer that came in the same moment goes back.
struct Taking(oneshot::Receiver<Offer>);

impl Future for Taking {
    type Output = Option<Offer>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.0.poll_unpin(context).map(Result::ok)
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.close();
        if let Ok(offer) = self.0.try_recv() {
            offer.give_back();
        }
    }
}

/// The pool, ready to run.
#[derive(Debug)]
pub struct PoolDriver {
    pool: Pool,
    backend: Arc<dyn Backend>,
    metrics: Metrics,
    wants: mpsc::Receiver<oneshot::Sender<Offer>>,
    notices: mpsc::Receiver<Notice>,
    tickets: Tickets,
    drain: CancellationToken,
    chores: JoinSet<Chore>,
    /// VMs that are ready and that nobody has taken.
    shelf: HashMap<SlotId, Shelved>,
    waiting: VecDeque<oneshot::Sender<Offer>>,
    vms_made: u64,
    began: Instant,
}

#[derive(Debug)]
struct Shelved {
    number: u64,
    vm: ReadyVm,
}

/// What a task of the pool ended with.
#[derive(Debug)]
enum Chore {
    Started(SlotId, How, Instant, Result<ReadyVm, StartError>),
    Died(SlotId, u64),
    Discarded(SlotId),
}

/// Makes a pool and the handle to it.
pub fn pool(
    terms: PoolTerms,
    backend: Arc<dyn Backend>,
    metrics: Metrics,
) -> (PoolDriver, PoolHandle) {
    let (want, wants) = mpsc::channel(POOL_QUEUE);
    let (tickets, notices) = Tickets::new(terms.slots);
    let drain = CancellationToken::new();
    let driver = PoolDriver {
        pool: Pool::new(terms),
        backend,
        metrics,
        wants,
        notices,
        tickets,
        drain: drain.clone(),
        chores: JoinSet::new(),
        shelf: HashMap::new(),
        waiting: VecDeque::new(),
        vms_made: 0,
        began: Instant::now(),
    };
    (driver, PoolHandle { wants: want, drain })
}

impl PoolDriver {
    /// Runs until drained or stopped.
    ///
    /// # Errors
    /// A defect of ours.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), PoolError> {
        let drain = self.drain.clone();
        let mut drained = self.tell(Event::Tick)?;
        while !drained {
            let due = self.pool.due().map(|due| self.began + due);
            drained = tokio::select! {
                biased;
                // At once means now.
                () = stop.cancelled() => return Ok(()),
                // Slots that came free are refilled before anything else is looked at.
                Some(notice) = self.notices.recv() => self.noticed(notice)?,
                // VMs that became ready, or died.
                Some(chore) = self.chores.join_next(), if !self.chores.is_empty() => {
                    self.done(chore?)?
                }
                // Somebody can use a VM.
                Some(want) = self.wants.recv() => self.wanted(want)?,
                // A back-off ended.
                () = sleep_until(due.unwrap_or(self.began)), if due.is_some() => {
                    self.tell(Event::Tick)?
                }
                // Nothing new is wanted.
                () = drain.cancelled(), if !self.pool.is_draining() => {
                    tracing::info!("pool drains");
                    self.tell(Event::Drain)?
                }
            };
        }
        tracing::info!("pool drained");
        Ok(())
    }

    /// Tells the policy and does what it decides. True once drained.
    fn tell(&mut self, event: Event) -> Result<bool, PoolError> {
        let mut drained = false;
        for decision in self.pool.on(event, self.now())? {
            match decision {
                Decision::Start(slot, how) => self.start(slot, how),
                Decision::Offer(slot) => self.offer(slot),
                Decision::Discard(slot) => self.discard(slot),
                Decision::Drained => drained = true,
            }
        }
        for state in Slot::ALL {
            self.metrics.slots(state, self.pool.count(state));
        }
        Ok(drained)
    }

    fn noticed(&mut self, notice: Notice) -> Result<bool, PoolError> {
        match notice {
            Notice::Leased(slot) => self.tell(Event::Leased(slot)),
            Notice::GivenBack(slot, vm) => {
                self.shelve(slot, vm);
                self.tell(Event::GivenBack(slot))
            }
            Notice::Gone(slot) => self.tell(Event::Gone(slot)),
        }
    }

    fn wanted(&mut self, want: oneshot::Sender<Offer>) -> Result<bool, PoolError> {
        // Those who gave up are forgotten here, so that the list cannot grow.
        let before = self.waiting.len();
        self.waiting.retain(|waiting| !waiting.is_closed());
        for _ in self.waiting.len()..before {
            self.tell(Event::Unwanted)?;
        }
        self.waiting.push_back(want);
        self.tell(Event::Wanted)
    }

    fn start(&mut self, slot: SlotId, how: How) {
        let backend = Arc::clone(&self.backend);
        self.chores.spawn(async move {
            let began = Instant::now();
            Chore::Started(slot, how, began, backend.start(how).await)
        });
    }

    fn offer(&mut self, slot: SlotId) {
        let Some(shelved) = self.shelf.remove(&slot) else {
            tracing::error!(%slot, "offered vm is not on the shelf");
            return;
        };
        let offer = self.tickets.offer(slot, shelved.vm);
        match self.waiting.pop_front() {
            Some(want) => {
                if let Err(offer) = want.send(offer) {
                    offer.give_back();
                }
            }
            None => offer.give_back(),
        }
    }

    fn discard(&mut self, slot: SlotId) {
        if let Some(shelved) = self.shelf.remove(&slot) {
            self.chores.spawn(async move {
                shelved.vm.kill().await;
                Chore::Discarded(slot)
            });
        }
    }

    fn done(&mut self, chore: Chore) -> Result<bool, PoolError> {
        match chore {
            Chore::Started(slot, how, began, Ok(vm)) => {
                let took = began.elapsed();
                tracing::info!(%slot, pid = vm.pid(), ?how, took_ms = ms(took), "vm ready");
                self.metrics.vm_started(how, took);
                self.shelve(slot, vm);
                self.tell(Event::Started(slot))
            }
            Chore::Started(slot, how, began, Err(error)) => {
                let took_ms = ms(began.elapsed());
                let error = crate::chain(&error);
                tracing::error!(%slot, ?how, took_ms, error, "vm did not become ready");
                self.metrics.vm_start_failed(how);
                self.tell(Event::StartFailed(slot))
            }
            Chore::Died(slot, number) => {
                let here = self.shelf.get(&slot).is_some_and(|shelved| shelved.number == number);
                if !here {
                    // It was taken; whoever has it hears of its death as well.
                    return Ok(false);
                }
                tracing::warn!(%slot, "ready vm died");
                self.metrics.ready_vm_died();
                // Only to be reaped, which does not block any more.
                self.shelf.remove(&slot);
                self.tell(Event::Gone(slot))
            }
            Chore::Discarded(slot) => self.tell(Event::Gone(slot)),
        }
    }

    /// Keeps a VM until somebody takes it, and listens for its death.
    fn shelve(&mut self, slot: SlotId, vm: ReadyVm) {
        self.vms_made += 1;
        let number = self.vms_made;
        let exited = vm.exited();
        self.chores.spawn(async move {
            exited.await;
            Chore::Died(slot, number)
        });
        self.shelf.insert(slot, Shelved { number, vm });
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }
}

fn ms(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
