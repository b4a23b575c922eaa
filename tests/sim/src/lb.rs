//! A load balancer's process: the real broker, in a driver and a shell as thin as the real ones.
//!
//! The shell owns what hangs on connections; when one ends, what it owned is gone at once for the
//! shell, and the driver hears of it when it next runs, as it does of everything. In between lie
//! the races that the broker must bear: a slot leased whose stream has just ended, a job leased
//! whose client has just left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use pe_lb::core::broker::{
    Arrival, Broker, Claim, Decision, Loss, Offer, Refusal, Spare, Submission, Who,
};
use pe_lb::core::ids::{ClientKey, Fit, JobId, OwnerKey, SlotId, WorkerId};
use pe_lb::core::moment::Moment;
use pe_proto::link::LeaseId;
use pe_proto::{Arch, Digest};

use crate::books::Books;
use crate::chance::Purpose;
use crate::net::{ConnId, Peer, Quality, Side, Word};
use crate::plan::Standing;
use crate::stage::{Broken, Event, Request, Stage, Time, rule};

/// See the module.
#[derive(Debug)]
pub struct Lb {
    /// Which process.
    pub generation: u32,
    /// How long until the next process begins after this one was drained.
    pub down: Duration,
    /// What must be true of its broker.
    pub books: Books,
    broker: Broker,
    began: Time,
    is_awake: bool,
    due: Option<Time>,
    names: u64,
    is_draining: bool,
    is_releasing: bool,
    inbox: VecDeque<Message>,
    // The driver's: who is to be told what becomes of a slot, a lease, a job.
    parked: BTreeSet<SlotId>,
    leases: BTreeSet<SlotId>,
    waiters: BTreeMap<JobId, bool>,
    // The shell's: what connections own.
    conns: BTreeSet<ConnId>,
    visits: BTreeMap<ConnId, WorkerId>,
    slots: BTreeMap<SlotId, (ConnId, u32)>,
    jobs: BTreeMap<JobId, Asked>,
    results: BTreeMap<(ConnId, u32), Arriving>,
}

/// A client's request.
#[derive(Debug, Clone, Copy)]
struct Asked {
    conn: ConnId,
    stream: u32,
    request: usize,
    /// A worker said that it lost the VM; that is the answer if nobody has a better one.
    is_reported: bool,
}

/// A result on its way in.
#[derive(Debug, Clone, Copy)]
struct Arriving {
    job: Option<JobId>,
    of: usize,
    quality: Quality,
    rest: Option<Rest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Came,
    Broke,
}

