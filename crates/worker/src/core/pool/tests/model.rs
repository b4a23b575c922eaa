//! The policy against a model that is too simple to be wrong: VMs by state, what each was made
//! of, what has proved itself, who waits.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;

/// What a VM was made of.
type Origin = (How, u32);

#[derive(Debug, Default)]
struct Model {
    states: BTreeMap<SlotId, (Slot, Origin)>,
    wanted: u32,
    generation: u32,
    building: bool,
    /// Proved itself, and was not doubted since.
    good: HashSet<Origin>,
    trial: Option<(SlotId, Subject)>,
    out: BTreeSet<Digest>,
    condemned: BTreeSet<Digest>,
    draining: bool,
    drained: bool,
}

impl Model {
    fn count(&self, state: Slot) -> u32 {
        let count = self.states.values().filter(|(now, _)| *now == state).count();
        u32::try_from(count).expect("few")
    }

    fn alive(&self) -> u32 {
        u32::try_from(self.states.len()).expect("few")
    }

    fn pick(&self, state: Slot, pick: usize) -> Option<SlotId> {
        let all = self.states.iter().filter(|(_, (now, _))| *now == state);
        let all: Vec<SlotId> = all.map(|(slot, _)| *slot).collect();
        (!all.is_empty()).then(|| all[pick % all.len()])
    }

    fn go(&mut self, from: Slot, to: Slot, pick: usize) -> Option<SlotId> {
        let slot = self.pick(from, pick)?;
        self.states.get_mut(&slot)?.0 = to;
        Some(slot)
    }

    fn end(&mut self, from: Slot, pick: usize) -> Option<SlotId> {
        let slot = self.pick(from, pick)?;
        self.states.remove(&slot);
        Some(slot)
    }

    /// Turns a random choice into an event that can happen, and makes it happen in the model.
    fn step(&mut self, choice: u8, pick: usize) -> Option<Event> {
        let image = Digest([u8::try_from(pick % 3).expect("small"); 32]);
        Some(match choice {
            0 => Event::Started(self.go(Slot::Starting, Slot::Ready, pick)?),
            1 => Event::Started(self.go(Slot::Starting, Slot::Ready, pick)?),
            2 => Event::StartFailed(self.end(Slot::Starting, pick)?),
            3 | 4 => {
                self.wanted += 1;
                Event::Wanted
            }
            5 => {
                self.wanted = self.wanted.saturating_sub(1);
                Event::Unwanted
            }
            6 => Event::Leased(self.go(Slot::Offered, Slot::Leased, pick)?),
            7 => Event::GivenBack(self.go(Slot::Offered, Slot::Ready, pick)?),
            8 => Event::Gone(self.end(Slot::Ready, pick)?),
            9 => Event::Gone(self.end(Slot::Offered, pick)?),
            10 => Event::Gone(self.end(Slot::Leased, pick)?),
            11 => Event::Gone(self.end(Slot::Ending, pick)?),
            12 | 13 => {
                let (slot, subject) = self.trial.take()?;
                let (_, origin) = self.states.remove(&slot)?;
                if choice == 12 {
                    if origin.1 == self.generation {
                        self.good.insert(origin);
                    }
                    Event::TrialPassed(slot)
                } else {
                    if matches!(subject, Subject::Image(_)) && origin.1 == self.generation {
                        self.good.remove(&origin);
                    }
                    Event::TrialFailed(slot)
                }
            }
            14 => Event::InputsChanged,
            15 if self.building => {
                self.building = false;
                self.generation += 1;
                Event::Rebuilt
            }
            16 if self.building => {
                self.building = false;
                Event::RebuildFailed
            }
            17 | 18 => Event::ImageFailed(image),
            19 => Event::ImageWorked(image),
            20 if pick % 16 == 0 => {
                self.condemned.insert(image);
                Event::ImageCondemned(image)
            }
            21 if pick % 32 == 0 => {
                self.draining = true;
                Event::Drain
            }
            22 if pick % 4 == 0 => {
                self.condemned.remove(&image);
                Event::ImageArrived(image)
            }
            23 if pick % 4 == 0 => {
                self.condemned.remove(&image);
                Event::ImageLeft(image)
            }
            _ => Event::Tick,
        })
    }

