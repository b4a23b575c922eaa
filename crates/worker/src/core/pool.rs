//! The pool's policy: which slots are filled, when, and how.
//!
//! Owns the state of every slot and nothing else. It never sees a VM: events come in, decisions
//! come out, and the driver acts on them in order.
//!
//! ```text
//!          Start            started            take            leased
//!  Empty ---------> Starting -------> Ready ---------> Offered --------> Leased
//!    ^                 | failed        | died | ^ given   | gone           | gone
//!    +-----------------+---------------+------+ | back    |                |
//!    ^                                  (drain) +---------+                |
//!    +----------------------------------------------------+----------------+
//! ```
//! A slot is offered to the LB only while a VM that is ready is in it: that is the back-pressure.
//! When starting fails, the next start waits; after [`PoolTerms::restores_max`] failures in a row
//! a VM is booted instead of restored. Once draining, nothing is started any more.

use std::collections::VecDeque;
use std::time::Duration;

use super::Moment;

/// One VM's worth of capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

impl std::fmt::Display for SlotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How many slots a host has: its cores less those kept free, and never none.
pub fn slots_of(cores: u32, spare: u32) -> u32 {
    cores.saturating_sub(spare).max(1)
}

/// What the policy is told once.
#[derive(Debug, Clone)]
pub struct PoolTerms {
    /// VMs alive at a time, whatever they do.
    pub slots: u32,
    /// VMs starting at a time. Starting is all CPU, and jobs need it too.
    pub starting_max: u32,
    /// Failures in a row after which a VM is booted instead of restored.
    pub restores_max: u32,
    /// Wait after the first failure; doubles with each further one.
    pub backoff_min: Duration,
    /// Longest wait.
    pub backoff_max: Duration,
}

/// What a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Nothing in it.
    Empty,
    /// A VM is being made.
    Starting,
    /// A VM waits, and nobody holds it.
    Ready,
    /// A VM waits, and the link offers it.
    Offered,
    /// A VM runs a job.
    Leased,
}

impl Slot {
    /// All states, in order of life.
    pub const ALL: [Self; 5] =
        [Self::Empty, Self::Starting, Self::Ready, Self::Offered, Self::Leased];

    /// Name, as in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Offered => "offered",
            Self::Leased => "leased",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time passed, or the worker began.
    Tick,
    /// A VM became ready.
    Started(SlotId),
    /// A VM could not be made.
    StartFailed(SlotId),
    /// Somebody wants a ready VM.
    Wanted,
    /// Somebody who wanted one wants it no more.
    Unwanted,
    /// An offered VM got a job.
    Leased(SlotId),
    /// An offered VM came back unused.
    GivenBack(SlotId),
    /// A VM is gone: killed after its job, or dead by itself.
    Gone(SlotId),
    /// No new work.
    Drain,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Make a VM.
    Start(SlotId, How),
    /// Hand the slot's VM to whoever asked first.
    Offer(SlotId),
    /// Kill the slot's VM: it is ready and nobody will use it.
    Discard(SlotId),
    /// Nothing is alive and nothing will be.
    Drained,
}

/// How to make a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// From the zygote.
    Restore,
    /// From the kernel up.
    Boot,
}

/// An event that cannot be in the slot's state: a defect of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("slot {slot} is {state:?}, so it cannot take {event:?}")]
pub struct Refused {
    /// Which slot.
    pub slot: SlotId,
    /// What it is doing; `None` if there is no such slot.
    pub state: Option<Slot>,
    /// What was told.
    pub event: Event,
}

/// The policy.
#[derive(Debug)]
pub struct Pool {
    terms: PoolTerms,
    slots: Vec<Slot>,
    /// Ready slots in the order they became ready: the oldest is offered first.
    ready: VecDeque<SlotId>,
    wanted: u32,
    failures: u32,
    not_before: Moment,
    draining: bool,
    drained: bool,
}

impl Pool {
    /// A pool of empty slots.
    pub fn new(terms: PoolTerms) -> Self {
        let slots = vec![Slot::Empty; usize::try_from(terms.slots).unwrap_or(0)];
        Self {
            terms,
            slots,
            ready: VecDeque::new(),
            wanted: 0,
            failures: 0,
            not_before: Moment::ZERO,
            draining: false,
            drained: false,
        }
    }

