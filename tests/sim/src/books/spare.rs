//! What must be true of runs that no client waits for.

use pe_lb::core::broker::Refusal;
use pe_lb::core::ids::{JobId, SlotId};

use super::{Berth, BerthState, Bond, Books, Case, CaseState};
use crate::stage::{Broken, rule};

impl Books {
    /// What a spare run gets is to spare.
    pub(super) fn spares(&self, job: JobId, slot: SlotId, case: &Case) -> Result<(), Broken> {
        let waits = self.cases.iter().find(|(id, other)| **id != job && other.until().is_some());
        rule!(waits.is_none(), "a spare run begins while nobody waits", "{job:?} before {waits:?}");
        let another = self.parked_for(case).find(|other| *other != slot);
        rule!(another.is_some(), "a spare run leaves a slot", "{job:?} took {slot:?}, the last");
        Ok(())
    }

    fn parked_for(&self, case: &Case) -> impl Iterator<Item = SlotId> + '_ {
        let image = case.image;
        let fits = move |berth: &Berth| {
            let crew = self.crews.get(&berth.worker);
            berth.state == BerthState::Parked && crew.is_some_and(|crew| crew.offers(image))
        };
        self.berths.iter().filter(move |(_, berth)| fits(berth)).map(|(slot, _)| *slot)
    }

    /// All that follows from a message was carried out: who has to wait since then does not wait
    /// for spare runs only.
    ///
    /// # Errors
    /// It does.
    pub fn carried_out(&mut self) -> Result<(), Broken> {
        let began = std::mem::take(&mut self.began);
        let given_up = std::mem::take(&mut self.given_up);
        let waiting = began.iter().filter_map(|job| self.cases.get(job));
        let waiting: Vec<&Case> = waiting.filter(|case| case.until().is_some()).collect();
        let is_spare = |bond: &&Bond| self.cases.get(&bond.job).is_some_and(|case| case.is_spare);
        let spare: Vec<&Bond> = self.bonds.values().filter(is_spare).collect();
        let is_stuck = |case: &&&Case| spare.iter().any(|bond| self.may_take(bond.worker, case));
        let stuck = waiting.iter().filter(is_stuck).count();
        rule!(
            stuck <= given_up,
            "a spare run gives way to who would have to wait",
            "{stuck} of {waiting:?}, {given_up} given up of {spare:?}"
        );
        Ok(())
    }

    /// A spare run is refused, or given up.
    pub(super) fn spare_refused(
        &mut self,
        job: JobId,
        case: &Case,
        refusal: Refusal,
    ) -> Result<(), Broken> {
        let others_wait = |case: &Case| {
            self.cases.values().any(|other| {
                let fits = |lease| {
                    let bond: Option<&Bond> = self.bonds.get(&lease);
                    bond.is_some_and(|bond| self.may_take(bond.worker, other))
                };
                other.until().is_some()
                    && match case.state {
                        CaseState::Leased(lease) => fits(lease),
                        CaseState::Waiting { .. } => true,
                        CaseState::Answering(_) | CaseState::Doomed => false,
                    }
            })
        };
        let is_fair = match refusal {
            Refusal::Draining => self.is_draining,
            Refusal::NoWorker => {
                let is_offered = self.crews.values().any(|crew| crew.offers(case.image));
                !is_offered && !self.is_expected(case.image)
            }
            Refusal::WorkerLost => case.state == CaseState::Doomed,
            Refusal::NoSpare if case.until().is_some() => {
                case.is_handed_back || others_wait(case) || self.parked_for(case).count() < 2
            }
            Refusal::NoSpare => others_wait(case),
            Refusal::QueueFull(_)
            | Refusal::ClientQueueFull(_)
            | Refusal::TooLong(_)
            | Refusal::QueueTimeout(_) => false,
        };
        rule!(is_fair, "a refusal has its reason", "{refusal:?} for {job:?}, {case:?}");
        if let CaseState::Leased(lease) = case.state {
            self.given_up += 1;
            self.figures.given_up += 1;
            self.end(lease);
        }
        Ok(())
    }
}
