//! What all who take part share: the time, what is to come, the network, and the list of what
//! clients asked for.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use pe_lb::core::broker::Refusal;

use crate::chance::{Chance, Purpose};
use crate::net::{ConnId, Net, Peer, Side, Word};
use crate::plan::Setting;

/// Time since the start of a run.
pub type Time = Duration;

/// Something that is to happen. Workers and load balancers carry the number of their process, so
/// that what was meant for one that died does not reach the next.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// The plan's action.
    Act(usize),
    /// A word arrives at an end of a connection.
    Arrives(ConnId, Side, u32, Word),
    /// An end looks whether the other is there.
    KeepAlive(ConnId, Side),
    /// Somebody dials.
    Dials(Peer, u32),
    /// The driver takes what is in its inbox.
    LbRuns(u32),
    /// The broker's timer is due.
    LbDue(u32),
    /// The rest of a result should have come.
    LbIdle(u32, ConnId, u32),
    /// The drain is over, finished or not.
    LbEnds(u32),
    /// A load balancer is started.
    LbStarts,
    /// All workers that waited for a load balancer should be back.
    WorkersBack(u32),
    /// A worker's process is started.
    WorkerStarts(u8),
    /// A slot's VM is ready, or its job is over; the last number is the slot's, as of when.
    SlotNext(u8, u32, usize, u64),
    /// A ready request should have been answered.
    PollDue(u8, ConnId, u32),
    /// A client does not wait any longer.
    HangsUp(usize),
}

/// What a client asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who.
    pub client: u8,
    /// What it needs.
    pub image: u8,
    /// Its wall clock.
    pub wall: Duration,
    /// Whether it is to be run only with what is to spare.
    pub is_spare: bool,
    /// How it ended for the client.
    pub end: Option<End>,
    /// Answers that the load balancer gave.
    pub answers: u32,
}

/// How a request ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// With a result.
    Answered,
    /// With a refusal.
    Refused(Reason),
    /// The client did not wait.
    HungUp,
    /// Its connection was lost, by a fault of the plan.
    Disconnected,
}

/// [`Refusal`], in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(pub &'static str);

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        Self(match refusal {
            Refusal::Draining => "draining",
            Refusal::QueueFull(_) => "queue full",
            Refusal::ClientQueueFull(_) => "client's queue full",
            Refusal::TooLong(_) => "queue too long",
            Refusal::QueueTimeout(_) => "queue timeout",
            Refusal::NoWorker => "no worker",
            Refusal::WorkerLost => "worker lost",
            Refusal::NoSpare => "no spare",
        })
    }
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which; two runs that break the same rule have the same fault.
    pub rule: &'static str,
    /// How.
    pub how: String,
}

/// Ends a step with a broken rule unless it holds.
macro_rules! rule {
    ($holds:expr, $rule:literal, $($how:tt)*) => {
        if !$holds {
            return Err($crate::stage::Broken { rule: $rule, how: format!($($how)*) });
        }
    };
}
pub(crate) use rule;

/// See the module.
#[derive(Debug)]
pub struct Stage {
    /// What time it is.
    pub now: Time,
    /// Where all numbers come from.
    pub chance: Chance,
    /// What holds for the run.
    pub setting: Setting,
    /// The network.
    pub net: Net,
    /// All that was ever asked for.
    pub requests: Vec<Request>,
    /// When those without an end must have one.
    pub due: BTreeSet<(Time, usize)>,
    /// Clients that a fault of the plan may have cost a request.
    pub excused: BTreeSet<u8>,
    /// What happened, if anybody wants to read it.
    pub log: Option<Vec<String>>,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
}

#[derive(Debug)]
struct Scheduled {
    at: Time,
    /// The order of scheduling decides among what happens at once.
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// How often the ends of a connection look for each other.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

impl Stage {
    /// An empty one.
    pub fn new(chance: Chance, setting: Setting, with_log: bool) -> Self {
        Self {
            now: Time::ZERO,
            chance,
            setting,
            net: Net::default(),
            requests: Vec::new(),
            due: BTreeSet::new(),
            excused: BTreeSet::new(),
            log: with_log.then(Vec::new),
            events: BinaryHeap::new(),
            scheduled: 0,
        }
    }

    /// Lets something happen after a while.
    pub fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    /// Lets something happen then.
    pub fn at(&mut self, at: Time, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled { at, order: self.scheduled, event }));
    }

    /// Goes on to what happens next.
    pub fn advance(&mut self) -> Option<Event> {
        let Reverse(Scheduled { at, event, .. }) = self.events.pop()?;
        self.now = at;
        Some(event)
    }

    /// Puts a line into the log, if there is one.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(log) = &mut self.log {
            log.push(format!("{:>12.6} {}", now.as_secs_f64(), line()));
        }
    }

    /// A new connection to the load balancer.
    pub fn connect(&mut self, peer: Peer) -> ConnId {
        let conn = self.net.connect(peer);
        for side in [Side::Dialer, Side::Lb] {
            self.after(KEEP_ALIVE, Event::KeepAlive(conn, side));
        }
        conn
    }

    /// Sends a word.
    pub fn send(&mut self, conn: ConnId, from: Side, stream: u32, word: Word) {
        if !self.net.is_open(conn, from) {
            return;
        }
        self.put(conn, from, stream, word);
    }

    /// One end goes; the other hears of it unless it is silent.
    pub fn close(&mut self, conn: ConnId, side: Side, is_silent: bool) {
        if self.net.close(conn, side) && !is_silent {
            self.put(conn, side, 0, Word::Fin);
        }
    }

    /// A look at the other end; true when it is not there any more.
    pub fn keep_alive(&mut self, conn: ConnId, side: Side) -> bool {
        if !self.net.is_open(conn, side) {
            return false;
        }
        let is_dead = self.net.is_dead(conn, side, self.now);
        if !is_dead {
            self.after(KEEP_ALIVE, Event::KeepAlive(conn, side));
        }
        is_dead
    }

    fn put(&mut self, conn: ConnId, from: Side, stream: u32, word: Word) {
        let count = self.net.count(conn);
        let mut rng = self.chance.of(Purpose::Delay, [conn.0.into(), count, from as u64]);
        let (least, most) = self.setting.delay;
        let delay = least + (most - least).mul_f64(rng.f64());
        let mut losses = 0;
        while losses < 5 && rng.u64(0..1000) < self.setting.lost_in_1000 {
            losses += 1;
        }
        let at = self.net.arrival(conn, from, stream, self.now, delay, losses);
        self.at(at, Event::Arrives(conn, from.other(), stream, word));
    }
}
