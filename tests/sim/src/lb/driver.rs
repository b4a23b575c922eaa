//! The driver: the inbox into the broker, and the broker's decisions to those whom they concern.

use std::time::Duration;

use pe_lb::core::broker::{Arrival, Claim, Decision, Offer, Refusal, Spare, Submission, Who};
use pe_lb::core::ids::{ClientKey, Fit, JobId, OwnerKey, SlotId};
use pe_lb::core::moment::Moment;
use pe_proto::{Arch, Digest};

use super::{Arriving, Lb, Message};
use crate::net::{ConnId, Side, Word};
use crate::plan::Standing;
use crate::stage::{Broken, Event, Request, Stage, rule};

/// Time between two pieces of a result.
const RESULT_IDLE: Duration = Duration::from_secs(20);

/// The digest that stands for an image.
fn digest(image: u8) -> Digest {
    Digest([image; 32])
}

fn offer(images: u8) -> Offer {
    let digests = (0..8).filter(|image| images >> image & 1 == 1).map(digest);
    Offer::new(Arch::X86_64, digests.collect())
}

fn arrival(slots: u8, images: u8) -> Arrival {
    let (slots_max, offer) = (slots.into(), offer(images));
    Arrival { slots_max, offer, owner: OwnerKey([0; 16]), is_trusted: true }
}

impl Lb {
    /// The driver's turn.
    pub fn run(&mut self, stage: &mut Stage, is_timer: bool) -> Result<(), Broken> {
        if is_timer && self.due != Some(stage.now) {
            return Ok(());
        }
        let now = self.moment(stage);
        self.books.at(now);
        if !is_timer {
            self.is_awake = false;
        }
        // What the shell says meanwhile waits for the next turn.
        for message in std::mem::take(&mut self.inbox) {
            stage.note(|| format!("  driver: {message:?}"));
            self.apply(stage, message, now)?;
            self.carry_out(stage, now)?;
        }
        self.broker.tick(now);
        self.carry_out(stage, now)?;
        self.books.check(&self.broker)?;
        if self.inbox.is_empty() {
            self.check_owners(stage)?;
        }
        let next = self.broker.next_timer().map(|at| self.began + at.0);
        if next != self.due {
            self.due = next;
            if let Some(at) = next {
                stage.at(at, Event::LbDue(self.generation));
            }
        }
        if self.is_draining && !self.is_releasing && self.jobs.is_empty() {
            self.is_releasing = true;
            self.tell(stage, Message::ReleaseAll);
        }
        Ok(())
    }

    fn apply(&mut self, stage: &mut Stage, message: Message, now: Moment) -> Result<(), Broken> {
        let Self { books, broker, .. } = self;
        match message {
            Message::Arrive { worker, slots, images } => {
                books.arrives(worker, slots.into(), images);
                broker.worker_arrives(worker, arrival(slots, images), now);
            }
            Message::Change { worker, images, is_draining } => {
                books.changes(worker, images, is_draining);
                broker.worker_changes(worker, offer(images), is_draining, now);
            }
            Message::WorkerGone(worker) => {
                books.leaves(worker);
                broker.worker_leaves(worker, now);
            }
            Message::Park { slot, worker, until } => {
                let may_park = books.may_park(worker);
                if may_park {
                    books.parks(slot, worker, until);
                }
                self.parked.insert(slot);
                let parked = broker.park(slot, worker, until, false, now);
                rule!(
                    parked.is_ok() == may_park,
                    "a slot is parked if its worker may park one",
                    "{slot:?} of {worker:?}: {parked:?}"
                );
                if parked.is_err() {
                    self.parked.remove(&slot);
                    self.slot_answered(stage, slot, Word::Refused);
                }
            }
            Message::SlotGone(slot) => {
                self.parked.remove(&slot);
                self.leases.remove(&slot);
                books.slot_gone(slot);
                broker.slot_gone(slot, now);
            }
            Message::Submit { job, request } => {
                let Some(request) = stage.requests.get(request) else {
                    return Ok(());
                };
                let Request { client, image, wall, is_spare, .. } = *request;
                self.waiters.insert(job, true);
                let Some(standing) = stage.setting.claims.get(usize::from(client)).copied() else {
                    return Ok(());
                };
                books.submits(job, client, image, wall, standing, is_spare);
                let fit = Fit { arch: Arch::X86_64, image: digest(image) };
                let Standing { priority, queued_max, deadline } = standing;
                let client = ClientKey([client; 16]);
                let claim = Claim { client, priority, queued_max, deadline };
                // Who may do it is for the broker's own tests.
                let spare = Spare { not: [None, None], who: Who::Anybody };
                let spare = is_spare.then_some(spare);
                broker.submit(Submission { job, claim, fit, wall, spare }, now);
            }
            Message::JobGone(job) => {
                self.waiters.remove(&job);
                books.closes(job);
                broker.close(job, now);
            }
            Message::Retry { job, loss } => {
                if let Some(has_verdict) = self.waiters.get_mut(&job) {
                    *has_verdict = true;
                }
                books.result_lost(job, loss);
                broker.result_lost(job, loss, now);
            }
            Message::Deliver { worker, lease, at } => {
                let expected = books.begins(worker, lease);
                let taken = broker.begin_result(worker, lease, now).map(|begun| begun.job);
                rule!(
                    taken.ok() == expected,
                    "a lease is answered once, by its holder",
                    "{lease:?} by {worker:?}: {taken:?}, not {expected:?}"
                );
                self.deliver(stage, expected, at)?;
            }
            Message::Drain => {
                books.drains();
                broker.drain();
            }
            Message::ReleaseAll => broker.release_all(),
        }
        Ok(())
    }

