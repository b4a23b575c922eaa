//! What must be true of the broker, kept apart from it: each event is entered before the broker
//! hears of it, each of its decisions is held against what was entered.
//!
//! The rules are those of the broker's own doc: a job is in one state and ends once; a slot is
//! leased once, while it is parked; nobody waits while a slot that may take the job is parked;
//! waits, leases and polls end in time; queues are bounded; clients take turns; what is refused
//! is refused for a reason that holds; and the census counts what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pe_lb::core::broker::{Broker, Decision, Loss, Place, Refusal, Terms};
use pe_lb::core::ids::{JobId, SlotId, WorkerId};
use pe_lb::core::moment::Moment;
use pe_proto::link::LeaseId;

use crate::plan::Standing;
use crate::stage::{Broken, rule};

mod figures;
mod spare;

pub use figures::Figures;

/// See the module.
#[derive(Debug)]
pub struct Books {
    terms: Terms,
    now: Moment,
    /// Workers that are here.
    pub crews: BTreeMap<WorkerId, Crew>,
    /// Slots that are parked, leased, or whose lease is to be ended.
    pub berths: BTreeMap<SlotId, Berth>,
    /// Jobs that have no end yet.
    pub cases: BTreeMap<JobId, Case>,
    bonds: BTreeMap<LeaseId, Bond>,
    last_lease: LeaseId,
    is_draining: bool,
    /// Jobs that began to wait since it was last looked.
    began: BTreeSet<JobId>,
    /// Spare runs that were given up since then.
    given_up: usize,
    /// How often a waiting client saw another go first with a job like its own.
    passed: BTreeMap<(u8, u8, u8), u32>,
    /// When the last worker with an image left.
    left: BTreeMap<u8, Moment>,
    /// What was counted for the closing figures.
    pub figures: Figures,
}

/// A worker.
#[derive(Debug, Clone, Copy)]
pub struct Crew {
    slots_max: usize,
    images: u8,
    is_draining: bool,
}