#[derive(Debug, Clone, Copy)]
enum Message {
    Arrive { worker: WorkerId, slots: u8, images: u8 },
    Change { worker: WorkerId, images: u8, is_draining: bool },
    WorkerGone(WorkerId),
    Park { slot: SlotId, worker: WorkerId, until: Moment },
    SlotGone(SlotId),
    Submit { job: JobId, request: usize },
    JobGone(JobId),
    Retry { job: JobId, loss: Loss },
    Deliver { worker: WorkerId, lease: LeaseId, at: (ConnId, u32) },
    Drain,
    ReleaseAll,
}

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
    /// A process that has just begun.
    pub fn new(generation: u32, stage: &Stage) -> Self {
        let terms = stage.setting.terms;
        Self {
            generation,
            down: Duration::ZERO,
            books: Books::new(terms),
            broker: Broker::new(terms),
            began: stage.now,
            is_awake: false,
            due: None,
            names: 0,
            is_draining: false,
            is_releasing: false,
            inbox: VecDeque::new(),
            parked: BTreeSet::new(),
            leases: BTreeSet::new(),
            waiters: BTreeMap::new(),
            conns: BTreeSet::new(),
            visits: BTreeMap::new(),
            slots: BTreeMap::new(),
            jobs: BTreeMap::new(),
            results: BTreeMap::new(),
        }
    }

    /// Takes a connection, unless it is one of a client while it drains.
    pub fn accept(&mut self, conn: ConnId, stage: &Stage) {
        debug_assert!(self.accepts(stage.net.peer(conn)));
        self.conns.insert(conn);
    }

    /// Whether its listener takes connections.
    pub fn accepts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Client(_) => !self.is_draining,
            Peer::Worker(_) => !self.is_releasing,
        }
    }

    /// Begins to drain.
    pub fn drain(&mut self, stage: &mut Stage, down: Duration) {
        if self.is_draining {
            return;
        }
        self.down = down;
        self.is_draining = true;
        self.tell(stage, Message::Drain);
        let clients = self.conns.iter().filter(|conn| is_client(stage, **conn));
        for conn in clients.copied().collect::<Vec<_>>() {
            stage.send(conn, Side::Lb, 0, Word::GoAway);
        }
        stage.after(stage.setting.drain_max, Event::LbEnds(self.generation));
    }

    /// Whether it drains and is done.
    pub fn is_drained(&self) -> bool {
        self.is_releasing && self.inbox.is_empty()
    }

    /// The process ends; its connections with it.
    pub fn end(self, stage: &mut Stage, is_silent: bool) {
        for conn in self.conns {
            stage.close(conn, Side::Lb, is_silent);
        }
    }

    /// A word arrives.
    pub fn hear(
        &mut self,
        stage: &mut Stage,
        conn: ConnId,
        stream: u32,
        word: Word,
    ) -> Result<(), Broken> {
        match word {
            Word::Hello(slots, images) => {
                let worker = WorkerId(self.name());
                self.visits.insert(conn, worker);
                self.tell(stage, Message::Arrive { worker, slots, images });
                stage.send(conn, Side::Lb, stream, Word::Welcome);
            }
            Word::Ready(session) => match self.visits.get(&conn).copied() {
                Some(worker) if session == conn => {
                    let slot = SlotId(self.name());
                    let poll = stage.setting.poll;
                    let spread = stage.chance.of(Purpose::Driver, [1, slot.0, 0]).f64();
                    let until = self.moment(stage).after(poll / 2 + (poll / 2).mul_f64(spread));
                    self.slots.insert(slot, (conn, stream));
                    self.tell(stage, Message::Park { slot, worker, until });
                }
                _ => stage.send(conn, Side::Lb, stream, Word::Refused),
            },
            Word::State(images, is_draining) => {
                if let Some(worker) = self.visits.get(&conn).copied() {
                    self.tell(stage, Message::Change { worker, images, is_draining });
                }
                stage.send(conn, Side::Lb, stream, Word::NoContent);
            }
            Word::Done(session, lease, of, quality) => match self.visits.get(&conn).copied() {
                Some(worker) if session == conn => {
                    let arriving = Arriving { job: None, of, quality, rest: None };
                    self.results.insert((conn, stream), arriving);
                    let at = (conn, stream);
                    self.tell(stage, Message::Deliver { worker, lease, at });
                }
                _ => stage.send(conn, Side::Lb, stream, Word::Refused),
            },
            Word::Rest => self.rest(stage, (conn, stream), Rest::Came)?,
            Word::Submit(request) => {
                let job = JobId(self.name());
                self.jobs.insert(job, Asked { conn, stream, request, is_reported: false });
                self.tell(stage, Message::Submit { job, request });
            }
            Word::Reset => self.stream_ended(stage, conn, Some(stream))?,
            Word::Fin => {
                stage.close(conn, Side::Lb, false);
                self.conn_ended(stage, conn)?;
            }
            Word::Welcome
            | Word::NoContent
            | Word::Lease(..)
            | Word::Settled
            | Word::Cancelled
            | Word::Refused
            | Word::Answer(_)
            | Word::Problem(..)
            | Word::GoAway => {}
        }
        Ok(())
    }

    /// A connection is gone, and all that hangs on it, in no order.
    pub fn conn_ended(&mut self, stage: &mut Stage, conn: ConnId) -> Result<(), Broken> {
        self.conns.remove(&conn);
        let visit = self.visits.remove(&conn);
        let is_visit_first = stage.chance.of(Purpose::Order, [conn.0.into(), 0, 0]).bool();
        if let (Some(worker), true) = (visit, is_visit_first) {
            self.tell(stage, Message::WorkerGone(worker));
        }
        self.stream_ended(stage, conn, None)?;
        if let (Some(worker), false) = (visit, is_visit_first) {
            self.tell(stage, Message::WorkerGone(worker));
        }
        Ok(())
    }

    /// A stream of a connection is gone, or all of them.
    fn stream_ended(
        &mut self,
        stage: &mut Stage,
        conn: ConnId,
        stream: Option<u32>,
    ) -> Result<(), Broken> {
        let is_it = |(on, number): (ConnId, u32)| {
            on == conn && stream.is_none_or(|stream| stream == number)
        };
        let slots = self.slots.iter().filter(|(_, at)| is_it(**at)).map(|(slot, _)| *slot);
        for slot in slots.collect::<Vec<_>>() {
            self.slots.remove(&slot);
            self.tell(stage, Message::SlotGone(slot));
        }
        let jobs = self.jobs.iter().filter(|(_, asked)| is_it((asked.conn, asked.stream)));
        for job in jobs.map(|(job, _)| *job).collect::<Vec<_>>() {
            self.let_go(stage, job);
        }
        let results = self.results.keys().copied().filter(|at| is_it(*at));
        for at in results.collect::<Vec<_>>() {
            self.rest(stage, at, Rest::Broke)?;
        }
        Ok(())
    }

    /// The job's place with the broker is dropped.
    fn let_go(&mut self, stage: &mut Stage, job: JobId) {
        self.jobs.remove(&job);
        self.tell(stage, Message::JobGone(job));
        let at = self.results.iter().find(|(_, arriving)| arriving.job == Some(job));
        if let Some(at) = at.map(|(at, _)| *at) {
            self.results.remove(&at);
            stage.send(at.0, Side::Lb, at.1, Word::NoContent);
        }
    }

    /// The rest of a result came, or will not come.
    pub fn idle(&mut self, stage: &mut Stage, at: (ConnId, u32)) -> Result<(), Broken> {
        if self.results.get(&at).is_some_and(|arriving| arriving.rest.is_none()) {
            self.rest(stage, at, Rest::Broke)?;
        }
        Ok(())
    }

    fn rest(&mut self, stage: &mut Stage, at: (ConnId, u32), rest: Rest) -> Result<(), Broken> {
        let Some(arriving) = self.results.get_mut(&at) else {
            return Ok(());
        };
        arriving.rest = Some(rest);
        let arriving = *arriving;
        match arriving.job {
            Some(job) => self.receive(stage, at, job, arriving, rest),
            // The driver has not looked at it yet.
            None => Ok(()),
        }
    }

    /// A result for a job is complete, or broken.
    fn receive(
        &mut self,
        stage: &mut Stage,
        at: (ConnId, u32),
        job: JobId,
        arriving: Arriving,
        rest: Rest,
    ) -> Result<(), Broken> {
        self.results.remove(&at);
        let Some(asked) = self.jobs.get_mut(&job) else {
            return Ok(());
        };
        let is_whole = rest == Rest::Came;
        match arriving.quality {
            Quality::Good if is_whole => {
                let asked = *asked;
                rule!(
                    arriving.of == asked.request,
                    "a client gets the result of its own job",
                    "request {} got that of {}",
                    asked.request,
                    arriving.of
                );
                stage.send(at.0, Side::Lb, at.1, Word::NoContent);
                self.answer(stage, job, Word::Answer(asked.request))?;
            }
            Quality::Lost if is_whole => {
                asked.is_reported = true;
                stage.send(at.0, Side::Lb, at.1, Word::NoContent);
                self.tell(stage, Message::Retry { job, loss: Loss::Reported });
            }
            Quality::Good | Quality::Lost | Quality::Bad | Quality::BreaksOff => {
                stage.send(at.0, Side::Lb, at.1, Word::Refused);
                self.tell(stage, Message::Retry { job, loss: Loss::Link });
            }
        }
        Ok(())
    }

    /// The last word to a client.
    fn answer(&mut self, stage: &mut Stage, job: JobId, word: Word) -> Result<(), Broken> {
        let Some(Asked { conn, stream, request, .. }) = self.jobs.get(&job).copied() else {
            return Ok(());
        };
        if let Some(request) = stage.requests.get_mut(request) {
            request.answers += 1;
            rule!(request.answers == 1, "a client is answered once", "{request:?}");
        }
        stage.send(conn, Side::Lb, stream, word);
        self.let_go(stage, job);
        Ok(())
    }

    fn tell(&mut self, stage: &mut Stage, message: Message) {
        self.inbox.push_back(message);
        if !self.is_awake {
            self.is_awake = true;
            self.names += 1;
            let mut rng = stage.chance.of(Purpose::Driver, [0, self.names, 0]);
            let wait = Duration::from_micros(rng.u64(1..800));
            stage.after(wait, Event::LbRuns(self.generation));
        }
    }

    fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    fn moment(&self, stage: &Stage) -> Moment {
        Moment(stage.now.saturating_sub(self.began))
    }

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

    /// No slot, job or worker is counted that no connection owns.
    fn check_owners(&self, stage: &Stage) -> Result<(), Broken> {
        let is_open = |conn: ConnId| stage.net.is_open(conn, Side::Lb);
        let owned = self.slots.iter().filter(|(_, at)| is_open(at.0)).map(|(slot, _)| slot);
        let counted = self.books.berths.keys();
        rule!(
            owned.eq(counted),
            "no slot is counted that no connection owns",
            "{:?} owned, {:?} counted",
            self.slots,
            self.books.berths
        );
        let owned = self.jobs.iter().filter(|(_, asked)| is_open(asked.conn));
        rule!(
            owned.map(|(job, _)| job).eq(self.books.cases.keys()),
            "no job is counted that no connection owns",
            "{:?} owned, {:?} counted",
            self.jobs,
            self.books.cases
        );
        let workers: BTreeSet<WorkerId> =
            self.visits.iter().filter(|(conn, _)| is_open(**conn)).map(|(_, id)| *id).collect();
        rule!(
            workers.iter().eq(self.books.crews.keys()),
            "no worker is counted that no connection owns",
            "{workers:?} owned, {:?} counted",
            self.books.crews
        );
        rule!(self.waiters.len() == self.jobs.len(), "the driver forgets jobs", "{self:?}");
        rule!(
            self.parked.len() + self.leases.len() == self.slots.len(),
            "the driver forgets slots",
            "{self:?}"
        );
        Ok(())
    }

    /// Nothing is left of those who are gone.
    ///
    /// # Errors
    /// Something is.
    pub fn check_empty(&self) -> Result<(), Broken> {
        let census = self.broker.census();
        let timer = self.broker.next_timer();
        rule!(
            census == pe_lb::core::broker::Census::default() && timer.is_none(),
            "all that is gone is forgotten",
            "{census:?}, next timer {timer:?}"
        );
        Ok(())
    }

    /// A lease that is not this visit's, counted back from the latest.
    pub fn foreign_lease(&self, conn: ConnId, back: u8) -> Option<LeaseId> {
        let last = self.books.last_lease().0 + 1;
        let lease = LeaseId(last.saturating_sub(back.into()));
        let worker = self.visits.get(&conn)?;
        (!self.books.holds(*worker, lease)).then_some(lease)
    }
}

fn is_client(stage: &Stage, conn: ConnId) -> bool {
    matches!(stage.net.peer(conn), Peer::Client(_))
}
