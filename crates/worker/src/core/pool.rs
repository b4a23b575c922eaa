//! The pool's policy: which slots are filled, when, and how; which VMs and images are trusted.
//!
//! Owns the state of every slot and nothing else. It never sees a VM: events come in, decisions
//! come out, and the driver acts on them in order.
//!
//! ```text
//!          Start            started            take            leased
//!  Empty ---------> Starting -------> Ready ---------> Offered --------> Leased
//!    ^                 | failed       | | | ^ given      |  gone            | gone
//!    +-----------------+     discard  | | | | back       |                  |
//!    +<------------------- Ending <---+ | | +------------+                  |
//!    +<------------------- Trial  <-----+ | died         |                  |
//!    +<-----------------------------------+--------------+------------------+
//! ```
//! A slot is offered to the LB only while a VM that is ready is in it, and no more of them than
//! jobs may run at a time: that is the back-pressure. The first VM of each zygote runs a job of
//! our own before any other like it is offered. When starting fails, the next start waits; when
//! it fails again and again, or trials do, the [`zygote`] is given up: VMs are booted until it is
//! built anew. When kernel or initramfs changed, a new zygote is built beside the old one, tried,
//! and VMs of the old one are replaced a few at a time. Once draining, nothing is started, tried
//! or built any more.

use std::collections::VecDeque;

use pe_proto::Digest;

use super::Moment;

mod images;
mod pace;
mod terms;
mod trust;
mod zygote;

use images::Images;
use pace::{Backoff, Rate};
pub use terms::{Decision, Event, How, PoolTerms, Refused, Slot, SlotId, Subject, slots_of};
use trust::Running;
use zygote::Zygote;

/// The policy.
#[derive(Debug)]
pub struct Pool {
    terms: PoolTerms,
    places: Vec<Place>,
    /// Ready slots in the order they became ready: the oldest is offered first.
    ready: VecDeque<SlotId>,
    wanted: u32,
    zygote: Zygote,
    images: Images,
    /// VMs of this generation that were made this way have proved themselves.
    proved: Vec<How>,
    trial: Option<Running>,
    trials_run: u32,
    trial_backoff: Backoff,
    start_backoff: Backoff,
    rate: Rate,
    /// VMs that died unused since one was last leased.
    deaths: u32,
    death_backoff: Backoff,
    seen: Moment,
    draining: bool,
    drained: bool,
}

/// A slot and what is known of its VM.
#[derive(Debug, Clone, Copy)]
struct Place {
    state: Slot,
    how: How,
    generation: u32,
    /// One like it ran a job of ours.
    vouched: bool,
    recalled: bool,
}

impl Pool {
    /// A pool of empty slots.
    pub fn new(terms: PoolTerms) -> Self {
        let empty = Place {
            state: Slot::Empty,
            how: How::Restore,
            generation: 0,
            vouched: false,
            recalled: false,
        };
        let places = vec![empty; usize::try_from(terms.places()).unwrap_or(0)];
        Self {
            places,
            ready: VecDeque::new(),
            wanted: 0,
            zygote: Zygote::new(&terms),
            images: Images::new(&terms),
            proved: Vec::new(),
            trial: None,
            trials_run: 0,
            trial_backoff: Backoff::new(terms.backoff_min, terms.backoff_max),
            start_backoff: Backoff::new(terms.backoff_min, terms.backoff_max),
            rate: Rate::new(terms.starts_per_second, terms.places().saturating_mul(2)),
            deaths: 0,
            death_backoff: Backoff::new(terms.backoff_min, terms.backoff_max),
            seen: Moment::ZERO,
            draining: false,
            drained: false,
            terms,
        }
    }

    /// A pool that has no zygote to begin with: it boots VMs and asks for one.
    pub fn without_zygote(terms: PoolTerms) -> Self {
        let mut pool = Self::new(terms);
        pool.zygote.missing(Moment::ZERO);
        pool
    }

    /// From now on VMs are tried before they are trusted.
    pub fn demand_trials(&mut self) {
        self.terms.trials = true;
    }

