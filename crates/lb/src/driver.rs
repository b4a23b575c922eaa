//! The one task that owns the broker.
//!
//! It turns messages and the passing of time into the broker's events, and the broker's decisions
//! into answers to those who wait: a parked request gets a job or its release, a job gets its
//! result's stream or a refusal, a lease's stream gets its end. It never does I/O and never waits
//! for anybody but for messages and timers.
//!
//! It ends when all [`Handle`]s are gone. If it ended otherwise, everybody who waits for it is
//! told that the load balancer is draining; nobody waits for ever.

mod fleet;
mod handle;
mod messages;
mod notice;
mod places;
mod visits;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::core::broker::{Broker, Census, Decision, ParkRefused, Terms};
use crate::core::ids::{Fit, JobId, SlotId};
use crate::core::moment::Moment;
use crate::core::trust::ledger::Fault;
use crate::limits::DRIVER_MESSAGES_MAX;
use crate::metrics::Metrics;

pub use fleet::{LeaseRow, QueueRow, Survey, WorkerRow};
pub use handle::{Handle, RunningJob, SlotHold, Visit};
pub use messages::{
    Assignment, Delivery, JobBody, JobVerdict, LeaseEnd, Order, PieceLost, Pieces, Receipt,
    SlotVerdict,
};
pub use places::Busy;
pub use visits::Profile;

use messages::{Gone, Message};
use visits::Visits;

/// Messages taken at a time, so that the census is counted once for many.
const BATCH: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Driver {
    broker: Broker,
    visits: Visits,
    epoch: Instant,
    inbox: mpsc::Receiver<Message>,
    census: watch::Sender<Census>,
    wanted: watch::Sender<Arc<[Fit]>>,
    metrics: Metrics,
    parked: HashMap<SlotId, oneshot::Sender<Result<SlotVerdict, ParkRefused>>>,
    leases: HashMap<SlotId, oneshot::Sender<LeaseEnd>>,
    jobs: HashMap<JobId, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    order: Arc<Order>,
    /// No client waits for it.
    is_spare: bool,
    /// Sum of all waits for a lease.
    queued: std::time::Duration,
    /// In the queue, when it came.
    position: usize,
    verdict: Option<oneshot::Sender<JobVerdict>>,
}

impl Driver {
    /// A driver to be run, and the handle to it. Time begins now.
    pub fn new(terms: Terms, poll: std::time::Duration, metrics: Metrics) -> (Self, Handle) {
        let (outbox, inbox) = mpsc::channel(DRIVER_MESSAGES_MAX);
        let (census, observer) = watch::channel(Census::default());
        let (wanted, wants) = watch::channel(Arc::default());
        let epoch = Instant::now();
        let driver = Self {
            broker: Broker::new(terms),
            visits: Visits::new(),
            epoch,
            inbox,
            census,
            wanted,
            metrics,
            parked: HashMap::new(),
            leases: HashMap::new(),
            jobs: HashMap::new(),
        };
        (driver, Handle::new(outbox, observer, wants, epoch, poll))
    }

