//! The link against a scripted LB over real sockets, with fake VMs behind it.

mod clock;
mod fetching;
mod lb;
mod trust;

use std::time::Duration;

use pe_proto::link::{LeaseHead, LeaseId};
use pe_proto::outcome::{Clock, Fault};
use pe_proto::{Arch, JobLimits, Outcome};

use super::*;
use crate::core::budget::Plan;
use crate::core::clock::ClockTerms;
use crate::core::pool::PoolTerms;
use crate::driver::{self, PoolDriver};
use crate::library::Library;
use crate::testing::{archive, spec};
use crate::vm::Bell;
use crate::vm::fake::FakeHost;
use lb::{Lb, Session};

struct Rig {
    lb: Lb,
    host: FakeHost,
    drain: CancellationToken,
    link: tokio::task::JoinHandle<()>,
    metrics: Metrics,
    pool: PoolHandle,
    library: Library,
}

impl Rig {
    /// Waits until a VM is bound to a job: the lease has arrived.
    async fn until_leased(&self) {
        self.until("slots{state=\"leased\"} 1").await;
    }

    /// Waits until a metric has a value; the test's own limit is the bound.
    async fn until(&self, series: &str) {
        while !self.metrics.text().contains(&format!("pe_worker_{series}\n")) {
            tokio::task::yield_now().await;
        }
    }
}

const GRACE: Duration = Duration::from_millis(100);

async fn rig(slots: u32, host: FakeHost) -> Rig {
    rig_within(slots, host, 4096).await
}

/// With so much memory for io files and results.
async fn rig_within(slots: u32, host: FakeHost, io_mib: u64) -> Rig {
    rig_on(Lb::listen().await, slots, host, io_mib, |driver| driver)
}

fn rig_on(
    lb: Lb,
    slots: u32,
    host: FakeHost,
    io_mib: u64,
    with: impl FnOnce(PoolDriver) -> PoolDriver,
) -> Rig {
    rig_at(lb, slots, host, io_mib, with, None)
}

/// With a desk, if images are fetched.
fn rig_at(
    lb: Lb,
    slots: u32,
    host: FakeHost,
    io_mib: u64,
    with: impl FnOnce(PoolDriver) -> PoolDriver,
    desk: Option<Desk>,
) -> Rig {
    let metrics = Metrics::new().expect("metrics");
    let pool = PoolTerms {
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_secs(1),
        ..PoolTerms::of(slots, 0)
    };
    let (pool, handle) = driver::pool(pool, Arc::new(host.clone()), metrics.clone());
    tokio::task::spawn_local(with(pool).run(CancellationToken::new()));
    let library = Library::new(crate::images::tests::only(spec().image));
    let terms = LinkTerms {
        lb: format!("http://{}", lb.address()).parse().expect("address"),
        tls: LinkTls::default(),
        token: Some(Token::from_text("s3cret").expect("token")),
        hello: Hello {
            worker: "w".to_owned(),
            arch: Arch::X86_64,
            cpu: "c".to_owned(),
            vmm: "fake".to_owned(),
            kernel: "k".to_owned(),
            slots,
            labels: Vec::new(),
            images: vec![spec().image],
            deployment: "blue".to_owned(),
        },
        jobs: Arc::new(JobTerms {
            images: library.clone(),
            arch: Arch::X86_64,
            clock: ClockTerms { grace: GRACE, reserve: Duration::ZERO },
        }),
        rooms: Rooms::new(Plan { fixed_mib: 0, io_mib }, metrics.clone()),
        desk,
    };
    let drain = CancellationToken::new();
    let link = Link::new(terms, handle.clone(), metrics.clone(), drain.clone());
    let link = tokio::task::spawn_local(link.run());
    Rig { lb, host, drain, link, metrics, pool: handle, library }
}

async fn locally<F: Future>(test: F) -> F::Output {
    let limit = tokio::time::timeout(Duration::from_secs(30), test);
    tokio::task::LocalSet::new().run_until(limit).await.expect("the test ends in time")
}

fn head(archive: &[u8]) -> LeaseHead {
    let limits = JobLimits { wall_ms: 1, ..JobLimits::default() };
    LeaseHead {
        lease: LeaseId(0xabc),
        request_id: "r".to_owned(),
        spec: pe_proto::JobSpec { limits, ..spec() },
        archive_bytes: archive.len() as u64,
        deadline_ms: 60_000,
    }
}