    /// Takes an event, returns what to do about it.
    ///
    /// # Errors
    /// An event that the state does not allow; nothing was changed.
    pub fn on(&mut self, event: Event, now: Moment) -> Result<Vec<Decision>, Refused> {
        self.seen = self.seen.max(now);
        let mut decisions = Vec::new();
        match event {
            Event::Tick => {}
            Event::Started(slot) => self.started(slot, event)?,
            Event::StartFailed(slot) => self.start_failed(slot, event, now)?,
            Event::Wanted => self.wanted = self.wanted.saturating_add(1),
            Event::Unwanted => self.wanted = self.wanted.saturating_sub(1),
            Event::Leased(slot) => {
                self.shift(slot, &[Slot::Offered], Slot::Leased, event)?;
                self.deaths = 0;
                self.death_backoff.worked();
            }
            Event::GivenBack(slot) => self.given_back(slot, event)?,
            Event::Gone(slot) => self.gone(slot, event, now)?,
            Event::TrialPassed(slot) => self.trial_passed(slot, event, &mut decisions)?,
            Event::TrialFailed(slot) => self.trial_failed(slot, event, now, &mut decisions)?,
            Event::InputsChanged => self.zygote.inputs_changed(now),
            Event::Rebuilt => self.rebuilt(event, now)?,
            Event::RebuildFailed => {
                let was_building = self.zygote.rebuild_failed(now);
                was_building.then_some(()).ok_or(Refused { state: None, event })?;
            }
            Event::ImageFailed(image) => self.images.failed(image),
            Event::ImageWorked(image) => self.images.worked(image),
            Event::ImageCondemned(image) => {
                if self.images.condemn(image) {
                    decisions.push(Decision::Quarantine(image));
                }
            }
            Event::ImageArrived(image) => {
                // Where nothing is tried, it is as good as the others.
                if self.terms.trials && self.images.arrived(image, now) {
                    decisions.push(Decision::Withhold(image));
                }
            }
            Event::ImageLeft(image) => {
                if self.images.left(image) {
                    decisions.push(Decision::Forget(image));
                }
            }
            Event::Drain => self.draining = true,
        }
        self.weed(&mut decisions);
        self.rebuild(now, &mut decisions);
        self.try_out(now, &mut decisions);
        self.offer(&mut decisions);
        self.refill(now, &mut decisions);
        self.settle(&mut decisions);
        Ok(decisions)
    }

    /// When a tick is due: the end of a wait that holds something up.
    pub fn due(&self) -> Option<Moment> {
        if self.draining {
            return None;
        }
        let may_start =
            self.count(Slot::Empty) > 0 && self.count(Slot::Starting) < self.starting_max();
        let start = may_start.then(|| self.start_not_before());
        let untried = self.trial.is_none() && self.next_untried().is_some();
        let trial = untried.then(|| self.trial_backoff.not_before());
        let image = self.trial.is_none().then(|| self.images.next()).flatten();
        let all = [start, trial, image, self.zygote.due()];
        all.into_iter().flatten().filter(|due| *due > self.seen).min()
    }

    /// Slots in a state.
    pub fn count(&self, state: Slot) -> u32 {
        let count = self.places.iter().filter(|place| place.state == state).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// VMs that there may be: those of slots, and one that becomes a zygote.
    pub fn held(&self) -> u32 {
        let empty = self.count(Slot::Empty);
        self.terms.places() - empty + u32::from(self.zygote.is_building())
    }

    /// What a slot is doing.
    pub fn state(&self, slot: SlotId) -> Option<Slot> {
        self.place(slot).map(|place| place.state)
    }

    /// Whether an image is left alone.
    pub fn is_quarantined(&self, image: Digest) -> bool {
        self.images.is_out(image)
    }

    /// Whether it starts nothing any more.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    fn started(&mut self, slot: SlotId, event: Event) -> Result<(), Refused> {
        let place = self.shift(slot, &[Slot::Starting], Slot::Ready, event)?;
        self.start_backoff.worked();
        if place.how == How::Restore && place.generation == self.zygote.generation() {
            self.zygote.restored();
            if !self.terms.trials {
                self.zygote.proved();
            }
        }
        let vouched = place.generation == self.zygote.generation() && self.is_proved(place.how);
        self.change(slot, |place| place.vouched = vouched);
        self.ready.push_back(slot);
        Ok(())
    }

    fn start_failed(&mut self, slot: SlotId, event: Event, now: Moment) -> Result<(), Refused> {
        let place = self.shift(slot, &[Slot::Starting], Slot::Empty, event)?;
        self.start_backoff.failed(now);
        if place.how == How::Restore && place.generation == self.zygote.generation() {
            self.zygote.restore_failed(now);
        }
        Ok(())
    }

