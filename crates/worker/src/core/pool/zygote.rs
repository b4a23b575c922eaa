//! Whether there is a zygote worth restoring, and when it is built anew.
//!
//! ```text
//!            restores or trials fail                    due
//!  usable ----------------------------> given up -----------------> being built
//!    ^ ^                                    ^                        |   |
//!    | +---- inputs changed: built while the old one stays in use ---+   |
//!    +------------------- built -------------------------------------+   |
//!                                           +------- failed -------------+
//! ```
//! Each zygote has a generation; VMs remember theirs.

use super::How;
use super::pace::Backoff;
use super::terms::PoolTerms;
use crate::core::Moment;

#[derive(Debug)]
pub(super) struct Zygote {
    /// There is to be one at all.
    wanted: bool,
    /// Restoring is worth a try.
    usable: bool,
    /// When to build.
    due: Option<Moment>,
    building: bool,
    /// Inputs changed while it was being built of the old ones.
    again: bool,
    generation: u32,
    failed_restores: u32,
    failed_trials: u32,
    restores_max: u32,
    trials_max: u32,
    backoff: Backoff,
}

impl Zygote {
    pub(super) fn new(terms: &PoolTerms) -> Self {
        Self {
            wanted: terms.restores,
            usable: terms.restores,
            due: None,
            building: false,
            again: false,
            generation: 0,
            failed_restores: 0,
            failed_trials: 0,
            restores_max: terms.restores_max.max(1),
            trials_max: terms.trials_max.max(1),
            backoff: Backoff::new(terms.rebuild_min, terms.rebuild_max),
        }
    }

    /// There is none yet.
    pub(super) fn missing(&mut self, now: Moment) {
        self.give_up(now);
    }

    pub(super) fn how(&self) -> How {
        if self.usable { How::Restore } else { How::Boot }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn is_building(&self) -> bool {
        self.building
    }

    pub(super) fn restored(&mut self) {
        self.failed_restores = 0;
    }

    pub(super) fn restore_failed(&mut self, now: Moment) {
        self.failed_restores = self.failed_restores.saturating_add(1);
        if self.usable && self.failed_restores >= self.restores_max {
            self.give_up(now);
        }
    }

    /// A VM made of it ran a job.
    pub(super) fn proved(&mut self) {
        self.failed_trials = 0;
        // A build that is due because inputs changed stays due.
        self.backoff.worked();
    }

    pub(super) fn trial_failed(&mut self, now: Moment) {
        self.failed_trials = self.failed_trials.saturating_add(1);
        if self.usable && self.failed_trials >= self.trials_max {
            self.give_up(now);
        }
    }

    pub(super) fn inputs_changed(&mut self, now: Moment) {
        if self.building {
            self.again = true;
        } else {
            self.due = Some(now);
        }
    }

    /// Whether a build is to begin now.
    pub(super) fn begin(&mut self, now: Moment) -> bool {
        let begins = !self.building && self.due.is_some_and(|due| due <= now);
        if begins {
            self.due = None;
            self.building = true;
        }
        begins
    }

    pub(super) fn rebuilt(&mut self, now: Moment) -> bool {
        let was = self.end_build(now);
        if was {
            self.usable = self.wanted;
            self.generation = self.generation.wrapping_add(1);
            self.failed_restores = 0;
            self.failed_trials = 0;
        }
        was
    }

    pub(super) fn rebuild_failed(&mut self, now: Moment) -> bool {
        let was = self.end_build(now);
        if was && self.due.is_none() {
            self.due = Some(self.backoff.failed(now));
        }
        was
    }

    /// When a build is due.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due.filter(|_| !self.building)
    }

    fn end_build(&mut self, now: Moment) -> bool {
        let was = std::mem::take(&mut self.building);
        if was && std::mem::take(&mut self.again) {
            self.due = Some(now);
        }
        was
    }

    fn give_up(&mut self, now: Moment) {
        self.usable = false;
        if !self.wanted {
            return;
        }
        let due = self.backoff.failed(now);
        if !self.building {
            self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        }
    }
}
