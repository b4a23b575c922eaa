//! The pool's task: the one owner of the policy and of every VM that nobody has taken.
//!
//! Others hold a [`PoolHandle`]. A VM that is taken travels as an [`Offer`]; whatever happens to
//! the offer, its slot hears of it: leased, given back, or gone when the value is dropped. The
//! task ends when the pool was drained, or at once when `stop` is cancelled; the VMs it still
//! holds die with it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use pe_proto::Digest;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::core::Moment;
use crate::core::pool::{Decision, Event, How, Pool, PoolTerms, Slot, SlotId, Subject};
use crate::limits::REBUILD;
use crate::metrics::{Built, Metrics};
use crate::vm::{Backend, LeasedVm, ReadyVm, StartError};

mod handle;
mod inputs;
mod offer;

pub use handle::PoolHandle;
use handle::{Asked, News};
pub use inputs::Inputs;
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

/// Runs a job of our own in a VM.
pub trait Tryout: std::fmt::Debug + Send + Sync {
    /// Whether it went well. The VM is dead when this resolves; dropping the future kills it.
    fn run(&self, vm: LeasedVm, subject: Subject) -> BoxFuture<'_, bool>;
}

/// The pool, ready to run.
#[derive(Debug)]
pub struct PoolDriver {
    pool: Pool,
    backend: Arc<dyn Backend>,
    tryout: Option<Arc<dyn Tryout>>,
    inputs: Inputs,
    metrics: Metrics,
    asked: Asked,
    notices: mpsc::Receiver<Notice>,
    tickets: Tickets,
    chores: JoinSet<Chore>,
    /// VMs that are ready and that nobody has taken.
    shelf: HashMap<SlotId, Shelved>,
    /// Ways to ask for a VM on offer.
    recalls: HashMap<SlotId, CancellationToken>,
    waiting: VecDeque<oneshot::Sender<Offer>>,
    quarantine: watch::Sender<Arc<BTreeSet<Digest>>>,
    began: Instant,
}

#[derive(Debug)]
struct Shelved {
    vm: ReadyVm,
    /// Listens for its death, and ends when somebody takes it: that one hears of its death as
    /// well.
    listener: AbortHandle,
}

/// What a task of the pool ended with.
#[derive(Debug)]
enum Chore {
    Started(SlotId, How, Instant, Result<ReadyVm, StartError>),
    Died(SlotId, u32),
    Discarded(SlotId),
    Tried(SlotId, Subject, bool),
    Rebuilt(Instant, Result<(), StartError>),
}

/// Makes a pool and the handle to it. It offers VMs untried and never looks whether what they are
/// made of has changed, unless told how.
pub fn pool(
    terms: PoolTerms,
    backend: Arc<dyn Backend>,
    metrics: Metrics,
) -> (PoolDriver, PoolHandle) {
    let (tickets, notices) = Tickets::new(terms.places());
    let quarantine = watch::Sender::default();
    let (asked, handle) = handle::pair(quarantine.subscribe());
    let terms = PoolTerms { trials: false, restores: backend.wants_zygote(), ..terms };
    let pool = if backend.has_zygote() { Pool::new(terms) } else { Pool::without_zygote(terms) };
    let driver = PoolDriver {
        pool,
        backend,
        tryout: None,
        inputs: Inputs::default(),
        metrics,
        asked,
        notices,
        tickets,
        chores: JoinSet::new(),
        shelf: HashMap::new(),
        recalls: HashMap::new(),
        waiting: VecDeque::new(),
        quarantine,
        began: Instant::now(),
    };
    (driver, handle)
}

impl PoolDriver {
    /// Tries VMs and images before they are trusted.
    #[must_use]
    pub fn trying(mut self, tryout: Arc<dyn Tryout>) -> Self {
        self.pool.demand_trials();
        self.tryout = Some(tryout);
        self
    }

    /// Makes a new zygote when one of these files has changed.
    #[must_use]
    pub fn watching(mut self, inputs: Inputs) -> Self {
        self.inputs = inputs;
        self
    }

