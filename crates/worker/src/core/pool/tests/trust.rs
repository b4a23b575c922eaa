//! What is trusted: zygotes, VMs, images.

use super::*;

const NOW: Moment = Moment::ZERO;

fn image(number: u8) -> Digest {
    Digest([number; 32])
}

fn trying(slots: u32, standby: u32) -> Pool {
    Pool::new(PoolTerms { standby, trials: true, ..terms(slots) })
}

/// A pool whose VMs have proved themselves and wait, all of them.
fn proved(slots: u32, standby: u32) -> Pool {
    let mut pool = trying(slots, standby);
    on(&mut pool, Event::Tick);
    on(&mut pool, Event::Started(SlotId(0)));
    on(&mut pool, Event::TrialPassed(SlotId(0)));
    while let Some(slot) = starting(&pool) {
        on(&mut pool, Event::Started(slot));
    }
    assert_eq!(pool.count(Slot::Ready), slots + standby);
    pool
}

fn starting(pool: &Pool) -> Option<SlotId> {
    in_state(pool, Slot::Starting).next()
}

fn in_state(pool: &Pool, state: Slot) -> impl Iterator<Item = SlotId> + '_ {
    (0..pool.terms.places()).map(SlotId).filter(move |slot| pool.state(*slot) == Some(state))
}

#[test]
fn no_vm_is_offered_before_one_like_it_ran_a_job_of_ours() {
    let mut pool = trying(2, 0);
    on(&mut pool, Event::Wanted);
    on(&mut pool, Event::Tick);
    let first = on(&mut pool, Event::Started(SlotId(0)));
    assert_eq!(first, [Decision::Try(SlotId(0), Subject::Worker(0))]);
    assert_eq!(on(&mut pool, Event::Started(SlotId(1))), []);
    let passed = on(&mut pool, Event::TrialPassed(SlotId(0)));
    let start = Decision::Start(SlotId(0), How::Restore);
    assert_eq!(passed, [Decision::Offer(SlotId(1)), start]);
}

#[test]
fn a_zygote_whose_vms_fail_their_trials_is_given_up_and_what_is_booted_is_tried() {
    let mut pool = trying(1, 0);
    let mut now = NOW;
    let mut subjects = Vec::new();
    pool.on(Event::Tick, now).expect("fits");
    for _ in 0..3 {
        let decisions = pool.on(Event::Started(SlotId(0)), now).expect("fits");
        now = pool.trial_backoff.not_before().max(now);
        let later = pool.on(Event::Tick, now).expect("fits");
        let [Decision::Try(_, subject)] = [decisions, later].concat()[..] else { panic!() };
        subjects.push(subject);
        let decisions = pool.on(Event::TrialFailed(SlotId(0)), now).expect("fits");
        assert!(matches!(decisions[..], [Decision::Start(..)]), "{decisions:?}");
    }
    assert_eq!(subjects, [0, 1, 2].map(Subject::Worker), "not the same image each time");
    assert_eq!(pool.zygote.how(), How::Boot);
    // That booted VM is no better before it was tried.
    now = pool.trial_backoff.not_before();
    let decisions = pool.on(Event::Started(SlotId(0)), now).expect("fits");
    assert_eq!(decisions, [Decision::Try(SlotId(0), Subject::Worker(3))]);
    pool.on(Event::TrialPassed(SlotId(0)), now).expect("fits");
    pool.on(Event::Wanted, now).expect("fits");
    let decisions = pool.on(Event::Started(SlotId(0)), now).expect("fits");
    assert_eq!(decisions, [Decision::Offer(SlotId(0))]);
    // The next zygote comes in its time, and is tried in turn.
    let due = pool.due().expect("a build is due");
    assert_eq!(due - NOW, Duration::from_millis(10_300));
    assert_eq!(pool.on(Event::Tick, due), Ok(vec![Decision::Rebuild]));
    assert_eq!(pool.held(), 2, "the vm that becomes the zygote is ours");
    let decisions = pool.on(Event::Rebuilt, due).expect("was being built");
    assert_eq!(decisions, [Decision::Recall(SlotId(0))], "room for the first of the new");
}

#[test]
fn a_build_that_fails_is_tried_again_later_and_later() {
    let mut pool = Pool::without_zygote(PoolTerms { trials: true, ..terms(1) });
    assert_eq!(on(&mut pool, Event::Tick), [Decision::Start(SlotId(0), How::Boot)]);
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..8 {
        let due = pool.zygote.due().expect("a build is due");
        waits.push((due - now).as_secs());
        now = due;
        assert!(pool.on(Event::Tick, now).expect("fits").contains(&Decision::Rebuild));
        pool.on(Event::RebuildFailed, now).expect("was being built");
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600]);
}

