//! The driver with fakes for the shell and a clock that only moves when all wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pe_proto::api::ProblemKind;
use pe_proto::link::{DoneHead, LeaseId, SessionId};
use pe_proto::outcome::{RanOn, WorkerPhases};
use pe_proto::{Arch, Digest, JobLimits, JobSpec, Outcome, ResultMeta};
use tokio::task::JoinSet;

use super::*;
use crate::core::broker::{Loss, Offer, Refusal};
use crate::core::ids::ClientKey;

const POLL: Duration = Duration::from_secs(50);
const CLIENT: ClientKey = ClientKey([1; 16]);

fn terms() -> Terms {
    Terms {
        queue_jobs_max: 8,
        queue_wait: Duration::from_secs(20),
        releases_max: 2,
        reports_max: 1,
        lease_grace: Duration::from_secs(5),
        worker_grace: Duration::from_secs(30),
    }
}

/// A driver that runs; it stops when this is dropped.
struct Rig {
    handle: Handle,
    census: watch::Receiver<Census>,
    _running: JoinSet<()>,
}

impl Rig {
    fn new() -> Self {
        let (driver, handle) = Driver::new(terms(), POLL, Metrics::new().unwrap());
        let mut running = JoinSet::new();
        running.spawn(driver.run());
        Self { census: handle.census(), handle, _running: running }
    }

    async fn worker(&self) -> Visit {
        let offer = Offer::new(Arch::X86_64, vec![Digest([1; 32])]);
        self.handle.arrive(16, offer).await.unwrap()
    }

    /// Parks a slot in a task of its own, so that it is parked while the test goes on.
    fn park(&self, visit: &Visit) -> JoinSet<(Option<Box<Assignment>>, SlotHold)> {
        let (handle, worker) = (self.handle.clone(), visit.worker);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (verdict, hold) = handle.park(worker).await.unwrap();
            match verdict.unwrap() {
                SlotVerdict::Lease(assignment) => (Some(assignment), hold),
                SlotVerdict::Release => (None, hold),
            }
        });
        task
    }

    async fn submit(&self) -> RunningJob {
        self.handle.submit(CLIENT, order()).await.unwrap()
    }

    async fn until(&mut self, what: impl FnMut(&Census) -> bool) {
        self.census.wait_for(what).await.unwrap();
    }
}

async fn lease(
    mut parked: JoinSet<(Option<Box<Assignment>>, SlotHold)>,
) -> (Box<Assignment>, SlotHold) {
    let (assignment, hold) = parked.join_next().await.unwrap().unwrap();
    (assignment.expect("a lease"), hold)
}

fn order() -> Arc<Order> {
    let spec = JobSpec {
        image: Digest([1; 32]),
        arch: Arch::X86_64,
        args: vec!["true".to_owned()],
        env: Vec::new(),
        cwd: "/".to_owned(),
        user: String::new(),
        outputs: Vec::new(),
        limits: JobLimits::default(),
    };
    Arc::new(Order::new("test", spec, JobBody::default()))
}

fn delivery(lease: LeaseId) -> (Delivery, oneshot::Receiver<Receipt>) {
    let text = String::new;
    let head = DoneHead {
        session: SessionId([0; 16]),
        lease,
        meta: ResultMeta::without_run(Outcome::Exited { code: 0 }),
        phases: WorkerPhases::default(),
        ran_on: RanOn {
            arch: Arch::X86_64,
            kernel: text(),
            cpu: text(),
            worker: text(),
            vmm: text(),
        },
        archive_bytes: 0,
    };
    let (receipt, received) = oneshot::channel();
    let pieces = Box::pin(futures_util::stream::empty::<Result<Bytes, PieceLost>>());
    (Delivery { head, pieces, receipt }, received)
}

