//! Which VMs are trusted: trials of VMs and images, and what becomes of VMs that are not.
//!
//! A VM is offered only if it is vouched for: one of its kind (made the same way, of the same
//! zygote) ran a job of ours. When an image fails its trial nobody knows whether the image is bad
//! or all VMs are, so its kind is doubted until it has passed a trial in another image.

use super::terms::{Decision, Event, How, Refused, Slot, SlotId, Subject};
use super::{Place, Pool};
use crate::core::Moment;

/// A trial that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) slot: SlotId,
    pub(super) subject: Subject,
    pub(super) how: How,
    pub(super) generation: u32,
}

impl Pool {
    pub(super) fn trial_passed(
        &mut self,
        slot: SlotId,
        event: Event,
        decisions: &mut Vec<Decision>,
    ) -> Result<(), Refused> {
        let trial = self.end_trial(slot, event)?;
        self.trial_backoff.worked();
        if trial.generation == self.zygote.generation() {
            self.prove(trial.how);
        }
        match trial.subject {
            Subject::Image(image) if self.images.trial_passed(image) => {
                decisions.push(Decision::Release(image));
            }
            Subject::Image(_) | Subject::Worker(_) => {}
        }
        Ok(())
    }

    pub(super) fn trial_failed(
        &mut self,
        slot: SlotId,
        event: Event,
        now: Moment,
        decisions: &mut Vec<Decision>,
    ) -> Result<(), Refused> {
        let trial = self.end_trial(slot, event)?;
        let is_current = trial.generation == self.zygote.generation();
        match trial.subject {
            Subject::Worker(_) => {
                self.trial_backoff.failed(now);
                if is_current && trial.how == How::Restore {
                    self.zygote.trial_failed(now);
                }
            }
            Subject::Image(image) => {
                if self.images.trial_failed(image, now) {
                    decisions.push(Decision::Quarantine(image));
                }
                // The image, or every VM of its kind? Another trial tells.
                if is_current {
                    self.doubt(trial.how);
                }
            }
        }
        Ok(())
    }

    fn end_trial(&mut self, slot: SlotId, event: Event) -> Result<Running, Refused> {
        let state = self.state(slot);
        let refused = Refused { state, event };
        let trial = self.trial.filter(|trial| trial.slot == slot).ok_or(refused)?;
        self.shift(slot, &[Slot::Trial], Slot::Empty, event)?;
        self.trial = None;
        Ok(trial)
    }

    /// Begins a trial, if one is due and there is a VM for it. One at a time.
    pub(super) fn try_out(&mut self, now: Moment, decisions: &mut Vec<Decision>) {
        if self.draining || self.trial.is_some() || !self.terms.trials {
            return;
        }
        let untried = self.next_untried().filter(|_| self.trial_backoff.not_before() <= now);
        if let Some(slot) = untried {
            let subject = Subject::Worker(self.trials_run);
            self.trials_run = self.trials_run.wrapping_add(1);
            return self.begin_trial(slot, subject, decisions);
        }
        let Some(image) = self.images.due(now) else { return };
        let vouched = self.ready.iter().copied().find(|slot| self.is_vouched(*slot));
        if let Some(slot) = vouched {
            return self.begin_trial(slot, Subject::Image(image), decisions);
        }
        // One on offer is as good; the next to come back or to become ready is used.
        let coming = self.count(Slot::Starting) > 0 || self.places.iter().any(|it| it.recalled);
        let offered = (0..self.terms.places()).map(SlotId);
        let mut offered = offered.filter(|slot| self.state(*slot) == Some(Slot::Offered));
        if let Some(slot) = offered.next().filter(|_| !coming) {
            self.recall(slot, decisions);
        }
    }

    fn begin_trial(&mut self, slot: SlotId, subject: Subject, decisions: &mut Vec<Decision>) {
        let Some(Place { how, generation, .. }) = self.place(slot) else { return };
        self.ready.retain(|ready| *ready != slot);
        self.change(slot, |place| place.state = Slot::Trial);
        self.trial = Some(Running { slot, subject, how, generation });
        decisions.push(Decision::Try(slot, subject));
    }

    pub(super) fn next_untried(&self) -> Option<SlotId> {
        self.ready.iter().copied().find(|slot| !self.is_vouched(*slot))
    }

    pub(super) fn is_vouched(&self, slot: SlotId) -> bool {
        self.place(slot).is_some_and(|place| place.vouched)
    }

    pub(super) fn is_proved(&self, how: How) -> bool {
        !self.terms.trials || self.proved.contains(&how)
    }

    fn prove(&mut self, how: How) {
        if !self.proved.contains(&how) {
            self.proved.push(how);
        }
        if how == How::Restore {
            self.zygote.proved();
        }
        self.vouch(how, true);
    }

    fn doubt(&mut self, how: How) {
        self.proved.retain(|proved| *proved != how);
        self.vouch(how, false);
    }

    fn vouch(&mut self, how: How, vouched: bool) {
        let generation = self.zygote.generation();
        let alike = |place: &&mut Place| place.how == how && place.generation == generation;
        for place in self.places.iter_mut().filter(alike) {
            place.vouched = vouched;
        }
    }

    /// Discards ready VMs that will never be offered, and replaces those of an older generation a
    /// few at a time once the present one has proved itself.
    pub(super) fn weed(&mut self, decisions: &mut Vec<Decision>) {
        let generation = self.zygote.generation();
        let renewed = self.is_proved(self.zygote.how());
        let recalled = self.places.iter().filter(|place| place.recalled).count();
        let mut changing = self.count(Slot::Starting) + self.count(Slot::Ending);
        changing = changing.saturating_add(u32::try_from(recalled).unwrap_or(u32::MAX));
        // One of the old makes room for the first of the new, which has yet to prove itself.
        let mut pioneer = !renewed && changing == 0 && !self.has_newcomer();
        for number in 0..self.terms.places() {
            let slot = SlotId(number);
            let Some(place) = self.place(slot) else { return };
            let old = place.generation != generation;
            let given_up = place.how == How::Restore && self.zygote.how() == How::Boot;
            let hopeless = self.draining || (!place.vouched && (old || given_up));
            let turn = old && (pioneer || renewed && changing < self.terms.starting_max.max(1));
            match place.state {
                Slot::Ready if hopeless || turn => {
                    (changing, pioneer) = (changing + 1, false);
                    self.change(slot, |place| place.state = Slot::Ending);
                    self.ready.retain(|ready| *ready != slot);
                    decisions.push(Decision::Discard(slot));
                }
                Slot::Offered if turn && !self.draining && !place.recalled => {
                    (changing, pioneer) = (changing + 1, false);
                    self.recall(slot, decisions);
                }
                Slot::Empty
                | Slot::Starting
                | Slot::Ready
                | Slot::Offered
                | Slot::Leased
                | Slot::Trial
                | Slot::Ending => {}
            }
        }
    }

    /// Whether a VM of the present generation is there or can come.
    fn has_newcomer(&self) -> bool {
        let generation = self.zygote.generation();
        self.places.iter().any(|place| match place.state {
            Slot::Empty | Slot::Ending => true,
            Slot::Starting | Slot::Ready | Slot::Trial => place.generation == generation,
            Slot::Offered | Slot::Leased => false,
        })
    }

    fn recall(&mut self, slot: SlotId, decisions: &mut Vec<Decision>) {
        self.change(slot, |place| place.recalled = true);
        decisions.push(Decision::Recall(slot));
    }
}
