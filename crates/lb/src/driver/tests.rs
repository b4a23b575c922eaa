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
use crate::core::broker::{Arrival, HedgeTerms, Loss, NotHeld, Offer, Refusal};
use crate::core::ids::{ClientKey, WorkerId};
use crate::core::trust::Identity;

const POLL: Duration = Duration::from_secs(50);
const CLIENT: ClientKey = ClientKey([1; 16]);

fn terms() -> Terms {
    Terms {
        queue_jobs_max: 8,
        queue_wait: Duration::from_secs(20),
        fetch_wait: Duration::from_secs(60),
        releases_max: 2,
        reports_max: 1,
        lease_grace: Duration::from_secs(5),
        worker_grace: Duration::from_secs(30),
        hedge: HedgeTerms {
            percent: 5,
            burst: 8,
            wait_first: Duration::from_secs(1),
            wait_min: Duration::from_millis(100),
            wait_max: Duration::from_secs(5),
        },
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
        self.worker_named("w").await.unwrap()
    }

    async fn worker_named(&self, name: &str) -> Result<Visit, Busy> {
        let (arrival, profile) = hello(name);
        self.handle.arrive(arrival, profile).await
    }

    /// Parks a slot in a task of its own, so that it is parked while the test goes on.
    fn park(&self, visit: &Visit) -> JoinSet<(Option<Box<Assignment>>, SlotHold)> {
        self.park_that(visit, false)
    }

    fn park_that(
        &self,
        visit: &Visit,
        signs: bool,
    ) -> JoinSet<(Option<Box<Assignment>>, SlotHold)> {
        let (handle, worker) = (self.handle.clone(), visit.worker);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (verdict, hold) = handle.park(worker, signs).await.unwrap();
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

fn identity(name: &str) -> Arc<Identity> {
    Arc::new(Identity { name: name.into(), owner: "".into(), is_trusted: true })
}

fn hello(name: &str) -> (Arrival, Profile) {
    let identity = identity(name);
    let offer = Offer::new(Arch::X86_64, vec![Digest([1; 32])]);
    let owner = identity.owner_key();
    let arrival = Arrival { slots_max: 16, offer, owner, is_trusted: true };
    let text = String::new;
    let profile = Profile {
        identity,
        is_own: true,
        arch: Arch::X86_64,
        labels: Vec::new(),
        cpu: text(),
        vmm: text(),
    };
    (arrival, profile)
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

fn delivery(lease: LeaseId) -> (Box<Delivery>, oneshot::Receiver<Receipt>) {
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
    (Box::new(Delivery { head, origin: identity("w"), pieces, receipt }), received)
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
    rig.handle.deliver(visit.worker, assignment.lease, delivery).await;
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
    rig.handle.deliver(visit.worker, assignment.lease, delivery).await;
    assert_eq!(received.await, Ok(Receipt::NotHeld(NotHeld::Crossed)));
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
        rig.handle.deliver(visit.worker, assignment.lease, delivery).await;
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
        parked.spawn(async move { handle.park(worker, false).await.unwrap().0.unwrap() });
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
        Err(_) => true,
    };
    assert!(refused);
    rig._running.shutdown().await;
    let (assignment, _hold) = parked.join_next().await.unwrap().unwrap();
    assert!(assignment.is_none(), "released");
}

#[tokio::test]
async fn there_is_a_place_for_every_notice_or_no_promise_is_made() {
    let rig = Rig::new();
    let mut jobs = Vec::new();
    let refused = loop {
        match rig.handle.submit(CLIENT, order()).await {
            Ok(job) => jobs.push(job),
            Err(refused) => break refused,
        }
    };
    assert_eq!((jobs.len(), refused), (crate::limits::JOBS_MAX, Busy::Jobs));
    assert_eq!(crate::respond::Failure::from(refused).kind(), ProblemKind::QueueFull);
    // Jobs took no place of workers, and their places come back.
    let visit = rig.worker().await;
    drop(jobs);
    drop(visit);
    assert!(rig.handle.submit(CLIENT, order()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_more_slots_are_taken_than_there_are_places_and_jobs_still_are() {
    let (driver, handle) = Driver::new(terms(), POLL, Metrics::new().unwrap());
    let mut running = JoinSet::new();
    running.spawn(driver.run());
    let mut holds = Vec::new();
    for _ in 0..crate::limits::SLOTS_MAX {
        holds.push(handle.park(WorkerId(7), false).await.unwrap().1);
    }
    let refused = handle.park(WorkerId(7), false).await.unwrap_err();
    assert_eq!(refused, Busy::Slots);
    assert!(handle.submit(CLIENT, order()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_shows_to_have_got_is_run_by_another_and_the_first_result_wins() {
    let mut rig = Rig::new();
    let (dead, alive) = (rig.worker().await, rig.worker_named("alive").await.unwrap());
    let parked = rig.park_that(&dead, true);
    rig.until(|census| census.parked == 1).await;
    let mut job = rig.submit().await;
    let (silent, _hold) = lease(parked).await;
    let begin = Instant::now();
    let (hedge, hold) = lease(rig.park_that(&alive, true)).await;
    assert_eq!(begin.elapsed().as_secs(), 1);
    hold.accepted(hedge.lease);
    let (result, _received) = delivery(hedge.lease);
    rig.handle.deliver(alive.worker, hedge.lease, result).await;
    assert!(matches!(job.verdict().await, JobVerdict::Delivered { .. }));
    assert_eq!(silent.ended.await, Ok(LeaseEnd::Cancelled));
    assert_eq!(hedge.ended.await, Ok(LeaseEnd::Settled));
    let (late, received) = delivery(silent.lease);
    rig.handle.deliver(dead.worker, silent.lease, late).await;
    assert_eq!(received.await, Ok(Receipt::NotHeld(NotHeld::Crossed)));
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_in_time_makes_no_second_lease() {
    let mut rig = Rig::new();
    let (worker, other) = (rig.worker().await, rig.worker_named("other").await.unwrap());
    let parked = rig.park_that(&worker, true);
    rig.until(|census| census.parked == 1).await;
    let _job = rig.submit().await;
    let (assignment, hold) = lease(parked).await;
    hold.accepted(assignment.lease);
    let mut parked = rig.park_that(&other, true);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(parked.try_join_next().is_none(), "still parked");
}

#[tokio::test(start_paused = true)]
async fn strikes_stay_with_the_name_and_a_quarantine_holds_for_its_next_visit() {
    let mut rig = Rig::new();
    let visit = rig.worker_named("liar").await.unwrap();
    for _ in 0..3 {
        let (lie, received) = delivery(LeaseId(99));
        rig.handle.deliver(visit.worker, LeaseId(99), lie).await;
        assert_eq!(received.await, Ok(Receipt::NotHeld(NotHeld::NotGiven)));
    }
    rig.until(|census| census.quarantined == 1).await;
    drop(visit);
    rig.until(|census| census.workers == 0).await;
    let visit = rig.worker_named("liar").await.unwrap();
    let mut parked = rig.park(&visit);
    let job = rig.submit().await;
    rig.until(|census| census.waiting == 1 && census.parked == 1).await;
    let rows = rig.handle.survey().await;
    let [row] = &rows.workers[..] else { panic!("{rows:?}") };
    assert!(row.strikes > 4.0 && row.quarantine.is_some(), "{row:?}");
    assert_eq!((rows.queue.len(), row.parked, row.leased), (1, 1, 0));
    assert!(rig.handle.quarantine(visit.worker, false).await, "the operator's word");
    let (assignment, _hold) = parked.join_next().await.unwrap().unwrap();
    assert!(assignment.is_some());
    assert_eq!(rig.handle.survey().await.leases.len(), 1);
    drop(job);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_drained_is_empty_within_its_jobs_time() {
    let mut rig = Rig::new();
    let visit = rig.worker().await;
    let parked = rig.park(&visit);
    rig.until(|census| census.parked == 1).await;
    let mut running = rig.submit().await;
    let (_assignment, _hold) = lease(parked).await;
    assert!(rig.handle.drain_worker(visit.worker, true).await);
    let begin = Instant::now();
    let mut parked = rig.park(&visit);
    let _waits = rig.submit().await;
    assert!(matches!(running.verdict().await, JobVerdict::Overdue), "the worker never answers");
    rig.until(|census| census.leased == 0).await;
    assert!(begin.elapsed() <= Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(parked.try_join_next().is_none(), "nothing new was leased");
    assert!(rig.handle.drain_worker(visit.worker, false).await);
    let (assignment, _) = parked.join_next().await.unwrap().unwrap();
    assert!(assignment.is_some());
}

#[tokio::test(start_paused = true)]
async fn one_worker_is_not_here_more_often_than_makes_sense() {
    let rig = Rig::new();
    let mut visits = Vec::new();
    for _ in 0..crate::limits::WORKER_VISITS_MAX {
        visits.push(rig.worker_named("one").await.unwrap());
    }
    assert_eq!(rig.worker_named("one").await.err(), Some(Busy::Visits));
    assert!(rig.worker_named("other").await.is_ok());
    visits.pop();
    assert!(rig.worker_named("one").await.is_ok());
}
