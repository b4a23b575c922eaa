//! A load balancer's process: the real broker, in a driver and a shell as thin as the real ones.
//!
//! The shell owns what hangs on connections; when one ends, what it owned is gone at once for the
//! shell, and the driver hears of it when it next runs, as it does of everything. In between lie
//! the races that the broker must bear: a slot leased whose stream has just ended, a job leased
//! whose client has just left.

mod driver;
mod shell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use pe_lb::core::broker::{Broker, Loss};
use pe_lb::core::ids::{JobId, SlotId, WorkerId};
use pe_lb::core::moment::Moment;
use pe_proto::link::LeaseId;

use crate::books::Books;
use crate::chance::Purpose;
use crate::net::{ConnId, Peer, Quality, Side, Word};
use crate::stage::{Broken, Event, Stage, Time, rule};

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
