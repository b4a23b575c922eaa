//! The policy, case by case.

mod model;
mod trust;

use std::time::Duration;

use super::*;

fn terms(slots: u32) -> PoolTerms {
    PoolTerms {
        starts_per_second: u32::MAX,
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(5),
        rebuild_min: Duration::from_secs(10),
        trials: false,
        ..PoolTerms::of(slots, 0)
    }
}

/// A pool that takes VMs on trust.
fn pool(slots: u32) -> Pool {
    Pool::new(terms(slots))
}

fn on(pool: &mut Pool, event: Event) -> Vec<Decision> {
    pool.on(event, Moment::ZERO).expect("event fits the state")
}

#[test]
fn spare_cores_are_left_alone_but_one_slot_always_is() {
    assert_eq!(slots_of(8, 1), 7);
    assert_eq!(slots_of(1, 1), 1);
    assert_eq!(slots_of(2, 9), 1);
}

#[test]
fn slots_are_filled_a_few_at_a_time() {
    let mut pool = pool(3);
    let first = on(&mut pool, Event::Tick);
    let starts = [0, 1].map(|slot| Decision::Start(SlotId(slot), How::Restore));
    assert_eq!(first, starts);
    let second = on(&mut pool, Event::Started(SlotId(0)));
    assert_eq!(second, [Decision::Start(SlotId(2), How::Restore)]);
}

#[test]
fn nothing_is_offered_before_a_vm_is_ready_and_the_first_is_offered_at_once() {
    let mut pool = pool(1);
    on(&mut pool, Event::Tick);
    assert_eq!(on(&mut pool, Event::Wanted), []);
    assert_eq!(on(&mut pool, Event::Started(SlotId(0))), [Decision::Offer(SlotId(0))]);
}

#[test]
fn a_used_vm_is_replaced_at_once() {
    let mut pool = pool(1);
    on(&mut pool, Event::Tick);
    on(&mut pool, Event::Wanted);
    on(&mut pool, Event::Started(SlotId(0)));
    on(&mut pool, Event::Leased(SlotId(0)));
    let decisions = on(&mut pool, Event::Gone(SlotId(0)));
    assert_eq!(decisions, [Decision::Start(SlotId(0), How::Restore)]);
}

#[test]
fn a_ready_vm_that_dies_is_replaced_and_not_offered() {
    let mut pool = pool(1);
    on(&mut pool, Event::Tick);
    on(&mut pool, Event::Started(SlotId(0)));
    assert_eq!(on(&mut pool, Event::Gone(SlotId(0))), [Decision::Start(SlotId(0), How::Restore)]);
    assert_eq!(on(&mut pool, Event::Wanted), []);
}

#[test]
fn repeated_failures_wait_longer_and_then_boot() {
    let mut pool = pool(2);
    let mut now = Moment::ZERO;
    pool.on(Event::Tick, now).expect("fits");
    let mut waits = Vec::new();
    // Both first starts fail; from then on one at a time is tried.
    assert_eq!(pool.on(Event::StartFailed(SlotId(1)), now), Ok(vec![]));
    pool.on(Event::StartFailed(SlotId(0)), now).expect("fits");
    let mut how = How::Restore;
    for _ in 0..8 {
        let due = pool.start_not_before();
        waits.push((due - now).as_millis());
        now = due;
        let mut decisions = pool.on(Event::Tick, now).expect("fits");
        decisions.retain(|decision| *decision != Decision::Rebuild);
        let [Decision::Start(slot, this)] = decisions[..] else { panic!("{decisions:?}") };
        how = this;
        pool.on(Event::StartFailed(slot), now).expect("fits");
    }
    assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    assert_eq!(how, How::Boot);
    let due = pool.start_not_before();
    pool.on(Event::Tick, due).expect("fits");
    let decisions = pool.on(Event::Started(SlotId(0)), due).expect("fits");
    assert_eq!(decisions, [Decision::Start(SlotId(1), How::Boot)]);
    // Only a new zygote is worth another try.
    let decisions = pool.on(Event::Rebuilt, due).expect("was being built");
    assert_eq!(decisions, [Decision::Discard(SlotId(0))]);
    let decisions = pool.on(Event::Gone(SlotId(0)), due).expect("fits");
    assert_eq!(decisions, [Decision::Start(SlotId(0), How::Restore)]);
}

#[test]
fn drain_kills_what_waits_and_spares_what_runs() {
    let mut pool = pool(3);
    on(&mut pool, Event::Tick);
    on(&mut pool, Event::Wanted);
    on(&mut pool, Event::Started(SlotId(0)));
    on(&mut pool, Event::Leased(SlotId(0)));
    on(&mut pool, Event::Started(SlotId(1)));
    assert_eq!(on(&mut pool, Event::Drain), [Decision::Discard(SlotId(1))]);
    assert_eq!(on(&mut pool, Event::Gone(SlotId(1))), []);
    assert_eq!(on(&mut pool, Event::Started(SlotId(2))), [Decision::Discard(SlotId(2))]);
    assert_eq!(on(&mut pool, Event::Gone(SlotId(2))), []);
    assert_eq!(on(&mut pool, Event::Gone(SlotId(0))), [Decision::Drained]);
}

#[test]
fn the_table_of_transitions_is_the_diagram_of_the_module() {
    let mut table = String::new();
    let slot = SlotId(0);
    for state in Slot::ALL {
        for event in [
            Event::Started(slot),
            Event::StartFailed(slot),
            Event::Leased(slot),
            Event::GivenBack(slot),
            Event::Gone(slot),
            Event::TrialPassed(slot),
            Event::TrialFailed(slot),
        ] {
            let mut pool = pool(1);
            // Nothing else is to happen: no start, and nobody to offer to.
            pool.rate.spend(Moment::from_secs(9));
            pool.change(slot, |place| (place.state, place.vouched) = (state, true));
            if state == Slot::Trial {
                let subject = Subject::Worker(0);
                pool.trial = Some(Running { slot, subject, how: How::Restore, generation: 0 });
            }
            let before = format!("{:?}", pool.places);
            let after = match pool.on(event, Moment::ZERO) {
                Ok(_) => pool.state(slot).map_or("", Slot::as_str),
                Err(refused) => {
                    assert_eq!((refused.state, refused.event), (Some(state), event));
                    assert_eq!(format!("{:?}", pool.places), before, "a refusal changes nothing");
                    "refused"
                }
            };
            let event = format!("{event:?}").split('(').next().unwrap_or_default().to_owned();
            table += &format!("{} {event} {after}\n", state.as_str());
        }
    }
    let allowed: Vec<&str> = table.lines().filter(|line| !line.ends_with("refused")).collect();
    let expected = [
        "starting Started ready",
        "starting StartFailed empty",
        "ready Gone empty",
        "offered Leased leased",
        "offered GivenBack ready",
        "offered Gone empty",
        "leased Gone empty",
        "trial TrialPassed empty",
        "trial TrialFailed empty",
        "ending Gone empty",
    ];
    assert_eq!(allowed, expected);
    for event in [Event::Rebuilt, Event::RebuildFailed] {
        let refused = pool(1).on(event, Moment::ZERO).expect_err("nothing is being built");
        assert_eq!((refused.state, refused.event), (None, event));
    }
}
