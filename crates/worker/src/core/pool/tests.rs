//! The policy against a model that is too simple to be wrong: a count of VMs by state.

use super::*;
use proptest::prelude::*;

fn terms(slots: u32) -> PoolTerms {
    PoolTerms {
        slots,
        starting_max: 2,
        restores_max: 3,
        backoff_min: Duration::from_millis(100),
        backoff_max: Duration::from_secs(5),
    }
}

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
        let due = pool.due().expect("a start is held up");
        waits.push((due - now).as_millis());
        now = due;
        let decisions = pool.on(Event::Tick, now).expect("fits");
        let [Decision::Start(slot, this)] = decisions[..] else { panic!("{decisions:?}") };
        how = this;
        pool.on(Event::StartFailed(slot), now).expect("fits");
    }
    assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    assert_eq!(how, How::Boot);
    let due = pool.due().expect("a start is held up");
    pool.on(Event::Tick, due).expect("fits");
    let decisions = pool.on(Event::Started(SlotId(0)), due).expect("fits");
    assert_eq!(decisions, [Decision::Start(SlotId(1), How::Restore)]);
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
    for state in Slot::ALL {
        for event in [
            Event::Started(SlotId(0)),
            Event::StartFailed(SlotId(0)),
            Event::Leased(SlotId(0)),
            Event::GivenBack(SlotId(0)),
            Event::Gone(SlotId(0)),
        ] {
            let mut pool = pool(1);
            pool.not_before = Moment::MAX;
            pool.put(SlotId(0), state);
            let after = match pool.on(event, Moment::ZERO) {
                Ok(_) => pool.state(SlotId(0)).map_or("", Slot::as_str),
                Err(_) => "refused",
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
    ];
    assert_eq!(allowed, expected);
}

/// The model: how many VMs are in which state, who waits, nothing else.
#[derive(Debug, Default)]
struct Model {
    starting: Vec<SlotId>,
    ready: Vec<SlotId>,
    offered: Vec<SlotId>,
    leased: Vec<SlotId>,
    wanted: u32,
    draining: bool,
    drained: bool,
}

impl Model {
    fn alive(&self) -> usize {
        self.starting.len() + self.ready.len() + self.offered.len() + self.leased.len()
    }

    fn take(list: &mut Vec<SlotId>, pick: usize) -> Option<SlotId> {
        (!list.is_empty()).then(|| list.remove(pick % list.len()))
    }

    /// Turns a random choice into an event that can happen, and makes it happen in the model.
    fn step(&mut self, choice: u8, pick: usize) -> Option<Event> {
        Some(match choice {
            0 => Event::Tick,
            1 => {
                let slot = Self::take(&mut self.starting, pick)?;
                self.ready.push(slot);
                Event::Started(slot)
            }
            2 => Event::StartFailed(Self::take(&mut self.starting, pick)?),
            3 => {
                self.wanted += 1;
                Event::Wanted
            }
            4 => {
                self.wanted = self.wanted.saturating_sub(1);
                Event::Unwanted
            }
            5 => {
                let slot = Self::take(&mut self.offered, pick)?;
                self.leased.push(slot);
                Event::Leased(slot)
            }
            6 => {
                let slot = Self::take(&mut self.offered, pick)?;
                self.ready.push(slot);
                Event::GivenBack(slot)
            }
            7 => Event::Gone(Self::take(&mut self.ready, pick)?),
            8 => Event::Gone(Self::take(&mut self.offered, pick)?),
            9 => Event::Gone(Self::take(&mut self.leased, pick)?),
            _ if pick % 8 == 0 => {
                self.draining = true;
                Event::Drain
            }
            _ => Event::Tick,
        })
    }

    /// Follows a decision, refusing what the model knows to be wrong.
    fn follow(&mut self, decision: Decision, slots: u32) -> Result<(), TestCaseError> {
        match decision {
            Decision::Start(slot, _) => {
                prop_assert!(!self.draining, "started while draining");
                let all = [&self.starting, &self.ready, &self.offered, &self.leased];
                prop_assert!(!all.iter().any(|list| list.contains(&slot)), "slot used twice");
                prop_assert!(slot.0 < slots);
                self.starting.push(slot);
            }
            Decision::Offer(slot) => {
                let at = self.ready.iter().position(|ready| *ready == slot);
                prop_assert!(at.is_some(), "offered what is not ready");
                prop_assert!(self.wanted > 0, "offered to nobody");
                self.wanted -= 1;
                self.ready.retain(|ready| *ready != slot);
                self.offered.push(slot);
            }
            Decision::Discard(slot) => {
                prop_assert!(self.draining && self.ready.contains(&slot));
            }
            Decision::Drained => {
                prop_assert!(self.draining && self.alive() == 0 && !self.drained);
                self.drained = true;
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_history_agrees_with_the_model(
        slots in 1u32..6,
        steps in prop::collection::vec((0u8..12, any::<usize>(), 0u64..300), 0..200),
    ) {
        let mut pool = pool(slots);
        let mut model = Model::default();
        let mut now = Moment::ZERO;
        for (choice, pick, later) in steps {
            now += Duration::from_millis(later);
            let Some(event) = model.step(choice, pick) else { continue };
            for decision in pool.on(event, now).map_err(|bad| TestCaseError::fail(bad.to_string()))? {
                model.follow(decision, slots)?;
            }
            prop_assert!(model.alive() <= slots as usize);
            prop_assert_eq!(pool.count(Slot::Starting) as usize, model.starting.len());
            prop_assert_eq!(pool.count(Slot::Ready) as usize, model.ready.len());
            prop_assert_eq!(pool.count(Slot::Offered) as usize, model.offered.len());
            prop_assert_eq!(pool.count(Slot::Leased) as usize, model.leased.len());
            prop_assert!(model.starting.len() <= 2);
            // Nobody waits while a VM does.
            prop_assert!(model.wanted == 0 || model.ready.is_empty() || model.draining);
            // A slot stays empty only for a reason: others are starting, or a wait is running.
            if !model.draining && model.alive() < slots as usize && model.starting.is_empty() {
                prop_assert!(pool.due().is_some_and(|due| due > now), "nothing will fill the pool");
            }
            prop_assert_eq!(model.drained, model.draining && model.alive() == 0);
        }
    }
}
