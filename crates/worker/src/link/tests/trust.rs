//! What the LB is told of trust, leases that end while their VM is busy, VMMs that are stopped,
//! and memory.

use super::*;
use crate::core::budget::IO_FILE_MIB;
use crate::core::pool::Subject;
use crate::driver::Tryout;
use crate::vm::LeasedVm;
use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};

/// A lease whose job has arrived, on a VM that takes long to plug in its pack.
async fn attaching(rig: &mut Rig, session: &mut Session) -> lb::Lease {
    rig.host.attach_takes(Duration::from_secs(20));
    let lease = lease(session).await;
    rig.until_leased().await;
    lease
}

#[tokio::test]
async fn a_lease_that_is_reset_while_the_pack_is_plugged_in_ends_its_vm_at_once() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let lease = attaching(&mut rig, &mut session).await;
        sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        lease.reset();
        session.ready().await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(rig.host.starts().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_link_that_is_lost_while_the_pack_is_plugged_in_ends_its_vm_at_once() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let _lease = attaching(&mut rig, &mut session).await;
        let began = Instant::now();
        session.cut();
        rig.until("kills_total{clock=\"link\"} 1").await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn a_vmm_that_is_stopped_costs_its_job_its_answer_time_and_no_more() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        rig.host.freeze(true);
        let began = Instant::now();
        let _lease = lease(&mut session).await;
        let done = session.done().await;
        assert!(matches!(done.head.meta.outcome, Outcome::Lost { fault: Fault::Us, .. }));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        done.accept();
        rig.host.freeze(false);
        let _lease = lease(&mut session).await;
        assert_eq!(session.done().await.head.meta.outcome, Outcome::Exited { code: 0 });
        rig.until("job_endings_total{ending=\"broken\"} 1").await;
    })
    .await;
}

#[tokio::test]
async fn a_vm_that_fails_to_take_its_pack_is_given_up_while_the_job_is_still_coming() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        rig.host.freeze(true);
        let archive = archive(&[("input/a", &[1; 1000])]);
        // The second half of it never comes.
        let _lease = session.ready().await.lease(&head(&archive), &archive[..500]);
        let done = session.done().await;
        assert!(matches!(done.head.meta.outcome, Outcome::Lost { fault: Fault::Us, .. }));
    })
    .await;
}

#[tokio::test]
async fn the_lb_hears_which_images_are_out_and_a_job_that_crosses_that_costs_no_vm() {
    locally(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        assert_eq!(session.hello.images, [spec().image]);
        let parked = session.ready().await;
        rig.pool.condemn(spec().image).await;
        let state = session.state().await;
        assert!(!state.draining && state.images.is_empty(), "{state:?}");
        let archive = archive(&[]);
        let _lease = parked.lease(&head(&archive), &archive);
        let done = session.done().await;
        let outcome = &done.head.meta.outcome;
        assert!(matches!(outcome, Outcome::Refused { fault: Fault::Us, .. }), "{outcome:?}");
        assert_eq!(rig.host.starts().len(), 1);
        rig.until("refusals_total{reason=\"quarantined\"} 1").await;
        // The next LB hears it in the hello.
        done.accept();
        session.cut();
        assert_eq!(rig.lb.session().await.hello.images, []);
    })
    .await;
}

/// Every trial fails.
#[derive(Debug)]
struct Failing;

impl Tryout for Failing {
    fn run(&self, vm: LeasedVm, _: Subject) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            vm.kill().await;
            false
        })
    }
}

#[tokio::test]
async fn nothing_is_offered_while_trials_fail() {
    locally(async {
        let lb = Lb::listen().await;
        let mut rig = rig_on(lb, 2, FakeHost::polite(), 4096, |it| it.trying(Arc::new(Failing)));
        let mut session = rig.lb.session().await;
        rig.until("trials_total{result=\"worker_failed\"} 3").await;
        let offered = timeout(Duration::from_millis(300), session.ready()).await;
        assert!(offered.is_err(), "a VM was offered");
    })
    .await;
}

#[tokio::test]
async fn a_vm_is_not_offered_before_there_is_memory_for_its_job() {
    locally(async {
        // Two VMs are ready; there is room for one job at a time, and for a small result.
        let mut rig = rig_within(2, FakeHost::polite(), IO_FILE_MIB + 1).await;
        let mut session = rig.lb.session().await;
        let lease = lease(&mut session).await;
        // Once that job's VM is dead its result needs little.
        let parked = session.ready().await;
        assert!(timeout(Duration::from_millis(200), session.ready()).await.is_err());
        session.done().await.accept();
        lease.end();
        parked.nothing();
        let _again = session.ready().await;
        assert!(timeout(Duration::from_millis(200), session.ready()).await.is_err());
        rig.until(&format!("memory_used_bytes {}", IO_FILE_MIB << 20)).await;
    })
    .await;
}

#[tokio::test]
async fn all_vms_killed_at_once_are_withdrawn_and_others_offered() {
    locally(async {
        let mut rig = rig(3, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let parked = [session.ready().await, session.ready().await, session.ready().await];
        rig.host.crash_all();
        for one in parked {
            one.until_reset().await;
        }
        for _ in 0..3 {
            session.ready().await;
        }
        rig.until("ready_vm_deaths_total 3").await;
        assert_eq!(rig.host.starts().len(), 6);
    })
    .await;
}