    /// Runs until drained or stopped.
    ///
    /// # Errors
    /// A defect of ours.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), PoolError> {
        let drain = self.asked.drain.clone();
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
                Some(chore) = self.chores.join_next(), if !self.chores.is_empty() => match chore {
                    Ok(chore) => self.done(chore)?,
                    // A listener of a VM that was taken.
                    Err(ended) if ended.is_cancelled() => false,
                    Err(panicked) => return Err(panicked.into()),
                },
                // Somebody can use a VM.
                Some(want) = self.asked.wants.recv() => self.wanted(want)?,
                // How jobs went, and what an operator wants.
                Some(news) = self.asked.news.recv() => self.heard(news)?,
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
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for decision in self.pool.on(event, self.began.elapsed())? {
                match decision {
                    Decision::Start(slot, how) => {
                        // A refill is when it matters, and a few calls are nothing beside it.
                        if self.inputs.changed() {
                            tracing::info!("kernel or initramfs has changed");
                            events.push_back(Event::InputsChanged);
                        }
                        self.start(slot, how);
                    }
                    Decision::Offer(slot) => self.offer(slot),
                    Decision::Recall(slot) => self.recall(slot),
                    Decision::Discard(slot) => self.discard(slot),
                    Decision::Try(slot, subject) => self.try_out(slot, subject),
                    Decision::Rebuild => self.rebuild(),
                    Decision::Quarantine(image) => self.quarantine(image, true),
                    Decision::Release(image) => self.quarantine(image, false),
                    Decision::Withhold(image) => self.withhold(image),
                    Decision::Forget(image) => self.forget(image),
                    Decision::Drained => drained = true,
                }
            }
        }
        for state in Slot::ALL {
            self.metrics.slots(state, self.pool.count(state));
        }
        self.metrics.set_held(self.pool.held());
        Ok(drained)
    }

    fn noticed(&mut self, notice: Notice) -> Result<bool, PoolError> {
        match notice {
            Notice::Leased(slot) => {
                self.recalls.remove(&slot);
                self.tell(Event::Leased(slot))
            }
            Notice::GivenBack(slot, vm) => {
                self.recalls.remove(&slot);
                self.shelve(slot, vm);
                self.tell(Event::GivenBack(slot))
            }
            Notice::Gone(slot) => {
                self.recalls.remove(&slot);
                self.tell(Event::Gone(slot))
            }
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

    fn heard(&mut self, news: News) -> Result<bool, PoolError> {
        let event = match news {
            News::Image(image, true) => Event::ImageWorked(image),
            News::Image(image, false) => Event::ImageFailed(image),
            News::Condemned(image) => Event::ImageCondemned(image),
            News::Rebuild => Event::InputsChanged,
            News::Arrived(images, heard) => {
                let mut drained = false;
                for image in images {
                    drained |= self.tell(Event::ImageArrived(image))?;
                }
                // Whoever told may be gone.
                let _ = heard.send(());
                return Ok(drained);
            }
            News::Left(image) => Event::ImageLeft(image),
        };
        self.tell(event)
    }

    fn start(&mut self, slot: SlotId, how: How) {
        let backend = Arc::clone(&self.backend);
        self.chores.spawn(async move {
            let began = Instant::now();
            Chore::Started(slot, how, began, backend.start(how).await)
        });
    }

    fn rebuild(&mut self) {
        let backend = Arc::clone(&self.backend);
        tracing::info!("zygote is built anew");
        self.chores.spawn(async move {
            let began = Instant::now();
            let late = || StartError::Late { within: REBUILD, said: String::new() };
            let rebuilt = timeout(REBUILD, backend.rebuild()).await;
            Chore::Rebuilt(began, rebuilt.unwrap_or_else(|_| Err(late())))
        });
    }

    fn offer(&mut self, slot: SlotId) {
        let Some(vm) = self.unshelve(slot) else { return };
        let recall = CancellationToken::new();
        self.recalls.insert(slot, recall.clone());
        let offer = self.tickets.offer(slot, vm, recall);
        match self.waiting.pop_front() {
            Some(want) => {
                if let Err(offer) = want.send(offer) {
                    offer.give_back();
                }
            }
            None => offer.give_back(),
        }
    }

    fn recall(&mut self, slot: SlotId) {
        if let Some(recall) = self.recalls.get(&slot) {
            recall.cancel();
        }
    }

    fn discard(&mut self, slot: SlotId) {
        let Some(vm) = self.unshelve(slot) else { return };
        self.chores.spawn(async move {
            vm.kill().await;
            Chore::Discarded(slot)
        });
    }

    fn try_out(&mut self, slot: SlotId, subject: Subject) {
        let (Some(vm), Some(tryout)) = (self.unshelve(slot), self.tryout.clone()) else {
            return;
        };
        let drain = self.asked.drain.clone();
        self.chores.spawn(async move {
            let passed = tokio::select! {
                biased;
                // Nobody needs to know any more.
                () = drain.cancelled() => false,
                // It ends in time: it has a clock, as every job has.
                passed = tryout.run(vm.lease(), subject) => passed,
            };
            Chore::Tried(slot, subject, passed)
        });
    }

    fn quarantine(&mut self, image: Digest, out: bool) {
        if out {
            tracing::error!(%image, "image is not offered for now: a job of ours does not run in it");
        } else {
            tracing::info!(%image, "image is offered");
        }
        self.leave_out(image, out);
    }

    fn withhold(&mut self, image: Digest) {
        tracing::info!(%image, "image has come and is tried");
        self.leave_out(image, true);
    }

    fn forget(&mut self, image: Digest) {
        self.leave_out(image, false);
    }

    fn leave_out(&mut self, image: Digest, out: bool) {
        self.quarantine.send_modify(|images| {
            let images = Arc::make_mut(images);
            if out {
                images.insert(image)
            } else {
                images.remove(&image)
            };
        });
        self.metrics.quarantined(self.quarantine.borrow().len());
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
            Chore::Died(slot, pid) => {
                let here = self.shelf.get(&slot).is_some_and(|shelved| shelved.vm.pid() == pid);
                if !here {
                    // It was taken in the same moment; whoever has it hears of its death as well.
                    return Ok(false);
                }
                tracing::warn!(%slot, pid, "ready vm died");
                self.metrics.ready_vm_died();
                // Only to be reaped, which does not block any more.
                self.shelf.remove(&slot);
                self.tell(Event::Gone(slot))
            }
            Chore::Discarded(slot) => self.tell(Event::Gone(slot)),
            Chore::Tried(slot, subject, passed) => {
                self.metrics.trial(subject, passed);
                self.tell(if passed { Event::TrialPassed(slot) } else { Event::TrialFailed(slot) })
            }
            Chore::Rebuilt(began, Ok(())) => {
                tracing::info!(took_ms = ms(began.elapsed()), "zygote was built anew");
                self.metrics.zygote(Built::Built);
                self.tell(Event::Rebuilt)
            }
            Chore::Rebuilt(began, Err(error)) => {
                let error = crate::chain(&error);
                tracing::error!(took_ms = ms(began.elapsed()), error, "zygote was not built anew");
                self.metrics.zygote(Built::Failed);
                self.tell(Event::RebuildFailed)
            }
        }
    }

    /// Keeps a VM until somebody takes it, and listens for its death.
    fn shelve(&mut self, slot: SlotId, vm: ReadyVm) {
        let (pid, exited) = (vm.pid(), vm.exited());
        let listener = self.chores.spawn(async move {
            exited.await;
            Chore::Died(slot, pid)
        });
        self.shelf.insert(slot, Shelved { vm, listener });
    }

    fn unshelve(&mut self, slot: SlotId) -> Option<ReadyVm> {
        let shelved = self.shelf.remove(&slot);
        if shelved.is_none() {
            tracing::error!(%slot, "vm is not on the shelf");
        }
        let Shelved { vm, listener } = shelved?;
        listener.abort();
        Some(vm)
    }
}

fn ms(duration: Moment) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