#[test]
fn a_pool_that_is_to_boot_does_so_and_builds_only_for_another_kernel() {
    let terms = PoolTerms { restores: false, trials: true, ..terms(1) };
    let mut pool = Pool::without_zygote(terms);
    assert_eq!(on(&mut pool, Event::Tick), [Decision::Start(SlotId(0), How::Boot)]);
    on(&mut pool, Event::Started(SlotId(0)));
    on(&mut pool, Event::TrialPassed(SlotId(0)));
    on(&mut pool, Event::Started(SlotId(0)));
    assert_eq!(pool.due(), None);
    assert_eq!(on(&mut pool, Event::InputsChanged), [Decision::Rebuild]);
    assert_eq!(on(&mut pool, Event::Rebuilt), [Decision::Discard(SlotId(0))]);
    let decisions = on(&mut pool, Event::Gone(SlotId(0)));
    assert_eq!(decisions, [Decision::Start(SlotId(0), How::Boot)]);
}

#[test]
fn changed_inputs_make_a_zygote_beside_the_old_one_and_replace_its_vms_a_few_at_a_time() {
    let mut pool = proved(4, 0);
    on(&mut pool, Event::Wanted);
    assert_eq!(on(&mut pool, Event::InputsChanged), [Decision::Rebuild]);
    assert_eq!(on(&mut pool, Event::InputsChanged), [], "one at a time");
    assert_eq!(pool.zygote.how(), How::Restore, "the old one is as good as it was");
    // Built of inputs that have changed again: another follows.
    let first = on(&mut pool, Event::Rebuilt);
    assert_eq!(first[0], Decision::Discard(SlotId(0)), "one makes room");
    assert_eq!(first[1..], [Decision::Rebuild]);
    assert_eq!(pool.count(Slot::Ready) + pool.count(Slot::Offered), 3, "the rest serves on");
    on(&mut pool, Event::Rebuilt);
    on(&mut pool, Event::Gone(SlotId(0)));
    let tried = on(&mut pool, Event::Started(SlotId(0)));
    assert_eq!(tried, [Decision::Try(SlotId(0), Subject::Worker(1))]);
    let mut decisions = on(&mut pool, Event::TrialPassed(SlotId(0)));
    let mut rounds = 0;
    while (0..4).any(|slot| pool.places[slot].generation != pool.zygote.generation()) {
        rounds += 1;
        assert!(rounds < 20, "{pool:?}");
        assert!(pool.count(Slot::Starting) + pool.count(Slot::Ending) <= 2);
        let mut next = Vec::new();
        for decision in decisions {
            let event = match decision {
                Decision::Start(slot, _) => Some(Event::Started(slot)),
                Decision::Discard(slot) => Some(Event::Gone(slot)),
                Decision::Recall(slot) => Some(Event::GivenBack(slot)),
                Decision::Offer(_)
                | Decision::Try(..)
                | Decision::Rebuild
                | Decision::Quarantine(_)
                | Decision::Release(_)
                | Decision::Withhold(_)
                | Decision::Forget(_)
                | Decision::Drained => None,
            };
            next.extend(on(&mut pool, event.expect("nothing else is to be done")));
        }
        decisions = next;
    }
}

#[test]
fn lost_jobs_make_an_image_suspect_and_only_a_job_of_ours_puts_it_out() {
    let mut pool = proved(2, 0);
    let one = image(1);
    on(&mut pool, Event::ImageFailed(one));
    on(&mut pool, Event::ImageFailed(one));
    on(&mut pool, Event::ImageWorked(one));
    on(&mut pool, Event::ImageFailed(one));
    assert_eq!(on(&mut pool, Event::ImageFailed(one)), [], "not in a row");
    let decisions = on(&mut pool, Event::ImageFailed(one));
    let [Decision::Try(slot, Subject::Image(tried))] = decisions[..] else { panic!() };
    assert!(tried == one && !pool.is_quarantined(one), "served until it was tried");
    let decisions = on(&mut pool, Event::TrialPassed(slot));
    assert!(matches!(decisions[..], [Decision::Start(..)]), "{decisions:?}");
    assert!(!pool.is_quarantined(one));
}

#[test]
fn an_image_that_is_out_is_tried_again_and_again_less_often() {
    let mut pool = proved(2, 0);
    let one = image(1);
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..3 {
        pool.on(Event::ImageFailed(one), now).expect("fits");
    }
    for round in 0..4 {
        let trial = pool.trial.expect("the image is being tried");
        assert_eq!(trial.subject, Subject::Image(one));
        let decisions = pool.on(Event::TrialFailed(trial.slot), now).expect("fits");
        assert_eq!(decisions.contains(&Decision::Quarantine(one)), round == 0);
        // Whether all VMs are bad is found out in another image.
        let trial = pool.trial.expect("vms are being tried");
        assert!(matches!(trial.subject, Subject::Worker(_)));
        pool.on(Event::TrialPassed(trial.slot), now).expect("fits");
        while let Some(slot) = starting(&pool) {
            pool.on(Event::Started(slot), now).expect("fits");
        }
        let due = pool.due().expect("a trial is due");
        waits.push((due - now).as_secs());
        now = due;
        pool.on(Event::Tick, now).expect("fits");
    }
    assert_eq!(waits, [60, 120, 240, 480]);
    let trial = pool.trial.expect("the image is being tried");
    let decisions = pool.on(Event::TrialPassed(trial.slot), now).expect("fits");
    assert_eq!(decisions[0], Decision::Release(one));
}