    fn given_back(&mut self, slot: SlotId, event: Event) -> Result<(), Refused> {
        self.shift(slot, &[Slot::Offered], Slot::Ready, event)?;
        self.change(slot, |place| place.recalled = false);
        self.ready.push_back(slot);
        Ok(())
    }

    fn gone(&mut self, slot: SlotId, event: Event, now: Moment) -> Result<(), Refused> {
        let from = [Slot::Ready, Slot::Offered, Slot::Leased, Slot::Ending];
        let was = self.shift(slot, &from, Slot::Empty, event)?;
        self.ready.retain(|ready| *ready != slot);
        if matches!(was.state, Slot::Ready | Slot::Offered) {
            self.deaths = self.deaths.saturating_add(1);
            // All of them may die once, as when somebody kills them. When their successors do,
            // too, starting more of them is no help.
            if self.deaths > self.terms.places() {
                self.death_backoff.failed(now);
            }
        }
        Ok(())
    }

    fn rebuilt(&mut self, event: Event, now: Moment) -> Result<(), Refused> {
        if !self.zygote.rebuilt(now) {
            return Err(Refused { state: None, event });
        }
        self.proved.clear();
        self.trial_backoff.worked();
        Ok(())
    }

    fn rebuild(&mut self, now: Moment, decisions: &mut Vec<Decision>) {
        if !self.draining && self.zygote.begin(now) {
            decisions.push(Decision::Rebuild);
        }
    }

    fn offer(&mut self, decisions: &mut Vec<Decision>) {
        let mut busy = self.count(Slot::Offered) + self.count(Slot::Leased);
        while self.wanted > 0 && busy < self.terms.slots {
            let at = self.ready.iter().position(|slot| self.is_vouched(*slot));
            let Some(slot) = at.and_then(|at| self.ready.remove(at)) else {
                return;
            };
            self.change(slot, |place| place.state = Slot::Offered);
            self.wanted -= 1;
            busy += 1;
            decisions.push(Decision::Offer(slot));
        }
    }

    fn refill(&mut self, now: Moment, decisions: &mut Vec<Decision>) {
        if self.draining {
            return;
        }
        let starting_max = self.starting_max();
        let mut starting = self.count(Slot::Starting);
        let (how, generation) = (self.zygote.how(), self.zygote.generation());
        for number in 0..self.terms.places() {
            if starting >= starting_max || self.start_not_before() > now {
                return;
            }
            let slot = SlotId(number);
            if self.state(slot) == Some(Slot::Empty) {
                let state = Slot::Starting;
                let (vouched, recalled) = (false, false);
                self.change(slot, |it| *it = Place { state, how, generation, vouched, recalled });
                self.rate.spend(now);
                starting += 1;
                decisions.push(Decision::Start(slot, how));
            }
        }
    }

    fn settle(&mut self, decisions: &mut Vec<Decision>) {
        let alive = self.count(Slot::Empty) < self.terms.places();
        if self.draining && !alive && !self.drained {
            self.drained = true;
            decisions.push(Decision::Drained);
        }
    }

    fn start_not_before(&self) -> Moment {
        let waits = [&self.start_backoff, &self.death_backoff].map(Backoff::not_before);
        waits.into_iter().fold(self.rate.next(), Moment::max)
    }

    /// After a failure one start at a time finds out whether it works again.
    fn starting_max(&self) -> u32 {
        if self.start_backoff.has_failed() { 1 } else { self.terms.starting_max.max(1) }
    }

    /// Changes a slot's state; returns what it was before.
    fn shift(
        &mut self,
        slot: SlotId,
        from: &[Slot],
        to: Slot,
        event: Event,
    ) -> Result<Place, Refused> {
        let was = self.place(slot);
        let fits = was.filter(|place| from.contains(&place.state));
        let was = fits.ok_or(Refused { state: was.map(|place| place.state), event })?;
        self.change(slot, |place| {
            place.state = to;
            place.recalled &= to == Slot::Offered;
        });
        Ok(was)
    }

    fn place(&self, slot: SlotId) -> Option<Place> {
        self.places.get(index(slot)).copied()
    }

    fn change(&mut self, slot: SlotId, how: impl FnOnce(&mut Place)) {
        if let Some(place) = self.places.get_mut(index(slot)) {
            how(place);
        }
    }
}

fn index(slot: SlotId) -> usize {
    usize::try_from(slot.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
