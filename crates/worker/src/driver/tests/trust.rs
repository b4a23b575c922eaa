//! Trials, zygotes, quarantine, and VMs that are killed or stopped by others.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Says how trials go: the first so many fail.
#[derive(Debug, Default)]
struct Script {
    failing: AtomicU32,
    seen: std::sync::Mutex<Vec<Subject>>,
}

impl Tryout for Arc<Script> {
    fn run(&self, vm: LeasedVm, subject: Subject) -> BoxFuture<'_, bool> {
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            vm.kill().await;
            self.seen.lock().expect("lock").push(subject);
            let less = |left: u32| left.checked_sub(1);
            self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err()
        }
        .boxed()
    }
}

fn trying(host: FakeHost, slots: u32, failing: u32) -> (Rig, Arc<Script>) {
    let script = Arc::new(Script { failing: AtomicU32::new(failing), ..Script::default() });
    let tryout = Arc::new(Arc::clone(&script));
    (rig_of(host, slots, 0, |driver| driver.trying(tryout)), script)
}

#[tokio::test(start_paused = true)]
async fn the_first_vm_is_tried_before_the_others_are_offered() {
    locally(async {
        let began = Instant::now();
        let (rig, script) = trying(FakeHost::polite(), 2, 0);
        rig.handle.take().await.expect("offer");
        assert!(began.elapsed() >= Duration::from_millis(30), "a start and a trial");
        assert_eq!(*script.seen.lock().expect("lock"), [Subject::Worker(0)]);
        rig.until("trials_total{result=\"worker_passed\"} 1").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_zygote_that_fails_its_trials_is_replaced_by_booted_vms_and_then_built_anew() {
    locally(async {
        let (rig, script) = trying(FakeHost::polite(), 1, 3);
        drop(rig.handle.take().await.expect("offer"));
        use How::{Boot, Restore};
        assert_eq!(rig.host.starts()[..5], [Restore, Restore, Restore, Boot, Boot]);
        assert_eq!(script.seen.lock().expect("lock").len(), 4);
        rig.until("zygote_builds_total{result=\"built\"} 1").await;
        rig.until("trials_total{result=\"worker_passed\"} 2").await;
        drop(rig.handle.take().await.expect("offer"));
        assert_eq!(rig.host.starts().last(), Some(&Restore));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_zygote_boots_and_builds_one_when_it_can() {
    locally(async {
        let host = FakeHost::polite().without_zygote();
        host.fail_rebuilds(2);
        let (rig, _) = trying(host, 1, 0);
        drop(rig.handle.take().await.expect("offer"));
        assert_eq!(rig.host.starts()[0], How::Boot);
        rig.until("zygote_builds_total{result=\"failed\"} 2").await;
        rig.until("zygote_builds_total{result=\"built\"} 1").await;
        rig.until("trials_total{result=\"worker_passed\"} 2").await;
        assert_eq!(rig.host.starts().last(), Some(&How::Restore));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_is_replaced_makes_a_new_zygote_and_new_vms_while_the_old_ones_serve() {
    locally(async {
        let dir = tempfile::tempdir().expect("tempdir");
        let kernel = dir.path().join("vmlinuz");
        std::fs::write(&kernel, "one").expect("write");
        let inputs = Inputs::of(vec![kernel.clone()]);
        let rig = rig_of(FakeHost::polite(), 2, 0, |driver| driver.watching(inputs));
        rig.host.until_alive(2).await;
        let (old, parked) = (rig.handle.take().await, rig.handle.take().await);
        let (old, parked) = (old.expect("offer"), parked.expect("offer"));
        std::fs::write(&kernel, "another").expect("write");
        // Looked at when the next VM is made.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(rig.host.rebuilds(), 0);
        drop(old);
        rig.until("zygote_builds_total{result=\"built\"} 1").await;
        // The one on offer is asked for; until it is given back it can have a job.
        parked.recalled().await;
        parked.give_back();
        rig.host.until_alive(1).await;
        rig.until("slots{state=\"ready\"} 2").await;
        assert!(rig.host.starts().len() >= 4, "all of the old ones are gone");
        assert_eq!(rig.host.rebuilds(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_can_ask_for_a_new_zygote() {
    locally(async {
        let rig = rig(1);
        rig.host.until_alive(1).await;
        rig.handle.rebuild().await;
        rig.until("zygote_builds_total{result=\"built\"} 1").await;
        rig.until("slots{state=\"ready\"} 1").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_fails_its_trial_is_told_to_be_out_and_later_back() {
    locally(async {
        let (rig, script) = trying(FakeHost::polite(), 2, 0);
        rig.until("slots{state=\"ready\"} 2").await;
        let image = Digest([1; 32]);
        let mut quarantine = rig.handle.quarantine();
        script.failing.store(1, Ordering::SeqCst);
        for _ in 0..3 {
            rig.handle.report(image, false);
        }
        quarantine.changed().await.expect("pool lives");
        assert!(quarantine.borrow_and_update().contains(&image));
        let out = Instant::now();
        rig.until("quarantined_images 1").await;
        quarantine.changed().await.expect("pool lives");
        assert!(quarantine.borrow_and_update().is_empty());
        assert!(out.elapsed() >= Duration::from_secs(60), "{:?}", out.elapsed());
        rig.handle.condemn(image).await;
        quarantine.changed().await.expect("pool lives");
        assert!(quarantine.borrow().contains(&image));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_trial() {
    locally(async {
        let (rig, _) = trying(FakeHost::polite(), 1, 0);
        rig.until("slots{state=\"trial\"} 1").await;
        let began = Instant::now();
        rig.handle.drain();
        rig.task.await.expect("no panic").expect("drained");
        assert!(began.elapsed() < Duration::from_millis(5));
        assert_eq!(rig.host.alive(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn vms_killed_all_at_once_are_replaced_two_at_a_time_and_none_is_offered_twice() {
    locally(async {
        let rig = rig(8);
        rig.host.until_alive(8).await;
        let before = rig.handle.take().await.expect("offer");
        let dead = before.vm().pid();
        rig.host.crash_all();
        drop(before);
        rig.host.until_alive(0).await;
        let mut pids = vec![dead];
        let mut offers = Vec::new();
        for _ in 0..8 {
            let offer = rig.handle.take().await.expect("offer");
            assert!(offer.vm().exited().now_or_never().is_none(), "a dead VM was offered");
            pids.push(offer.vm().pid());
            offers.push(offer);
        }
        pids.sort_unstable();
        pids.dedup();
        assert_eq!(pids.len(), 9, "one was offered twice");
        assert!(rig.host.starting_most() <= 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn vms_that_die_as_soon_as_they_are_ready_are_not_started_ever_faster() {
    locally(async {
        let rig = rig(4);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(120) {
            rig.host.crash_all();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let starts = rig.host.starts().len();
        assert!(starts < 200, "{starts} starts in two minutes");
        // It recovers by itself when that is over.
        rig.job(Duration::ZERO).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_is_given_back_again_and_again_is_listened_for_once() {
    locally(async {
        let rig = rig(1);
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        rig.until("slots{state=\"ready\"} 1").await;
        let before = tasks();
        for _ in 0..100 {
            rig.handle.take().await.expect("offer").give_back();
        }
        rig.until("slots{state=\"ready\"} 1").await;
        assert!(tasks() <= before + 1, "{} tasks, {before} before", tasks());
        assert_eq!(rig.host.starts().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_stopped_for_an_hour_goes_on_where_it_was() {
    locally(async {
        // Stopped while it starts, while it tries, while it serves, and while it builds a zygote.
        let (rig, _) = trying(FakeHost::polite(), 2, 0);
        let stopped = || tokio::time::advance(Duration::from_secs(3600));
        rig.until("slots{state=\"starting\"} 2").await;
        stopped().await;
        rig.until("slots{state=\"trial\"} 1").await;
        stopped().await;
        let (one, two) = (rig.handle.take().await, rig.handle.take().await);
        let (one, two) = (one.expect("offer"), two.expect("offer"));
        assert_ne!(one.vm().pid(), two.vm().pid());
        stopped().await;
        let (vm, slot) = one.lease();
        rig.handle.rebuild().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        stopped().await;
        vm.kill().await;
        slot.vacate();
        two.recalled().await;
        two.give_back();
        rig.until("slots{state=\"ready\"} 2").await;
        rig.until("trials_total{result=\"worker_passed\"} 2").await;
        rig.until("trials_total{result=\"worker_failed\"} 0").await;
        assert_eq!((rig.host.alive(), rig.host.rebuilds()), (2, 1));
    })
    .await;
}

/// Jobs in a minute, one after the other in one slot.
async fn jobs_in_a_minute(standby: u32, job: Duration) -> u32 {
    let rig =
        rig_of(FakeHost::polite().starting_in(Duration::from_millis(150)), 1, standby, |it| it);
    rig.host.until_alive(1 + standby).await;
    let began = Instant::now();
    let mut jobs = 0;
    while began.elapsed() < Duration::from_secs(60) {
        rig.job(job).await;
        jobs += 1;
    }
    jobs
}

#[tokio::test(start_paused = true)]
async fn a_vm_on_standby_hides_the_time_of_a_restore() {
    locally(async {
        // A restore of 150 ms is not waited for while another job of 200 ms runs.
        let job = Duration::from_millis(200);
        let (without, with) = (jobs_in_a_minute(0, job).await, jobs_in_a_minute(1, job).await);
        assert_eq!((without, with), (172, 300));
    })
    .await;
}