#[tokio::test(start_paused = true)]
async fn a_job_is_leased_delivered_and_its_lease_settled() {
    let mut rig = Rig::new();
    let visit = rig.worker().await;
    let parked = rig.park(&visit);
    rig.until(|census| census.parked == 1).await;
    let mut job = rig.submit().await;
    let (assignment, _hold) = lease(parked).await;
    assert_eq!(assignment.deadline, Duration::from_secs(15));
    let (delivery, _received) = delivery(assignment.lease);
    rig.handle.deliver(visit.worker, assignment.lease, delivery).await.unwrap();
    assert!(matches!(job.verdict().await, JobVerdict::Delivered { .. }));
    assert_eq!(assignment.ended.await, Ok(LeaseEnd::Settled));
    drop(job);
    rig.until(|census| census.jobs == 0).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_dropped_is_gone() {
    let mut rig = Rig::new();
    let visit = rig.worker().await;
    let parked = rig.park(&visit);
    rig.until(|census| census.parked == 1).await;
    drop(parked);
    rig.until(|census| census.parked == 0).await;
    let job = rig.submit().await;
    rig.until(|census| census.waiting == 1).await;
    drop(job);
    rig.until(|census| census.jobs == 0).await;
    drop(visit);
    rig.until(|census| census.workers == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_cancels_its_lease() {
    let mut rig = Rig::new();
    let visit = rig.worker().await;
    let parked = rig.park(&visit);
    rig.until(|census| census.parked == 1).await;
    let job = rig.submit().await;
    let (assignment, _hold) = lease(parked).await;
    drop(job);
    assert_eq!(assignment.ended.await, Ok(LeaseEnd::Cancelled));
    let (delivery, received) = delivery(assignment.lease);
    let late = rig.handle.deliver(visit.worker, assignment.lease, delivery).await;
    assert_eq!(late, Err(NotHeld));
    assert!(received.await.is_err(), "the result was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_dropped_with_a_lease_loses_it_to_another() {
    let mut rig = Rig::new();
    let (first, second) = (rig.worker().await, rig.worker().await);
    let parked = rig.park(&first);
    rig.until(|census| census.parked == 1).await;
    let _job = rig.submit().await;
    let (lost, hold) = lease(parked).await;
    let parked = rig.park(&second);
    rig.until(|census| census.parked == 1).await;
    drop(hold);
    let (found, _hold) = lease(parked).await;
    assert_ne!(lost.lease, found.lease);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_useless_is_asked_for_again() {
    let mut rig = Rig::new();
    let visit = rig.worker().await;
    let mut job = rig.submit().await;
    for loss in [Loss::Reported, Loss::Link, Loss::Link] {
        let (assignment, _hold) = lease(rig.park(&visit)).await;
        let (delivery, _received) = delivery(assignment.lease);
        rig.handle.deliver(visit.worker, assignment.lease, delivery).await.unwrap();
        assert!(matches!(job.verdict().await, JobVerdict::Delivered { .. }));
        job.retry(loss).await;
    }
    rig.until(|census| census.waiting == 1).await;
    let (assignment, hold) = lease(rig.park(&visit)).await;
    assert_eq!(assignment.order.request_id, "test");
    drop(hold);
    assert!(matches!(job.verdict().await, JobVerdict::Refused(Refusal::WorkerLost)));
}

#[tokio::test(start_paused = true)]
async fn clocks_end_waits_and_leases() {
    let mut rig = Rig::new();
    let visit = rig.worker().await;
    let begin = Instant::now();
    let mut waits = rig.submit().await;
    assert!(matches!(waits.verdict().await, JobVerdict::Refused(Refusal::QueueTimeout(_))));
    assert_eq!(begin.elapsed().as_secs(), 20);

    let begin = Instant::now();
    let mut leased = rig.submit().await;
    let (assignment, _hold) = lease(rig.park(&visit)).await;
    assert!(matches!(leased.verdict().await, JobVerdict::Overdue));
    assert_eq!(begin.elapsed().as_secs(), 15);
    assert_eq!(assignment.ended.await, Ok(LeaseEnd::Cancelled));
    rig.until(|census| census.jobs == 0).await;
}

#[tokio::test(start_paused = true)]
async fn polls_that_were_parked_together_do_not_end_together() {
    let rig = Rig::new();
    let visit = rig.worker().await;
    let begin = Instant::now();
    let mut parked = JoinSet::new();
    for _ in 0..16 {
        let (handle, worker) = (rig.handle.clone(), visit.worker);
        parked.spawn(async move { handle.park(worker).await.unwrap().0.unwrap() });
    }
    let mut ends = Vec::new();
    while let Some(verdict) = parked.join_next().await {
        assert!(matches!(verdict.unwrap(), SlotVerdict::Release));
        let end = begin.elapsed();
        assert!(end >= POLL / 2 && end <= POLL, "{end:?}");
        ends.push(end.as_secs());
    }
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.len() > 8, "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_driver_that_is_gone_is_told() {
    let mut rig = Rig::new();
    let visit = rig.worker().await;
    let mut parked = rig.park(&visit);
    rig.until(|census| census.parked == 1).await;
    let (driver, handle) = Driver::new(terms(), POLL, Metrics::new().unwrap());
    drop(driver);
    let mut job = handle.submit(CLIENT, order()).await;
    let refused = match &mut job {
        Ok(job) => matches!(job.verdict().await, JobVerdict::Refused(Refusal::Draining)),
        Err(Busy) => true,
    };
    assert!(refused);
    rig._running.shutdown().await;
    let (assignment, _hold) = parked.join_next().await.unwrap().unwrap();
    assert!(assignment.is_none(), "released");
}

#[tokio::test]
async fn there_is_a_place_for_every_notice_or_no_promise_is_made() {
    let (driver, handle) = Driver::new(terms(), POLL, Metrics::new().unwrap());
    let mut visits = Vec::new();
    // Nobody takes the messages, so each visit needs two places: its hello and its notice.
    let refused = loop {
        match handle.arrive(1, Offer::new(Arch::X86_64, Vec::new())).await {
            Ok(visit) => visits.push(visit),
            Err(refused) => break refused,
        }
    };
    assert_eq!(visits.len(), DRIVER_MESSAGES_MAX / 2);
    assert_eq!(crate::respond::Failure::from(refused).kind(), ProblemKind::QueueFull);
    drop(visits);
    drop(handle);
    driver.run().await;
}
