//! The pool's task with fake VMs and a paused clock.

mod trust;

use super::*;
use crate::vm::fake::FakeHost;
use futures_util::FutureExt as _;
use std::time::Duration;

struct Rig {
    host: FakeHost,
    handle: PoolHandle,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), PoolError>>,
    metrics: Metrics,
}

fn rig(slots: u32) -> Rig {
    rig_of(FakeHost::polite(), slots, 0, |driver| driver)
}

fn rig_of(
    host: FakeHost,
    slots: u32,
    standby: u32,
    with: impl FnOnce(PoolDriver) -> PoolDriver,
) -> Rig {
    let terms = PoolTerms {
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(5),
        ..PoolTerms::of(slots, standby)
    };
    let metrics = Metrics::new().expect("metrics");
    let (driver, handle) = pool(terms, Arc::new(host.clone()), metrics.clone());
    let stop = CancellationToken::new();
    let task = tokio::task::spawn_local(with(driver).run(stop.clone()));
    Rig { host, handle, stop, task, metrics }
}

/// Runs a test where tasks can be started without being `Send` or lost. The clock is a paused
/// one, so a test that waits for what never comes is over at once.
async fn locally<F: Future>(test: F) -> F::Output {
    let limit = tokio::time::timeout(Duration::from_secs(24 * 3600), test);
    tokio::task::LocalSet::new().run_until(limit).await.expect("the test ends in time")
}

impl Rig {
    /// A job that takes this long and leaves its VM dead.
    async fn job(&self, takes: Duration) {
        let (vm, slot) = self.handle.take().await.expect("offer").lease();
        tokio::time::sleep(takes).await;
        vm.kill().await;
        slot.vacate();
    }

    async fn until(&self, series: &str) {
        while !self.metrics.text().contains(&format!("pe_worker_{series}\n")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_slot_gets_a_vm() {
    locally(async {
        let rig = rig(3);
        rig.host.until_alive(3).await;
        assert_eq!(rig.host.starts(), [How::Restore; 3]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_is_handed_out_once_it_is_ready_and_replaced_when_it_is_gone() {
    locally(async {
        let rig = rig(1);
        let offer = rig.handle.take().await.expect("offer");
        let first = offer.vm().pid();
        let (vm, slot) = offer.lease();
        // While it runs there is none other.
        let second = rig.handle.take();
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut second).await.is_err());
        vm.kill().await;
        assert_eq!(rig.host.alive(), 0);
        slot.vacate();
        let second = second.await.expect("offer");
        assert_ne!(second.vm().pid(), first);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_is_dropped_is_a_vm_that_is_replaced() {
    locally(async {
        let rig = rig(1);
        let offer = rig.handle.take().await.expect("offer");
        let first = offer.vm().pid();
        drop(offer);
        assert_ne!(rig.handle.take().await.expect("offer").vm().pid(), first);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_is_given_back_is_offered_again() {
    locally(async {
        let rig = rig(1);
        let offer = rig.handle.take().await.expect("offer");
        let first = offer.vm().pid();
        offer.give_back();
        assert_eq!(rig.handle.take().await.expect("offer").vm().pid(), first);
        assert_eq!(rig.host.starts().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_dies_on_the_shelf_is_replaced() {
    locally(async {
        let rig = rig(2);
        rig.host.until_alive(2).await;
        rig.host.crash_all();
        rig.host.until_alive(0).await;
        rig.host.until_alive(2).await;
        let offer = rig.handle.take().await.expect("offer");
        assert!(offer.vm().exited().now_or_never().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failing_starts_are_tried_again_later_and_at_last_booted() {
    locally(async {
        let rig = rig(1);
        rig.host.fail(4);
        let began = Instant::now();
        rig.handle.take().await.expect("offer");
        use How::{Boot, Restore};
        assert_eq!(rig.host.starts(), [Restore, Restore, Restore, Boot, Boot]);
        // 100 + 200 + 400 + 800 ms of waiting, and five starts of 10 ms.
        assert!(began.elapsed() >= Duration::from_millis(1550));
        assert!(began.elapsed() < Duration::from_millis(1700));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waiting_any_more_leaves_no_vm_lost() {
    locally(async {
        let rig = rig(1);
        for _ in 0..10 {
            // Given up before a VM is ready, and just as it becomes so.
            let taken = tokio::time::timeout(Duration::from_millis(10), rig.handle.take()).await;
            if let Ok(Some(offer)) = taken {
                offer.give_back();
            }
        }
        let offer = rig.handle.take().await.expect("offer");
        assert_eq!(rig.host.starts().len(), 1, "the same VM all along");
        drop(offer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_what_runs_and_kills_what_waits() {
    locally(async {
        let rig = rig(2);
        rig.host.until_alive(2).await;
        let (vm, slot) = rig.handle.take().await.expect("offer").lease();
        rig.handle.drain();
        rig.host.until_alive(1).await;
        assert!(!rig.task.is_finished());
        vm.kill().await;
        slot.vacate();
        rig.task.await.expect("no panic").expect("drained");
        assert_eq!(rig.host.alive(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stop_kills_everything_at_once() {
    locally(async {
        let rig = rig(3);
        rig.host.until_alive(3).await;
        rig.stop.cancel();
        rig.task.await.expect("no panic").expect("stopped");
        assert_eq!(rig.host.alive(), 0);
    })
    .await;
}
