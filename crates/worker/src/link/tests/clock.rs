//! What only the clock ends. It is moved by hand, in steps that leave sockets time to be read.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::limits::{DRAIN_WITHDRAW, POLL_MARGIN};

/// What the scripted LB grants.
const POLL: Duration = Duration::from_secs(30);

/// Lets so much time pass.
async fn pass(time: Duration) {
    let step = Duration::from_millis(500);
    for _ in 0..time.as_millis().div_ceil(step.as_millis()) {
        tokio::time::advance(step).await;
        settle().await;
    }
}

/// Lets everything happen that can happen now.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Runs a test that stops the clock: its limit is kept by another one.
async fn by_hand<F: Future>(test: F) -> F::Output {
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let limit = tokio::task::spawn_blocking(move || {
        let began = std::time::Instant::now();
        while !seen.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let all = async {
        tokio::select! {
            output = test => output,
            _ = limit => panic!("the test does not end"),
        }
    };
    let output = tokio::task::LocalSet::new().run_until(all).await;
    over.store(true, Ordering::Relaxed);
    output
}

#[tokio::test]
async fn an_lb_that_leaves_a_ready_request_unanswered_is_dialled_anew() {
    by_hand(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let _parked = session.ready().await;
        tokio::time::pause();
        // Pings are answered all the while: the connection is alive, the LB behind it is not.
        pass(POLL + POLL_MARGIN - Duration::from_secs(2)).await;
        assert!(rig.metrics.text().contains("pe_worker_link_losses_total 0\n"));
        pass(Duration::from_secs(4)).await;
        assert!(rig.metrics.text().contains("pe_worker_link_losses_total 1\n"));
        tokio::time::resume();
        let mut again = rig.lb.session().await;
        again.ready().await;
        assert_eq!(rig.host.starts().len(), 1, "the VM is as good as before");
    })
    .await;
}

#[tokio::test]
async fn an_lb_that_answers_in_time_is_not() {
    by_hand(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let mut parked = session.ready().await;
        tokio::time::pause();
        for _ in 0..3 {
            pass(POLL).await;
            parked.nothing();
            parked = session.ready().await;
        }
        assert!(rig.metrics.text().contains("pe_worker_link_losses_total 0\n"));
    })
    .await;
}

#[tokio::test]
async fn a_drain_that_the_lb_does_not_answer_withdraws_what_is_parked() {
    by_hand(async {
        let mut rig = rig(1, FakeHost::polite()).await;
        let mut session = rig.lb.session().await;
        let parked = session.ready().await;
        rig.drain.cancel();
        session.state().await;
        tokio::time::pause();
        settle().await;
        assert!(!rig.link.is_finished());
        pass(DRAIN_WITHDRAW + Duration::from_secs(1)).await;
        assert!(rig.link.is_finished());
        parked.until_reset().await;
    })
    .await;
}
