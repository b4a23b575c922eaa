//! How everybody else speaks to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pe_proto::link::LeaseId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::fleet::Survey;
use super::messages::{Delivery, Gone, JobVerdict, Message, Order, SlotVerdict};
use super::notice::Notice;
use super::places::{Busy, Places};
use super::visits::Profile;
use crate::core::broker::{
    Arrival, Census, Claim, Fetches, Loss, Offer, ParkRefused, Refusal, Spare, Submission,
    Whereabouts,
};
use crate::core::ids::{Fit, JobId, NOBODY, SlotId, WorkerId};
use crate::core::moment::Moment;
use crate::core::trust::ledger::Fault;

/// A cheap copy of the way to the driver.
#[derive(Debug, Clone)]
pub struct Handle {
    outbox: mpsc::Sender<Message>,
    census: watch::Receiver<Census>,
    wanted: watch::Receiver<Arc<[Fit]>>,
    places: Places,
    names: Arc<AtomicU64>,
    epoch: Instant,
    poll: Duration,
}

impl Handle {
    pub(super) fn new(
        outbox: mpsc::Sender<Message>,
        census: watch::Receiver<Census>,
        wanted: watch::Receiver<Arc<[Fit]>>,
        epoch: Instant,
        poll: Duration,
    ) -> Self {
        let (places, names) = (Places::new(), Arc::new(AtomicU64::new(1)));
        Self { outbox, census, wanted, places, names, epoch, poll }
    }

    /// How many of everything there are, as of the last change.
    pub fn census(&self) -> watch::Receiver<Census> {
        self.census.clone()
    }

    /// What jobs wait for, the most urgent first, while there is anybody who could fetch it.
    pub fn wanted(&self) -> watch::Receiver<Arc<[Fit]>> {
        self.wanted.clone()
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
    /// There is no room for it, or it is here too often.
    pub async fn arrive(&self, arrival: Arrival, profile: Profile) -> Result<Visit, Busy> {
        let worker = WorkerId(self.name());
        let place = self.places.worker()?;
        let notice = Notice::reserve(&self.outbox, place, Gone::Worker(worker))?;
        let (answer, answered) = oneshot::channel();
        let profile = Box::new(profile);
        self.send(Message::Arrive { worker, arrival, profile, answer }).await;
        let may_stay = answered.await.unwrap_or(true);
        if may_stay { Ok(Visit { worker, _notice: notice }) } else { Err(Busy::Visits) }
    }

    /// A worker's state changed.
    pub async fn change(&self, worker: WorkerId, offer: Offer, is_draining: bool) {
        self.send(Message::Change { worker, offer, is_draining }).await;
    }

    /// A worker told what it could fetch.
    pub async fn fetches(&self, worker: WorkerId, fetches: Fetches) {
        self.send(Message::Fetches { worker, fetches }).await;
    }

    /// Where a job is that was handed in, and is not answered yet.
    pub async fn whereabouts(&self, order: &Order) -> Option<Whereabouts> {
        let job = order.job()?;
        let (answer, told) = oneshot::channel();
        self.send(Message::Whereabouts { job, answer }).await;
        told.await.ok().flatten()
    }

    /// Parks a slot until it gets a job or its time is over. If it `signs`,
    /// [`SlotHold::accepted`] will be said of its lease. The slot, and its lease if it came
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
        signs: bool,
    ) -> Result<(Result<SlotVerdict, ParkRefused>, SlotHold), Busy> {
        let slot = SlotId(self.name());
        let notice = Notice::reserve(&self.outbox, self.places.slot()?, Gone::Slot(slot))?;
        let hold = SlotHold { outbox: self.outbox.clone(), _notice: notice };
        let until = Moment(self.epoch.elapsed()).after(jittered(self.poll, slot.0));
        let (verdict, answer) = oneshot::channel();
        self.send(Message::Park { slot, worker, until, signs, verdict }).await;
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
        self.hand_in(claim.into(), order, None).await
    }

    /// Hands in a job that nobody waits for: it gets a slot that is to spare, or is refused.
    ///
    /// # Errors
    /// There is no room for it.
    pub async fn submit_spare(&self, spare: Spare, order: Arc<Order>) -> Result<RunningJob, Busy> {
        self.hand_in(NOBODY.into(), order, Some(spare)).await
    }

    async fn hand_in(
        &self,
        claim: Claim,
        order: Arc<Order>,
        spare: Option<Spare>,
    ) -> Result<RunningJob, Busy> {
        let job = JobId(self.name());
        let notice = Notice::reserve(&self.outbox, self.places.job()?, Gone::Job(job))?;
        order.name(job);
        let fit = Fit { arch: order.spec.arch, image: order.spec.image };
        let wall = Duration::from_millis(order.spec.limits.wall_ms);
        let submission = Submission { job, claim, fit, wall, spare };
        let (sender, verdict) = oneshot::channel();
        self.send(Message::Submit { submission, order, verdict: sender }).await;
        Ok(RunningJob { job, outbox: self.outbox.clone(), verdict, _notice: notice })
    }

    /// Brings the result for a lease to the client that waits for it. What became of it, its
    /// receipt says.
    pub async fn deliver(&self, worker: WorkerId, lease: LeaseId, delivery: Box<Delivery>) {
        self.send(Message::Deliver { worker, lease, delivery }).await;
    }

    /// A worker did something wrong.
    pub async fn strike(&self, name: Arc<str>, fault: Fault) {
        self.send(Message::Strike { name, fault }).await;
    }

    /// Everything there is, for the operator. Nothing if the driver is gone.
    pub async fn survey(&self) -> Survey {
        let (answer, survey) = oneshot::channel();
        self.send(Message::Survey(answer)).await;
        survey.await.unwrap_or_default()
    }

    /// Puts a worker into quarantine until told otherwise, or takes it out of any and forgets its
    /// strikes. It holds for its name, also when it dials again. `false` if it is not here.
    pub async fn quarantine(&self, worker: WorkerId, is_on: bool) -> bool {
        let (answer, done) = oneshot::channel();
        self.send(Message::OrderQuarantine { worker, is_on, answer }).await;
        done.await.unwrap_or(false)
    }

    /// Gives a worker no more leases, or does again. What it has it finishes, within the deadline
    /// of its last lease. It holds for its name, also when it dials again. `false` if it is not
    /// here.
    pub async fn drain_worker(&self, worker: WorkerId, is_on: bool) -> bool {
        let (answer, done) = oneshot::channel();
        self.send(Message::OrderDrain { worker, is_on, answer }).await;
        done.await.unwrap_or(false)
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
pub struct SlotHold {
    outbox: mpsc::Sender<Message>,
    _notice: Notice,
}

impl SlotHold {
    /// The worker showed that the slot's lease arrived. Where the driver has no time for that,
    /// it is not told: at worst a job is run twice.
    pub fn accepted(&self, lease: LeaseId) {
        let _ = self.outbox.try_send(Message::Accepted { lease });
    }
}

/// A job that was handed in.
#[derive(Debug)]
pub struct RunningJob {
    job: JobId,
    outbox: mpsc::Sender<Message>,
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
        // If the driver is gone, whoever waits for the verdict is told so.
        let _ = self.outbox.send(Message::Retry { job: self.job, loss, verdict: sender }).await;
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