    /// Takes an event, returns what to do about it.
    ///
    /// # Errors
    /// An event that the slot's state does not allow; nothing was changed.
    pub fn on(&mut self, event: Event, now: Moment) -> Result<Vec<Decision>, Refused> {
        let mut decisions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Started(slot) => self.started(slot, event, &mut decisions)?,
            Event::StartFailed(slot) => self.start_failed(slot, event, now)?,
            Event::Wanted => self.wanted = self.wanted.saturating_add(1),
            Event::Unwanted => self.wanted = self.wanted.saturating_sub(1),
            Event::Leased(slot) => self.shift(slot, &[Slot::Offered], Slot::Leased, event)?,
            Event::GivenBack(slot) => self.given_back(slot, event, &mut decisions)?,
            Event::Gone(slot) => self.gone(slot, event)?,
            Event::Drain => self.drain(&mut decisions),
        }
        self.offer(&mut decisions);
        self.refill(now, &mut decisions);
        self.settle(&mut decisions);
        Ok(decisions)
    }

    /// When a tick is due: the end of a back-off that holds up a start.
    pub fn due(&self) -> Option<Moment> {
        let held_up = !self.draining && self.count(Slot::Empty) > 0 && self.failures > 0;
        (held_up && self.count(Slot::Starting) < self.starting_max()).then_some(self.not_before)
    }

    /// Slots in a state.
    pub fn count(&self, state: Slot) -> u32 {
        let count = self.slots.iter().filter(|slot| **slot == state).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What a slot is doing.
    pub fn state(&self, slot: SlotId) -> Option<Slot> {
        self.slots.get(index(slot)).copied()
    }

    /// Whether it starts nothing any more.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    fn started(
        &mut self,
        slot: SlotId,
        event: Event,
        decisions: &mut Vec<Decision>,
    ) -> Result<(), Refused> {
        self.shift(slot, &[Slot::Starting], Slot::Ready, event)?;
        self.failures = 0;
        self.not_before = Moment::ZERO;
        self.shelve(slot, decisions);
        Ok(())
    }

    fn start_failed(&mut self, slot: SlotId, event: Event, now: Moment) -> Result<(), Refused> {
        self.shift(slot, &[Slot::Starting], Slot::Empty, event)?;
        let doublings = self.failures.min(16);
        let wait = self.terms.backoff_min.saturating_mul(1 << doublings);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + wait.min(self.terms.backoff_max);
        Ok(())
    }

    fn given_back(
        &mut self,
        slot: SlotId,
        event: Event,
        decisions: &mut Vec<Decision>,
    ) -> Result<(), Refused> {
        self.shift(slot, &[Slot::Offered], Slot::Ready, event)?;
        self.shelve(slot, decisions);
        Ok(())
    }

    fn gone(&mut self, slot: SlotId, event: Event) -> Result<(), Refused> {
        self.shift(slot, &[Slot::Ready, Slot::Offered, Slot::Leased], Slot::Empty, event)?;
        self.ready.retain(|ready| *ready != slot);
        Ok(())
    }

    fn drain(&mut self, decisions: &mut Vec<Decision>) {
        self.draining = true;
        decisions.extend(self.ready.drain(..).map(Decision::Discard));
    }

    /// A ready VM waits for somebody, unless nobody will come.
    fn shelve(&mut self, slot: SlotId, decisions: &mut Vec<Decision>) {
        if self.draining {
            decisions.push(Decision::Discard(slot));
        } else {
            self.ready.push_back(slot);
        }
    }

    fn offer(&mut self, decisions: &mut Vec<Decision>) {
        while self.wanted > 0 {
            let Some(slot) = self.ready.pop_front() else {
                return;
            };
            self.put(slot, Slot::Offered);
            self.wanted -= 1;
            decisions.push(Decision::Offer(slot));
        }
    }

    fn refill(&mut self, now: Moment, decisions: &mut Vec<Decision>) {
        if self.draining || now < self.not_before {
            return;
        }
        // After a failure one start at a time finds out whether it works again.
        let starting_max = self.starting_max();
        let mut starting = self.count(Slot::Starting);
        let how = self.how();
        for (number, state) in (0u32..).zip(&mut self.slots) {
            if starting >= starting_max {
                return;
            }
            if *state == Slot::Empty {
                *state = Slot::Starting;
                starting += 1;
                decisions.push(Decision::Start(SlotId(number), how));
            }
        }
    }

    fn settle(&mut self, decisions: &mut Vec<Decision>) {
        let alive = self.slots.iter().any(|slot| *slot != Slot::Empty);
        if self.draining && !alive && !self.drained {
            self.drained = true;
            decisions.push(Decision::Drained);
        }
    }

    fn how(&self) -> How {
        if self.failures >= self.terms.restores_max { How::Boot } else { How::Restore }
    }

    fn starting_max(&self) -> u32 {
        if self.failures > 0 { 1 } else { self.terms.starting_max.max(1) }
    }

    fn shift(
        &mut self,
        slot: SlotId,
        from: &[Slot],
        to: Slot,
        event: Event,
    ) -> Result<(), Refused> {
        let state = self.state(slot);
        if state.is_some_and(|state| from.contains(&state)) {
            self.put(slot, to);
            return Ok(());
        }
        Err(Refused { slot, state, event })
    }

    fn put(&mut self, slot: SlotId, to: Slot) {
        if let Some(state) = self.slots.get_mut(index(slot)) {
            *state = to;
        }
    }
}

fn index(slot: SlotId) -> usize {
    usize::try_from(slot.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