#[test]
fn a_condemned_image_stays_out() {
    let mut pool = proved(1, 0);
    let one = image(1);
    assert_eq!(on(&mut pool, Event::ImageCondemned(one)), [Decision::Quarantine(one)]);
    assert_eq!(on(&mut pool, Event::ImageCondemned(one)), []);
    on(&mut pool, Event::ImageWorked(one));
    assert_eq!(pool.on(Event::Tick, Moment::from_secs(1_000_000)), Ok(vec![]));
    assert!(pool.is_quarantined(one));
}

#[test]
fn an_image_that_has_come_is_tried_before_it_is_offered() {
    let mut pool = proved(1, 0);
    let one = image(1);
    let slot = pool.ready[0];
    let decisions = on(&mut pool, Event::ImageArrived(one));
    assert_eq!(decisions, [Decision::Withhold(one), Decision::Try(slot, Subject::Image(one))]);
    assert!(pool.is_quarantined(one));
    let decisions = on(&mut pool, Event::TrialPassed(slot));
    assert_eq!(decisions[0], Decision::Release(one));
    // One that was out for good comes anew, whole.
    assert_eq!(on(&mut pool, Event::ImageCondemned(one)), [Decision::Quarantine(one)]);
    assert_eq!(on(&mut pool, Event::ImageLeft(one)), [Decision::Forget(one)]);
    assert_eq!(on(&mut pool, Event::ImageLeft(one)), []);
    assert_eq!(on(&mut pool, Event::ImageArrived(one))[0], Decision::Withhold(one));
}

#[test]
fn a_trial_of_an_image_calls_back_a_vm_when_all_are_on_offer() {
    let mut pool = proved(2, 0);
    for _ in 0..2 {
        on(&mut pool, Event::Wanted);
    }
    for _ in 0..2 {
        assert_eq!(on(&mut pool, Event::ImageFailed(image(1))), []);
    }
    let decisions = on(&mut pool, Event::ImageFailed(image(1)));
    assert_eq!(decisions, [Decision::Recall(SlotId(0))]);
    assert_eq!(on(&mut pool, Event::Tick), [], "one is enough");
    let decisions = on(&mut pool, Event::GivenBack(SlotId(0)));
    assert_eq!(decisions, [Decision::Try(SlotId(0), Subject::Image(image(1)))]);
}

#[test]
fn a_standby_vm_is_offered_only_when_a_job_has_ended() {
    let mut pool = proved(1, 1);
    on(&mut pool, Event::Wanted);
    let offered = in_state(&pool, Slot::Offered).next().expect("one is offered");
    on(&mut pool, Event::Leased(offered));
    assert_eq!(on(&mut pool, Event::Wanted), [], "no more jobs than slots");
    let decisions = on(&mut pool, Event::Gone(offered));
    assert!(matches!(decisions[..], [Decision::Offer(_), Decision::Start(..)]), "{decisions:?}");
}

#[test]
fn vms_killed_all_at_once_come_back_a_few_at_a_time_and_those_that_keep_dying_more_slowly() {
    let mut pool = Pool::new(PoolTerms { starts_per_second: 4, ..terms(4) });
    let mut now = NOW;
    let mut starts: Vec<Moment> = Vec::new();
    let mut alive: Vec<SlotId> = Vec::new();
    let mut decisions = pool.on(Event::Tick, now).expect("fits");
    while now < Moment::from_secs(60) {
        let mut next = Vec::new();
        for decision in decisions {
            let Decision::Start(slot, _) = decision else { panic!("{decision:?}") };
            starts.push(now);
            next.extend(pool.on(Event::Started(slot), now).expect("fits"));
            alive.push(slot);
        }
        decisions = next;
        if decisions.is_empty() {
            for slot in alive.drain(..) {
                decisions.extend(pool.on(Event::Gone(slot), now).expect("fits"));
            }
        }
        if decisions.is_empty() {
            now = pool.due().expect("something is held up");
            decisions = pool.on(Event::Tick, now).expect("fits");
        }
    }
    let within = |seconds| starts.iter().filter(|at| **at < Moment::from_secs(seconds)).count();
    assert_eq!(within(1), 11, "{starts:?}");
    assert!(within(60) < 60, "{} starts in a minute", within(60));
}