/// A slot.
#[derive(Debug, Clone, Copy)]
pub struct Berth {
    /// Whose it is.
    pub worker: WorkerId,
    until: Moment,
    state: BerthState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BerthState {
    Parked,
    Leased(LeaseId),
    /// Its lease is over; its stream must be told.
    Ending,
}

/// A job.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    client: u8,
    image: u8,
    wall: Duration,
    standing: Standing,
    /// It may only have what is to spare.
    is_spare: bool,
    /// A slot was gone when it was handed to it.
    is_handed_back: bool,
    /// Its answer is of no use after this.
    deadline: Option<Moment>,
    losses: u8,
    reports: u8,
    avoid: Option<WorkerId>,
    state: CaseState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CaseState {
    Waiting {
        until: Moment,
    },
    Leased(LeaseId),
    Answering(WorkerId),
    /// It lost too much, or too many wait: it must be refused.
    Doomed,
}

#[derive(Debug, Clone, Copy)]
struct Bond {
    job: JobId,
    slot: SlotId,
    worker: WorkerId,
    until: Moment,
}

/// Between two turns of a client, each other may have this many with the same kind of job: one,
/// and one more when a lease came to nothing. A turn is as many jobs as a client's priority.
const TURNS_MAX: u32 = 2;

impl Books {
    /// Those of a broker that has just begun.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            now: Moment::START,
            crews: BTreeMap::new(),
            berths: BTreeMap::new(),
            cases: BTreeMap::new(),
            bonds: BTreeMap::new(),
            last_lease: LeaseId(0),
            is_draining: false,
            began: BTreeSet::new(),
            given_up: 0,
            passed: BTreeMap::new(),
            left: BTreeMap::new(),
            figures: Figures::default(),
        }
    }

    /// What time it is when the next things happen.
    pub fn at(&mut self, now: Moment) {
        self.now = now;
    }

    /// A worker said hello.
    pub fn arrives(&mut self, worker: WorkerId, slots_max: usize, images: u8) {
        self.crews.insert(worker, Crew { slots_max, images, is_draining: false });
    }

    /// A worker's state changed. Those of its slots that must be released now.
    pub fn changes(&mut self, worker: WorkerId, images: u8, is_draining: bool) {
        let before = self.offered();
        if let Some(crew) = self.crews.get_mut(&worker) {
            (crew.images, crew.is_draining) = (images, is_draining);
        }
        self.remember(before);
    }

    fn offered(&self) -> u8 {
        let offered = self.crews.values().filter(|crew| !crew.is_draining);
        offered.fold(0, |all, crew| all | crew.images)
    }

    /// Images that were on offer until now.
    fn remember(&mut self, before: u8) {
        let gone = before & !self.offered();
        for image in (0..8).filter(|image| gone >> image & 1 == 1) {
            self.left.insert(image, self.now);
        }
    }

    /// A worker's connection ended.
    pub fn leaves(&mut self, worker: WorkerId) {
        let before = self.offered();
        self.crews.remove(&worker);
        self.remember(before);
        let slots: Vec<SlotId> = self.berths_of(worker).collect();
        for slot in slots {
            self.slot_gone(slot);
        }
    }

    fn berths_of(&self, worker: WorkerId) -> impl Iterator<Item = SlotId> + '_ {
        self.berths.iter().filter(move |(_, berth)| berth.worker == worker).map(|(slot, _)| *slot)
    }

    /// Whether a slot of this worker may be parked.
    pub fn may_park(&self, worker: WorkerId) -> bool {
        let parked = self.berths.values();
        let parked = parked.filter(|b| b.worker == worker && b.state == BerthState::Parked);
        let parked = parked.count();
        self.crews.get(&worker).is_some_and(|crew| !crew.is_draining && parked < crew.slots_max)
    }

    /// A slot was parked.
    pub fn parks(&mut self, slot: SlotId, worker: WorkerId, until: Moment) {
        self.berths.insert(slot, Berth { worker, until, state: BerthState::Parked });
    }

    /// A slot's stream ended.
    pub fn slot_gone(&mut self, slot: SlotId) {
        if let Some(Berth { state: BerthState::Leased(lease), .. }) = self.berths.remove(&slot) {
            if let Some(Bond { job, worker, .. }) = self.bonds.remove(&lease) {
                self.loses(job, worker, Loss::Link);
            }
        }
    }

    /// A slot was gone before its job could be sent.
    pub fn handover_failed(&mut self, lease: LeaseId) {
        self.figures.handovers_failed += 1;
        let Some(Bond { job, slot, .. }) = self.bonds.remove(&lease) else {
            return;
        };
        self.berths.remove(&slot);
        let (now, until) = (self.now, self.now.after(self.terms.queue_wait));
        if let Some(case) = self.cases.get_mut(&job) {
            let until = case.no_longer(until, now);
            case.state = CaseState::Waiting { until };
            case.is_handed_back = true;
            self.began.insert(job);
        }
    }

    /// A client wants a job run.
    pub fn submits(
        &mut self,
        job: JobId,
        client: u8,
        image: u8,
        wall: Duration,
        standing: Standing,
        is_spare: bool,
    ) {
        let deadline = standing.deadline.map(|deadline| self.now.after(deadline));
        let until = self.now.after(self.terms.queue_wait);
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        let state = CaseState::Waiting { until };
        let case = Case {
            client,
            image,
            wall,
            standing,
            is_spare,
            is_handed_back: false,
            deadline,
            losses: 0,
            reports: 0,
            avoid: None,
            state,
        };
        self.began.insert(job);
        self.begins_to_wait(client, image);
        self.cases.insert(job, case);
    }

    /// Nobody waits for a job any more.
    pub fn closes(&mut self, job: JobId) {
        if let Some(Case { state: CaseState::Leased(lease), .. }) = self.cases.remove(&job) {
            self.end(lease);
        }
    }

    /// Whether a worker holds a lease; if so, its result begins.
    pub fn begins(&mut self, worker: WorkerId, lease: LeaseId) -> Option<JobId> {
        let Some(Bond { job, .. }) = self.bonds.get(&lease).filter(|b| b.worker == worker).copied()
        else {
            self.figures.not_held += 1;
            return None;
        };
        self.end(lease);
        if let Some(case) = self.cases.get_mut(&job) {
            case.state = CaseState::Answering(worker);
        }
        Some(job)
    }

    /// Whether a worker holds a lease.
    pub fn holds(&self, worker: WorkerId, lease: LeaseId) -> bool {
        self.bonds.get(&lease).is_some_and(|bond| bond.worker == worker)
    }

    /// The latest lease.
    pub fn last_lease(&self) -> LeaseId {
        self.last_lease
    }

    /// A result came to nothing.
    pub fn result_lost(&mut self, job: JobId, loss: Loss) {
        if let Some(Case { state: CaseState::Answering(worker), .. }) = self.cases.get(&job) {
            let worker = *worker;
            self.loses(job, worker, loss);
        }
    }

    /// Jobs are refused from now on.
    pub fn drains(&mut self) {
        self.is_draining = true;
    }

    fn end(&mut self, lease: LeaseId) {
        if let Some(Bond { slot, .. }) = self.bonds.remove(&lease) {
            if let Some(berth) = self.berths.get_mut(&slot) {
                berth.state = BerthState::Ending;
            }
        }
    }

    fn loses(&mut self, job: JobId, worker: WorkerId, loss: Loss) {
        let (terms, now) = (self.terms, self.now);
        let Some(case) = self.cases.get_mut(&job) else {
            return;
        };
        let until = case.no_longer(now.after(terms.queue_wait), now);
        let (count, most) = match loss {
            Loss::Link => (&mut case.losses, terms.releases_max),
            Loss::Reported => (&mut case.reports, terms.reports_max),
        };
        *count += 1;
        let is_doomed = *count > most || case.is_spare;
        self.began.insert(job);
        case.avoid = Some(worker);
        case.state = if is_doomed { CaseState::Doomed } else { CaseState::Waiting { until } };
    }

    fn begins_to_wait(&mut self, client: u8, image: u8) {
        let waits = |case: &Case| case.is_fresh() && (case.client, case.image) == (client, image);
        if !self.cases.values().any(waits) {
            self.passed.retain(|(who, what, _), _| (*who, *what) != (client, image));
        }
    }

    /// Holds a decision against the books, and enters it.
    ///
    /// # Errors
    /// The broker must not decide that.
    pub fn decided(&mut self, decision: &Decision) -> Result<(), Broken> {
        match *decision {
            Decision::Lease { lease, slot, job, deadline, .. } => {
                self.leased(lease, slot, job, deadline)
            }
            Decision::Release { slot } => {
                let berth = self.berths.remove(&slot);
                let is_parked = berth.is_some_and(|berth| berth.state == BerthState::Parked);
                rule!(is_parked, "a slot is released while it is parked", "{slot:?}: {berth:?}");
                Ok(())
            }
            Decision::Settle { slot } => self.lease_ended(slot),
            Decision::Cancel { slot } => {
                self.figures.cancels += 1;
                self.lease_ended(slot)
            }
            Decision::Refuse { job, refusal } => self.refused(job, refusal),
            Decision::Lost { .. } => Ok(()),
            Decision::Overdue { job } => {
                self.figures.overdue += 1;
                let case = self.cases.remove(&job);
                let lease = case.and_then(|case| match case.state {
                    CaseState::Leased(lease) => Some(lease),
                    CaseState::Waiting { .. } | CaseState::Answering(_) | CaseState::Doomed => None,
                });
                let until = lease.and_then(|lease| self.bonds.get(&lease)).map(|bond| bond.until);
                let is_due = until.is_some_and(|until| until <= self.now);
                rule!(is_due, "a lease has all its time", "{job:?}: {case:?}, due {until:?}");
                if let Some(lease) = lease {
                    self.end(lease);
                }
                Ok(())
            }
        }
    }

    fn leased(
        &mut self,
        lease: LeaseId,
        slot: SlotId,
        job: JobId,
        deadline: Duration,
    ) -> Result<(), Broken> {
        let berth = self.berths.get(&slot).copied();
        let Some(Berth { worker, state: BerthState::Parked, .. }) = berth else {
            let how = format!("{slot:?}: {berth:?}");
            return Err(Broken { rule: "a slot is leased while it is parked", how });
        };
        let Some(case) = self.cases.get(&job).copied() else {
            let how = format!("{job:?}");
            return Err(Broken { rule: "no job is leased after its end", how });
        };
        let waits = matches!(case.state, CaseState::Waiting { .. });
        rule!(waits, "a job is leased while it waits", "{job:?}: {case:?}");
        rule!(self.may_take(worker, &case), "a job goes to who may take it", "{case:?}");
        rule!(lease > self.last_lease, "each lease has a name of its own", "{lease:?}");
        let expected = case.wall.saturating_add(self.terms.lease_grace);
        if case.is_spare {
            self.spares(job, slot, &case)?;
        }
        rule!(deadline == expected, "a lease has its job's time", "{deadline:?} for {case:?}");
        if case.is_fresh() && !case.is_spare {
            self.takes_turn(&case)?;
        }
        self.passed.retain(|(who, _, _), _| *who != case.client);
        self.last_lease = lease;
        self.figures.leases += 1;
        self.figures.leases_again += u64::from(!case.is_fresh());
        let until = self.now.after(deadline);
        self.bonds.insert(lease, Bond { job, slot, worker, until });
        if let Some(case) = self.cases.get_mut(&job) {
            case.state = CaseState::Leased(lease);
        }
        if let Some(berth) = self.berths.get_mut(&slot) {
            berth.state = BerthState::Leased(lease);
        }
        Ok(())
    }

    /// All others who wait for the same see a client go first.
    fn takes_turn(&mut self, case: &Case) -> Result<(), Broken> {
        let (client, image) = (case.client, case.image);
        let waiting: BTreeSet<u8> = self
            .cases
            .values()
            .filter(|other| other.is_fresh() && other.image == image && other.client != client)
            .map(|other| other.client)
            .collect();
        for other in waiting {
            let passed = self.passed.entry((other, image, client)).or_default();
            *passed += 1;
            rule!(
                *passed <= TURNS_MAX * u32::from(case.standing.priority.get()),
                "clients take turns",
                "client {client} had {passed} jobs leased while client {other} waited"
            );
        }
        Ok(())
    }

    fn lease_ended(&mut self, slot: SlotId) -> Result<(), Broken> {
        let berth = self.berths.remove(&slot);
        let is_ending = berth.is_some_and(|berth| berth.state == BerthState::Ending);
        rule!(is_ending, "a lease's stream ends with the lease", "{slot:?}: {berth:?}");
        Ok(())
    }

    fn refused(&mut self, job: JobId, refusal: Refusal) -> Result<(), Broken> {
        let Some(case) = self.cases.remove(&job) else {
            let how = format!("{job:?}: {refusal:?}");
            return Err(Broken { rule: "a job is answered once", how });
        };
        if case.is_spare {
            return self.spare_refused(job, &case, refusal);
        }
        let timed_out = match case.state {
            CaseState::Waiting { until } => until <= self.now,
            CaseState::Doomed => true,
            CaseState::Leased(_) | CaseState::Answering(_) => false,
        };
        let is_offered = self.crews.values().any(|crew| crew.offers(case.image));
        let is_at_entry = case.losses + case.reports == 0;
        let is_fair = match refusal {
            Refusal::Draining => self.is_draining && is_at_entry,
            Refusal::QueueFull(_) => is_at_entry && self.fresh() >= self.terms.queue_jobs_max,
            // It is no spare run.
            Refusal::NoSpare => false,
            Refusal::ClientQueueFull(_) => {
                is_at_entry && self.fresh_of(case.client) >= case.standing.queued_max
            }
            // How much of its deadline a job leaves for its run is the broker's to judge.
            Refusal::TooLong(Place { wait, .. }) => {
                let is_long = wait.is_some_and(|wait| wait > self.terms.queue_wait);
                is_at_entry && (is_long || case.deadline.is_some())
            }
            Refusal::QueueTimeout(_) => {
                is_at_entry && is_offered && (timed_out || case.deadline.is_some())
            }
            // Nobody is waited for in vain, and everybody who was here lately is.
            Refusal::NoWorker if is_offered || !is_at_entry => false,
            Refusal::NoWorker => {
                timed_out || case.deadline.is_some() || !self.is_expected(case.image)
            }
            Refusal::WorkerLost => timed_out && !is_at_entry,
        };
        rule!(is_fair, "a refusal has its reason", "{refusal:?} for {case:?} at {:?}", self.now);
        Ok(())
    }

    /// Whether a worker with this image may be about to return.
    fn is_expected(&self, image: u8) -> bool {
        let grace = self.terms.worker_grace;
        let left = self.left.get(&image).is_some_and(|left| self.now.since(*left) < grace);
        left || self.now.since(Moment::START) < grace
    }

    fn fresh(&self) -> usize {
        self.cases.values().filter(|case| case.is_fresh()).count()
    }

    fn fresh_of(&self, client: u8) -> usize {
        self.cases.values().filter(|case| case.is_fresh() && case.client == client).count()
    }

    fn may_take(&self, worker: WorkerId, case: &Case) -> bool {
        let offers = |id: &WorkerId| self.crews.get(id).is_some_and(|c| c.offers(case.image));
        let mut others = self.crews.keys().filter(|id| **id != worker);
        offers(&worker) && (case.avoid != Some(worker) || !others.any(offers))
    }

    /// What must hold after each step.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self, broker: &Broker) -> Result<(), Broken> {
        let count = |wanted: fn(&BerthState) -> bool| {
            self.berths.values().filter(|berth| wanted(&berth.state)).count()
        };
        let parked = count(|state| *state == BerthState::Parked);
        let ending = count(|state| *state == BerthState::Ending);
        let waiting = self.cases.values().filter(|case| case.until().is_some()).count();
        let census = broker.census();
        let counted = (census.workers, census.parked, census.leased, census.waiting, census.jobs);
        let there = (self.crews.len(), parked, self.bonds.len(), waiting, self.cases.len());
        rule!(counted == there, "the census is the truth", "{counted:?} counted, {there:?} there");
        rule!(ending == 0, "a lease that ended has its stream ended", "{ending} have not");
        let fresh = self.fresh();
        let most = self.terms.queue_jobs_max;
        rule!(fresh <= most, "the queue is bounded", "{fresh} wait, at most {most} may");
        let due = self.due();
        let is_late = due.is_some_and(|due| due <= self.now);
        rule!(!is_late, "what is due is done", "{due:?} at {:?}", self.now);
        let timer = broker.next_timer();
        // A job with a deadline may be given up earlier, for the time that its run would take.
        let has_deadlines = self.cases.values().any(|case| case.deadline.is_some());
        let is_first = timer == due || has_deadlines && timer.is_some() && timer < due;
        rule!(is_first, "the next timer is the first that is due", "{timer:?}, not {due:?}");
        for case in self.cases.values() {
            let (fresh, most) = (self.fresh_of(case.client), case.standing.queued_max);
            rule!(fresh <= most, "a client's queue is bounded", "{fresh} of {case:?}");
        }
        self.check_nobody_waits_in_vain()
    }

    fn due(&self) -> Option<Moment> {
        let waits = self.cases.values().filter_map(Case::until);
        let leases = self.bonds.values().map(|bond| bond.until);
        let polls = self.berths.values().filter(|berth| berth.state == BerthState::Parked);
        waits.chain(leases).chain(polls.map(|berth| berth.until)).min()
    }

    fn check_nobody_waits_in_vain(&self) -> Result<(), Broken> {
        for (job, case) in self.cases.iter().filter(|(_, case)| case.until().is_some()) {
            let parked = self.berths.iter().filter(|(_, b)| b.state == BerthState::Parked);
            for (slot, berth) in parked {
                let fits = self.may_take(berth.worker, case);
                rule!(!fits, "no job waits while a slot is there", "{job:?} and {slot:?}");
            }
        }
        let doomed = self.cases.iter().find(|(_, case)| case.state == CaseState::Doomed);
        rule!(doomed.is_none(), "a job that lost too often is refused", "{doomed:?} is not");
        Ok(())
    }
}

impl Crew {
    fn offers(&self, image: u8) -> bool {
        !self.is_draining && self.images >> image & 1 == 1
    }
}

impl Case {
    /// It waits, and never lost anything.
    fn is_fresh(&self) -> bool {
        self.avoid.is_none() && self.until().is_some()
    }

    /// Waits end with the deadline, if there is one.
    fn no_longer(&self, until: Moment, now: Moment) -> Moment {
        self.deadline.map_or(until, |deadline| deadline.max(now).min(until))
    }

    fn until(&self) -> Option<Moment> {
        match self.state {
            CaseState::Waiting { until } => Some(until),
            CaseState::Leased(_) | CaseState::Answering(_) | CaseState::Doomed => None,
        }
    }
}