async fn lease(session: &mut Session) -> lb::Lease {
    let archive = archive(&[("input/a", b"data")]);
    session.ready().await.lease(&head(&archive), &archive)
}

#[tokio::test]
async fn a_job_is_leased_run_and_answered_and_the_slot_is_offered_again() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        assert_eq!(session.hello.slots, 1);
        let lease = lease(&mut session).await;
        // The slot is back before anyone has taken the result.
        let again = session.ready().await;
        let done = session.done().await;
        assert_eq!(done.path, "/worker/v1/done/0000000000000abc");
        assert_eq!(done.head.meta.outcome, Outcome::Exited { code: 0 });
        assert_eq!(done.head.ran_on.kernel, "fake");
        assert_eq!(done.archive, archive(&[("stdout", b"hello")]));
        assert_eq!(done.head.archive_bytes, done.archive.len() as u64);
        lease.end();
        done.accept();
        again.nothing();
        assert_eq!(rig.host.starts().len(), 2, "no VM is used twice");
    })
    .await;
}

#[tokio::test]
async fn a_lease_is_signed_for_as_soon_as_its_head_is_here() {
    locally(async {
        let mut rig = rig(1, FakeHost::new(|_| None)).await;
        let mut session = rig.lb.session().await;
        let archive = archive(&[("input/a", &[1; 1000])]);
        // The rest of the job is not waited for.
        let mut lease = session.ready().await.lease(&head(&archive), &archive[..500]);
        lease.signed().await;
    })
    .await;
}

#[tokio::test]
async fn an_lb_of_another_deployment_gets_no_offers_and_is_left() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        rig.lb.deployment = "green".to_owned();
        let session = rig.lb.session().await;
        assert_eq!(session.hello.deployment, "blue");
        rig.lb.deployment = "blue".to_owned();
        // It dials again, and only now offers what it has.
        rig.lb.session().await.ready().await;
        assert_eq!(session.tokens().len(), 1, "hello, and nothing after it");
    })
    .await;
}

#[tokio::test]
async fn a_large_result_flows_as_the_lb_takes_it() {
    locally(async {
        let large = vec![7; 12 * 1024 * 1024];
        let bytes = large.clone();
        let host = FakeHost::new(move |guest| {
            guest.answer(Outcome::Exited { code: 0 }, &[("output/big", &bytes)]);
            Some(Bell::Done)
        });
        let mut rig = rig(1, host).await;
        let mut session = rig.lb.session().await;
        let archive_in = archive(&[("input/a", &large)]);
        let mut head = head(&archive_in);
        head.spec.limits.output_bytes = 16 * 1024 * 1024;
        let _lease = session.ready().await.lease(&head, &archive_in);
        let done = session.done().await;
        assert_eq!(done.archive, archive(&[("output/big", &large)]));
    })
    .await;
}

