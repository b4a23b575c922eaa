//! How everybody else speaks to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pe_proto::link::LeaseId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::messages::{Delivery, Gone, JobVerdict, Message, Order, SlotVerdict};
use super::notice::Notice;
use crate::core::broker::{Census, Claim, Loss, NotHeld, Offer, ParkRefused, Refusal, Submission};
use crate::core::ids::{Fit, JobId, SlotId, WorkerId};
use crate::core::moment::Moment;

/// More is going on than the driver's inbox has places for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many jobs and slots at a time")]
pub struct Busy;

/// A cheap copy of the way to the driver.
#[derive(Debug, Clone)]
pub struct Handle {
    outbox: mpsc::Sender<Message>,
    census: watch::Receiver<Census>,
    names: Arc<AtomicU64>,
    epoch: Instant,
    poll: Duration,
}

impl Handle {
    pub(super) fn new(
        outbox: mpsc::Sender<Message>,
        census: watch::Receiver<Census>,
        epoch: Instant,
        poll: Duration,
    ) -> Self {
        Self { outbox, census, names: Arc::new(AtomicU64::new(1)), epoch, poll }
    }

    /// How many of everything there are, as of the last change.
    pub fn census(&self) -> watch::Receiver<Census> {
        self.census.clone()
    }

    /// The longest that a parked request waits.
    pub fn poll(&self) -> Duration {
        self.poll
    }

    /// The time as the driver knows it.
    pub fn now(&self) -> Moment {
        Moment(self.epoch.elapsed())
    }

    /// How long the job that waits longest has waited.
    pub fn queue_age(&self) -> Duration {
        let oldest = self.census.borrow().oldest;
        oldest.map(|oldest| self.now().since(oldest)).unwrap_or_default()
    }

    /// A worker said hello. It is gone when the visit is dropped.
    ///
    /// # Errors
    /// There is no room for it.
    pub async fn arrive(&self, slots_max: usize, offer: Offer) -> Result<Visit, Busy> {
        let worker = WorkerId(self.name());
        let notice = Notice::reserve(&self.outbox, Gone::Worker(worker))?;
        self.send(Message::Arrive { worker, slots_max, offer }).await;
        Ok(Visit { worker, _notice: notice })
    }

    /// A worker's state changed.
    pub async fn change(&self, worker: WorkerId, offer: Offer, is_draining: bool) {
        self.send(Message::Change { worker, offer, is_draining }).await;
    }

    /// Parks a slot until it gets a job or its time is over. The slot, and its lease if it came
    /// to that, are gone when what this returns is dropped.
    ///
    /// # Errors
    /// There is no room for it.
    ///
    /// # Cancel safety
    /// A dropped future is a slot that is gone.
    pub async fn park(
        &self,
        worker: WorkerId,
    ) -> Result<(Result<SlotVerdict, ParkRefused>, SlotHold), Busy> {
        let slot = SlotId(self.name());
        let hold = SlotHold(Notice::reserve(&self.outbox, Gone::Slot(slot))?);
        let until = Moment(self.epoch.elapsed()).after(jittered(self.poll, slot.0));
        let (verdict, answer) = oneshot::channel();
        self.send(Message::Park { slot, worker, until, verdict }).await;
        Ok((answer.await.unwrap_or(Ok(SlotVerdict::Release)), hold))
    }

    /// Hands in a job. It is withdrawn, or its lease cancelled, when what this returns is dropped.
    ///
    /// # Errors
    /// There is no room for it.
    pub async fn submit(
        &self,
        claim: impl Into<Claim>,
        order: Arc<Order>,
    ) -> Result<RunningJob, Busy> {
        let job = JobId(self.name());
        let notice = Notice::reserve(&self.outbox, Gone::Job(job))?;
        let fit = Fit { arch: order.spec.arch, image: order.spec.image };
        let wall = Duration::from_millis(order.spec.limits.wall_ms);
        let submission = Submission { job, claim: claim.into(), fit, wall };
        let (sender, verdict) = oneshot::channel();
        self.send(Message::Submit { submission, order, verdict: sender }).await;
        Ok(RunningJob { job, handle: self.clone(), verdict, _notice: notice })
    }

    /// Brings the result for a lease to the client that waits for it.
    ///
    /// # Errors
    /// The lease is not this worker's, or no longer.
    pub async fn deliver(
        &self,
        worker: WorkerId,
        lease: LeaseId,
        delivery: Delivery,
    ) -> Result<(), NotHeld> {
        let (sender, answer) = oneshot::channel();
        let delivery = Box::new(delivery);
        self.send(Message::Deliver { worker, lease, delivery, answer: sender }).await;
        answer.await.unwrap_or(Err(NotHeld))
    }

    /// From now on jobs are refused; those that are known go on.
    pub async fn drain(&self) {
        self.send(Message::Drain).await;
    }

    /// Releases all parked slots.
    pub async fn release_all(&self) {
        self.send(Message::ReleaseAll).await;
    }

    fn name(&self) -> u64 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }

    /// If the driver is gone, the message is dropped, and with it whatever somebody waits for.
    async fn send(&self, message: Message) {
        let _ = self.outbox.send(message).await;
    }
}

/// A worker's visit.
#[derive(Debug)]
pub struct Visit {
    /// Its name.
    pub worker: WorkerId,
    _notice: Notice,
}

/// A slot's place with the broker, parked or leased.
#[derive(Debug)]
pub struct SlotHold(#[expect(dead_code, reason = "held for its drop")] Notice);

/// A job that was handed in.
#[derive(Debug)]
pub struct RunningJob {
    job: JobId,
    handle: Handle,
    verdict: oneshot::Receiver<JobVerdict>,
    _notice: Notice,
}

impl RunningJob {
    /// Waits for what becomes of it. To be called once, and once more after each retry.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not returned is returned by the next call.
    pub async fn verdict(&mut self) -> JobVerdict {
        (&mut self.verdict).await.unwrap_or(JobVerdict::Refused(Refusal::Draining))
    }

    /// The result that had begun is useless: the job is leased again, or refused.
    pub async fn retry(&mut self, loss: Loss) {
        let (sender, verdict) = oneshot::channel();
        self.verdict = verdict;
        self.handle.send(Message::Retry { job: self.job, loss, verdict: sender }).await;
    }
}

/// Between half of the time and all of it, spread by the slot's number, so that polls that were
/// parked together do not end together.
fn jittered(poll: Duration, number: u64) -> Duration {
    // The multiplier is that of Fibonacci hashing: neighbours land far apart.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    let half = poll / 2;
    half + half.mul_f64(f64::from(u16::try_from(spread).unwrap_or(u16::MAX)) / 65536.0)
}