    /// A result's head came to the driver, for a job or for none.
    fn deliver(
        &mut self,
        stage: &mut Stage,
        job: Option<JobId>,
        at: (ConnId, u32),
    ) -> Result<(), Broken> {
        let Some(arriving) = self.results.get(&at).copied() else {
            return Ok(());
        };
        let Some(job) = job else {
            self.results.remove(&at);
            stage.send(at.0, Side::Lb, at.1, Word::Refused);
            return Ok(());
        };
        let waiter = self.waiters.get_mut(&job).map(|verdict| std::mem::replace(verdict, false));
        if waiter != Some(true) || !self.jobs.contains_key(&job) {
            self.results.remove(&at);
            stage.send(at.0, Side::Lb, at.1, Word::NoContent);
            return Ok(());
        }
        self.results.insert(at, Arriving { job: Some(job), ..arriving });
        match arriving.rest {
            Some(rest) => self.receive(stage, at, job, arriving, rest),
            None => {
                stage.after(RESULT_IDLE, Event::LbIdle(self.generation, at.0, at.1));
                Ok(())
            }
        }
    }

    fn carry_out(&mut self, stage: &mut Stage, now: Moment) -> Result<(), Broken> {
        while let Some(decision) = self.broker.next_decision() {
            stage.note(|| format!("  broker: {decision:?}"));
            self.books.decided(&decision)?;
            match decision {
                Decision::Lease { lease, slot, job, .. } => {
                    let request = self.jobs.get(&job).map(|asked| asked.request);
                    let is_told = self.parked.remove(&slot) && self.waiters.contains_key(&job);
                    // A client that has just left is found out by the broker a moment later; the
                    // worker gets the job and then the cancel.
                    let is_there = self.slots.contains_key(&slot);
                    if is_told && is_there {
                        self.leases.insert(slot);
                        let request = request.unwrap_or(usize::MAX);
                        self.slot_told(stage, slot, Word::Lease(lease, request));
                    } else {
                        self.books.handover_failed(lease);
                        self.broker.handover_failed(lease, now);
                    }
                }
                Decision::Release { slot } => {
                    if self.parked.remove(&slot) {
                        self.slot_answered(stage, slot, Word::NoContent);
                    }
                }
                Decision::Settle { slot } => self.lease_ended(stage, slot, Word::Settled),
                Decision::Cancel { slot } => self.lease_ended(stage, slot, Word::Cancelled),
                Decision::Refuse { job, refusal } => self.refuse(stage, job, refusal)?,
                Decision::Overdue { job } => {
                    self.waiters.remove(&job);
                    let request = self.jobs.get(&job).map_or(usize::MAX, |asked| asked.request);
                    self.answer(stage, job, Word::Answer(request))?;
                }
                // Strikes are the driver's.
                Decision::Lost { .. } => {}
            }
        }
        self.books.carried_out()
    }

    fn refuse(&mut self, stage: &mut Stage, job: JobId, refusal: Refusal) -> Result<(), Broken> {
        self.waiters.remove(&job);
        let Some(asked) = self.jobs.get(&job).copied() else {
            return Ok(());
        };
        let word = match asked.is_reported {
            true => Word::Answer(asked.request),
            false => Word::Problem(asked.request, refusal),
        };
        self.answer(stage, job, word)
    }

    fn slot_told(&mut self, stage: &mut Stage, slot: SlotId, word: Word) {
        if let Some((conn, stream)) = self.slots.get(&slot).copied() {
            stage.send(conn, Side::Lb, stream, word);
        }
    }

    /// The last word on a slot's stream; its place is dropped with it.
    fn slot_answered(&mut self, stage: &mut Stage, slot: SlotId, word: Word) {
        self.slot_told(stage, slot, word);
        if self.slots.remove(&slot).is_some() {
            self.tell(stage, Message::SlotGone(slot));
        }
    }

    fn lease_ended(&mut self, stage: &mut Stage, slot: SlotId, word: Word) {
        if self.leases.remove(&slot) {
            self.slot_answered(stage, slot, word);
        }
    }
}