    /// Follows a decision, refusing what the model knows to be wrong.
    fn follow(&mut self, decision: Decision, terms: &PoolTerms) -> Result<(), TestCaseError> {
        match decision {
            Decision::Start(slot, how) => {
                prop_assert!(!self.draining, "started while draining");
                prop_assert!(slot.0 < terms.places());
                let origin = (how, self.generation);
                let before = self.states.insert(slot, (Slot::Starting, origin));
                prop_assert_eq!(before, None, "slot used twice");
            }
            Decision::Offer(slot) => {
                let (state, origin) = self.states[&slot];
                prop_assert_eq!(state, Slot::Ready, "offered what is not ready");
                prop_assert!(self.good.contains(&origin), "offered what was not proved");
                prop_assert!(self.wanted > 0, "offered to nobody");
                self.wanted -= 1;
                self.states.insert(slot, (Slot::Offered, origin));
            }
            Decision::Recall(slot) => {
                prop_assert_eq!(self.states[&slot].0, Slot::Offered);
            }
            Decision::Discard(slot) => {
                let (state, origin) = self.states[&slot];
                prop_assert_eq!(state, Slot::Ready);
                let is_old = origin.1 != self.generation;
                let is_restored = origin.0 == How::Restore && !self.good.contains(&origin);
                prop_assert!(self.draining || is_old || is_restored, "discarded a good one");
                self.states.insert(slot, (Slot::Ending, origin));
            }
            Decision::Try(slot, subject) => {
                let (state, origin) = self.states[&slot];
                prop_assert!(!self.draining && self.trial.is_none());
                prop_assert_eq!(state, Slot::Ready);
                if let Subject::Image(image) = subject {
                    prop_assert!(!self.condemned.contains(&image));
                }
                self.states.insert(slot, (Slot::Trial, origin));
                self.trial = Some((slot, subject));
            }
            Decision::Rebuild => {
                prop_assert!(!self.draining && !self.building);
                self.building = true;
            }
            Decision::Withhold(image) => prop_assert!(self.out.insert(image)),
            Decision::Forget(image) => prop_assert!(self.out.remove(&image)),
            Decision::Quarantine(image) => prop_assert!(self.out.insert(image)),
            Decision::Release(image) => {
                prop_assert!(self.out.remove(&image) && !self.condemned.contains(&image));
            }
            Decision::Drained => {
                prop_assert!(self.draining && self.alive() == 0 && !self.drained);
                self.drained = true;
            }
        }
        Ok(())
    }

    fn check(&self, pool: &Pool, terms: &PoolTerms, now: Moment) -> Result<(), TestCaseError> {
        prop_assert!(self.alive() <= terms.places());
        prop_assert_eq!(pool.held(), self.alive() + u32::from(self.building));
        for state in Slot::ALL.into_iter().filter(|state| *state != Slot::Empty) {
            prop_assert_eq!(pool.count(state), self.count(state));
        }
        for image in 0..3 {
            let image = Digest([image; 32]);
            prop_assert_eq!(pool.is_quarantined(image), self.out.contains(&image));
        }
        prop_assert!(self.count(Slot::Starting) <= terms.starting_max);
        // The back-pressure: never more on offer than jobs may run.
        let busy = self.count(Slot::Offered) + self.count(Slot::Leased);
        prop_assert!(busy <= terms.slots);
        // Nobody waits while a good VM does.
        let idle = self.states.values().any(|it| it.0 == Slot::Ready && self.good.contains(&it.1));
        prop_assert!(self.wanted == 0 || busy == terms.slots || !idle || self.draining);
        prop_assert_eq!(self.drained, self.draining && self.alive() == 0);
        if self.draining {
            return Ok(());
        }
        // Every wait has an end: somebody works at it, or the clock does.
        let due = pool.due().is_some_and(|due| due > now);
        if self.alive() < terms.places() && self.count(Slot::Starting) == 0 {
            prop_assert!(due, "nothing will fill the pool");
        }
        let untried =
            self.states.values().any(|it| it.0 == Slot::Ready && !self.good.contains(&it.1));
        prop_assert!(!untried || due || self.trial.is_some(), "nothing will try what is untried");
        let lost = !self.good.iter().any(|it| it.1 == self.generation) && self.trial.is_none();
        let held_up = [Slot::Offered, Slot::Leased, Slot::Ending, Slot::Starting];
        let comes = held_up.iter().any(|state| self.count(*state) > 0);
        prop_assert!(!lost || due || comes, "a new zygote will never be tried");
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_history_agrees_with_the_model(
        slots in 1u32..5,
        standby in 0u32..3,
        steps in prop::collection::vec((0u8..24, any::<usize>(), 0u64..300), 0..300),
    ) {
        let terms = PoolTerms {
            standby,
            trials: true,
            starts_per_second: 20,
            rebuild_min: Duration::from_millis(500),
            quarantine_min: Duration::from_secs(1),
            ..terms(slots)
        };
        let mut pool = Pool::new(terms.clone());
        let mut model = Model::default();
        let mut now = Moment::ZERO;
        let mut starts: Vec<Moment> = Vec::new();
        for (choice, pick, later) in steps {
            now += Duration::from_millis(later);
            let Some(event) = model.step(choice, pick) else { continue };
            for decision in pool.on(event, now).map_err(|bad| TestCaseError::fail(bad.to_string()))? {
                starts.extend(matches!(decision, Decision::Start(..)).then_some(now));
                model.follow(decision, &terms)?;
            }
            model.check(&pool, &terms, now)?;
        }
        let a_second_ago = |at: &&Moment| **at + Duration::from_secs(1) > now;
        let recent = starts.iter().rev().take_while(a_second_ago).count();
        prop_assert!(recent <= 20 + 2 * terms.places() as usize, "{recent} starts in a second");
    }
}