#[tokio::test]
async fn a_ready_request_answered_with_nothing_is_asked_again_with_the_same_vm() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        for _ in 0..3 {
            session.ready().await.nothing();
        }
        session.ready().await;
        assert_eq!(rig.host.starts().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn as_many_ready_requests_are_parked_as_vms_are_ready() {
    locally(async {
        let mut rig = rig(3, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let mut slots =
            [session.ready().await.slot, session.ready().await.slot, session.ready().await.slot];
        slots.sort_unstable();
        assert_eq!(slots, [0, 1, 2]);
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_lease_kills_its_vm_and_sends_no_result() {
    locally(async {
        let mut rig = rig(1, FakeHost::new(|_| None)).await;
        let mut session = rig.lb.session().await;
        let archive = archive(&[]);
        let mut head = head(&archive);
        head.spec.limits.wall_ms = 60_000;
        let lease = session.ready().await.lease(&head, &archive);
        rig.until_leased().await;
        lease.reset();
        // The next thing heard is the new VM, not a result.
        session.ready().await;
        assert_eq!(rig.host.starts().len(), 2);
        rig.until("kills_total{clock=\"client\"} 1").await;
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_never_got_through_costs_no_vm() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let archive = archive(&[]);
        session.ready().await.lease(&head(&archive), &archive).reset();
        session.ready().await;
        assert_eq!(rig.host.starts().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_lease_reset_before_the_job_has_arrived_kills_its_vm() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let archive = archive(&[("input/a", &[1; 1000])]);
        let lease = session.ready().await.lease(&head(&archive), &archive[..500]);
        rig.until_leased().await;
        lease.reset();
        session.ready().await;
        assert_eq!(rig.host.starts().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_guest_that_hangs_is_killed_by_the_workers_clock() {
    locally(async {
        let host = FakeHost::new(|guest| {
            guest.journal(b"so far", b"");
            None
        });
        let mut rig = rig(1, host).await;
        let mut session = rig.lb.session().await;
        let _lease = lease(&mut session).await;
        session.ready().await;
        let done = session.done().await;
        assert_eq!(done.head.meta.outcome, Outcome::TimedOut { clock: Clock::Worker });
        assert_eq!(done.archive, archive(&[("stderr", b""), ("stdout", b"so far")]));
        assert!(done.head.phases.guest_us >= 100_000);
    })
    .await;
}

#[tokio::test]
async fn a_vmm_that_is_killed_under_a_job_makes_it_lost() {
    locally(async {
        let mut rig = rig(1, FakeHost::new(|_| Some(Bell::Exited))).await;
        let mut session = rig.lb.session().await;
        let _lease = lease(&mut session).await;
        let done = session.done().await;
        assert!(matches!(done.head.meta.outcome, Outcome::Lost { fault: Fault::Us, .. }));
    })
    .await;
}

#[tokio::test]
async fn a_job_that_is_wrong_is_refused_with_its_reason() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let archive = archive(&[]);
        let mut no_args = head(&archive);
        no_args.spec.args.clear();
        let mut other_image = head(&archive);
        other_image.spec.image = pe_proto::Digest::of(b"other");
        for (head, archive, expected) in [
            (no_args, &archive[..], "nothing to run"),
            (other_image, &archive, "does not have image"),
            (LeaseHead { archive_bytes: 20, ..head(&[]) }, b"01234567890123456789", "archive"),
        ] {
            let _lease = session.ready().await.lease(&head, archive);
            let done = session.done().await;
            let Outcome::Refused { reason, .. } = &done.head.meta.outcome else {
                panic!("{:?}", done.head.meta.outcome)
            };
            assert!(reason.contains(expected), "{reason}");
            done.accept();
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_kills_its_leases_keeps_ready_vms_and_is_dialled_again() {
    locally(async {
        let mut rig = rig(2, FakeHost::new(|_| None)).await;
        let mut session = rig.lb.session().await;
        let archive = archive(&[]);
        let mut head = head(&archive);
        head.spec.limits.wall_ms = 60_000;
        let _lease = session.ready().await.lease(&head, &archive);
        let _parked = session.ready().await;
        let first = session.id();
        rig.until_leased().await;
        session.cut();
        let mut session = rig.lb.session().await;
        assert_ne!(session.id(), first);
        session.ready().await;
        session.ready().await;
        assert_eq!(rig.host.starts().len(), 3, "one VM of two is a new one");
        assert_eq!(rig.host.alive(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_ready_vm_that_dies_is_withdrawn_and_replaced() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let parked = session.ready().await;
        rig.host.crash_all();
        parked.until_reset().await;
        session.ready().await;
    })
    .await;
}

#[tokio::test]
async fn drain_tells_the_lb_finishes_what_runs_and_ends() {
    locally(async {
        let mut rig = rig(2, FakeHost::new(|_| None)).await;
        let mut session = rig.lb.session().await;
        let _lease = lease(&mut session).await;
        let parked = session.ready().await;
        rig.drain.cancel();
        let state = session.state().await;
        assert!(state.draining);
        parked.nothing();
        let done = session.done().await;
        assert_eq!(done.head.meta.outcome, Outcome::TimedOut { clock: Clock::Worker });
        done.accept();
        rig.link.await.expect("link ends");
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_crosses_the_drain_on_its_way_is_still_run() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let parked = session.ready().await;
        rig.drain.cancel();
        session.state().await;
        let archive = archive(&[]);
        let _lease = parked.lease(&head(&archive), &archive);
        session.done().await.accept();
        rig.link.await.expect("link ends");
    })
    .await;
}

#[tokio::test]
async fn every_request_shows_the_token() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        session.ready().await;
        assert_eq!(session.tokens(), ["Bearer s3cret", "Bearer s3cret"]);
    })
    .await;
}

#[tokio::test]
async fn an_lb_that_is_not_there_is_dialled_until_it_is() {
    locally(async {
        let lb = Lb::listen().await;
        let address = lb.address();
        drop(lb);
        let mut rig = rig(1, FakeHost::polite()).await;
        // Another LB: refuses every hello, and is asked again.
        rig.lb.refuse(3).await;
        rig.lb.session().await;
        assert_ne!(rig.lb.address(), address);
    })
    .await;
}