    /// Runs until all handles are gone.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let timer = self.broker.next_timer().map(|at| self.epoch + at.0);
            let due = async {
                match timer {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // Messages first: a result that came in time beats its deadline. Timers are not
                // starved, as what is due is done after every batch.
                taken = self.inbox.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    for message in batch.drain(..) {
                        self.apply(message);
                        self.carry_out();
                    }
                }
                // Something is due.
                () = due => {}
            }
            self.broker.tick(self.now());
            self.carry_out();
            self.publish();
        }
    }

    fn now(&self) -> Moment {
        Moment(self.epoch.elapsed())
    }

    fn apply(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Arrive { worker, arrival, profile, answer } => {
                let _ = answer.send(self.admit(worker, arrival, *profile));
            }
            Message::Change { worker, offer, is_draining } => {
                self.broker.worker_changes(worker, offer, is_draining, now);
            }
            Message::Fetches { worker, fetches } => self.broker.worker_fetches(worker, fetches),
            Message::Gone(Gone::Worker(worker)) => {
                self.broker.worker_leaves(worker, now);
                // What it lost is held against it while it is still known.
                self.carry_out();
                self.visits.leave(worker);
            }
            Message::Park { slot, worker, until, signs, verdict } => {
                self.parked.insert(slot, verdict);
                if let Err(refused) = self.broker.park(slot, worker, until, signs, now) {
                    if let Some(verdict) = self.parked.remove(&slot) {
                        // Whoever asked may be gone; then there is nobody to tell.
                        let _ = verdict.send(Err(refused));
                    }
                }
            }
            Message::Gone(Gone::Slot(slot)) => {
                self.parked.remove(&slot);
                if self.leases.remove(&slot).is_some() {
                    self.metrics.leases_lost.inc();
                }
                self.broker.slot_gone(slot, now);
            }
            Message::Submit { submission, order, verdict } => {
                let queued = std::time::Duration::ZERO;
                let verdict = Some(verdict);
                let is_spare = submission.spare.is_some();
                let waiter = Waiter { order, is_spare, queued, position: 0, verdict };
                self.jobs.insert(submission.job, waiter);
                self.broker.submit(submission, now);
            }
            Message::Retry { job, loss, verdict } => {
                if let Some(waiter) = self.jobs.get_mut(&job) {
                    waiter.verdict = Some(verdict);
                }
                self.broker.result_lost(job, loss, now);
            }
            Message::Gone(Gone::Job(job)) => {
                self.jobs.remove(&job);
                self.broker.close(job, now);
            }
            Message::Accepted { lease } => self.broker.accepted(lease, now),
            Message::Deliver { worker, lease, delivery } => {
                match self.broker.begin_result(worker, lease, now) {
                    Ok(begun) => {
                        if begun.is_hedge {
                            self.metrics.trust.hedges_won.inc();
                        }
                        self.deliver(begun.job, delivery);
                    }
                    Err(not_held) => {
                        self.strike_for(worker, not_held);
                        let _ = delivery.receipt.send(Receipt::NotHeld(not_held));
                    }
                }
            }
            Message::Strike { name, fault } => self.strike(&name, fault),
            Message::Survey(answer) => {
                let _ = answer.send(self.survey());
            }
            Message::Whereabouts { job, answer } => {
                let _ = answer.send(self.broker.whereabouts(job, now));
            }
            Message::OrderQuarantine { worker, is_on, answer } => {
                let _ = answer.send(self.order_quarantine(worker, is_on));
            }
            Message::OrderDrain { worker, is_on, answer } => {
                let _ = answer.send(self.order_drain(worker, is_on));
            }
            Message::Drain => self.broker.drain(),
            Message::ReleaseAll => self.broker.release_all(),
        }
    }

    fn deliver(&mut self, job: JobId, delivery: Box<Delivery>) {
        let Some(waiter) = self.jobs.get_mut(&job) else {
            return;
        };
        if let Some(verdict) = waiter.verdict.take() {
            // A client that left meanwhile drops the stream, which tells the worker.
            let Waiter { queued, position, .. } = *waiter;
            let _ = verdict.send(JobVerdict::Delivered { delivery, queued, position });
        }
    }

    fn carry_out(&mut self) {
        while let Some(decision) = self.broker.next_decision() {
            match decision {
                Decision::Lease { lease, slot, job, deadline, waited, position, is_hedge } => {
                    let is_spare = self.jobs.get(&job).is_some_and(|waiter| waiter.is_spare);
                    if is_hedge {
                        self.metrics.trust.hedges.inc();
                    } else if is_spare {
                        self.metrics.confirm.runs.inc();
                    } else {
                        self.metrics.match_wait.observe(waited.as_secs_f64());
                        self.metrics.ops.matched(waited);
                    }
                    let (Some(verdict), Some(waiter)) =
                        (self.parked.remove(&slot), self.jobs.get_mut(&job))
                    else {
                        self.broker.handover_failed(lease, self.now());
                        continue;
                    };
                    waiter.queued += waited;
                    waiter.position = position;
                    waiter.order.lease();
                    let (end, ended) = oneshot::channel();
                    let order = Arc::clone(&waiter.order);
                    let assignment = Assignment { lease, order, deadline, ended };
                    if verdict.send(Ok(SlotVerdict::Lease(Box::new(assignment)))).is_ok() {
                        self.leases.insert(slot, end);
                    } else {
                        // Its stream just ended; word of it is on its way.
                        self.broker.handover_failed(lease, self.now());
                    }
                }
                Decision::Release { slot } => {
                    if let Some(verdict) = self.parked.remove(&slot) {
                        let _ = verdict.send(Ok(SlotVerdict::Release));
                    }
                }
                Decision::Settle { slot } => self.end_lease(slot, LeaseEnd::Settled),
                Decision::Cancel { slot } => {
                    self.metrics.leases_cancelled.inc();
                    self.end_lease(slot, LeaseEnd::Cancelled);
                }
                Decision::Refuse { job, refusal } => {
                    self.tell(job, JobVerdict::Refused(refusal));
                }
                Decision::Overdue { job } => {
                    self.metrics.leases_overdue.inc();
                    self.tell(job, JobVerdict::Overdue);
                }
                Decision::Lost { worker } => self.strike_visit(worker, Fault::Lost),
            }
        }
    }

    fn end_lease(&mut self, slot: SlotId, end: LeaseEnd) {
        if let Some(ended) = self.leases.remove(&slot) {
            let _ = ended.send(end);
        }
    }

    /// The last word to a job.
    fn tell(&mut self, job: JobId, last: JobVerdict) {
        if let Some(Waiter { verdict: Some(verdict), .. }) = self.jobs.remove(&job) {
            let _ = verdict.send(last);
        }
    }

    fn publish(&mut self) {
        if let Some(wanted) = self.broker.wanted() {
            self.wanted.send_replace(wanted.into());
        }
        let census = self.broker.census();
        self.metrics.observe_census(&census);
        self.census.send_if_modified(|last| {
            let is_new = *last != census;
            *last = census;
            is_new
        });
    }
}
