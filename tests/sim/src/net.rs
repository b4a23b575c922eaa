//! Connections and what is on its way over them.
//!
//! Words on one stream arrive in order; on different streams they overtake each other. TCP loses
//! nothing, it is late: a lost packet comes after a timeout, and what is sent into a cut comes
//! when the cut is over. A connection has two ends, and one may be gone long before the other
//! hears of it: then only the keep-alive finds out.

use std::collections::BTreeMap;
use std::time::Duration;

use pe_lb::core::broker::Refusal;
use pe_proto::link::LeaseId;

use crate::stage::Time;

/// A connection; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u32);

/// Who dials the load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A worker.
    Worker(u8),
    /// A client.
    Client(u8),
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Who dialled.
    Dialer,
    /// The load balancer.
    Lb,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Lb,
            Self::Lb => Self::Dialer,
        }
    }
}

/// What is in a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// A result.
    Good,
    /// Word that the VM was lost.
    Lost,
    /// Bytes that are no result.
    Bad,
    /// A beginning without an end.
    BreaksOff,
}

/// What is said over a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// A worker introduces itself: slots and images.
    Hello(u8, u8),
    /// The answer to it.
    Welcome,
    /// A slot is offered, in the name of a session.
    Ready(ConnId),
    /// No job this time; also the answer to everything that has no other.
    NoContent,
    /// A job for a slot.
    Lease(LeaseId, usize),
    /// The lease's stream ends: its result has begun.
    Settled,
    /// The lease's stream is reset: nobody waits.
    Cancelled,
    /// A result begins: session, lease, the job that it is of.
    Done(ConnId, LeaseId, usize, Quality),
    /// The rest of a result.
    Rest,
    /// A worker's images, and whether it drains.
    State(u8, bool),
    /// A refusal on the worker link.
    Refused,
    /// A client's job.
    Submit(usize),
    /// The result of a job.
    Answer(usize),
    /// There will be none.
    Problem(usize, Refusal),
    /// No more requests on this connection.
    GoAway,
    /// The stream is reset by its dialer.
    Reset,
    /// The connection has ended.
    Fin,
}

/// All connections there ever were, and which paths are cut.
#[derive(Debug, Default)]
pub struct Net {
    conns: Vec<Conn>,
    cuts: BTreeMap<Peer, Time>,
}

#[derive(Debug)]
struct Conn {
    peer: Peer,
    is_open: [bool; 2],
    streams: u32,
    sent: u64,
    /// When the last word on a stream arrives, and the last of all.
    last: BTreeMap<(Side, u32), Time>,
    /// Keep-alives in a row without an answer.
    missed: [u8; 2],
}

/// The time after which TCP sends again.
const AGAIN: Duration = Duration::from_millis(200);

impl Net {
    /// A new connection.
    pub fn connect(&mut self, peer: Peer) -> ConnId {
        let id = ConnId(u32::try_from(self.conns.len()).unwrap_or(u32::MAX));
        let (is_open, last, missed) = ([true; 2], BTreeMap::new(), [0; 2]);
        self.conns.push(Conn { peer, is_open, streams: 0, sent: 0, last, missed });
        id
    }

    /// Who dialled it.
    pub fn peer(&self, id: ConnId) -> Peer {
        self.conn(id).peer
    }

    /// Whether an end still holds it.
    pub fn is_open(&self, id: ConnId, side: Side) -> bool {
        self.conn(id).is_open[side as usize]
    }

    /// An end is gone; whether it was there.
    pub fn close(&mut self, id: ConnId, side: Side) -> bool {
        let conn = self.conn_mut(id);
        conn.last.retain(|(from, _), _| *from == side);
        std::mem::replace(&mut conn.is_open[side as usize], false)
    }

    /// A new stream; only the dialer opens any.
    pub fn stream(&mut self, id: ConnId) -> u32 {
        let conn = self.conn_mut(id);
        conn.streams += 1;
        conn.streams
    }

    /// Nothing gets through to a peer, or from it, until then.
    pub fn cut(&mut self, peer: Peer, until: Time) {
        let cut = self.cuts.entry(peer).or_default();
        *cut = until.max(*cut);
    }

    /// Until when.
    pub fn cut_until(&self, peer: Peer) -> Time {
        self.cuts.get(&peer).copied().unwrap_or_default()
    }

    /// All paths work again.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// How many words were sent on a connection before this one.
    pub fn count(&mut self, id: ConnId) -> u64 {
        let conn = self.conn_mut(id);
        conn.sent += 1;
        conn.sent
    }

    /// When a word arrives that is under way for `delay`, sent again `losses` times.
    pub fn arrival(
        &mut self,
        id: ConnId,
        from: Side,
        stream: u32,
        now: Time,
        delay: Duration,
        losses: u32,
    ) -> Time {
        let begin = now.max(self.cut_until(self.peer(id)));
        let at = begin + delay + AGAIN * losses;
        let conn = self.conn_mut(id);
        // The end of a connection comes after all that was said before.
        let before = match stream {
            0 => conn.last.iter().filter(|((side, _), _)| *side == from).map(|(_, at)| *at).max(),
            _ => conn.last.get(&(from, stream)).copied(),
        };
        let at = before.map_or(at, |before| at.max(before + Duration::from_nanos(1)));
        conn.last.insert((from, stream), at);
        at
    }

    /// One look of an end at whether the other is there; true when it has given up.
    pub fn is_dead(&mut self, id: ConnId, side: Side, now: Time) -> bool {
        let cut = now < self.cut_until(self.peer(id));
        let conn = self.conn_mut(id);
        let is_silent = cut || !conn.is_open[side.other() as usize];
        let missed = &mut conn.missed[side as usize];
        *missed = if is_silent { *missed + 1 } else { 0 };
        *missed >= 2
    }

    fn conn(&self, id: ConnId) -> &Conn {
        &self.conns[id.0 as usize]
    }

    fn conn_mut(&mut self, id: ConnId) -> &mut Conn {
        &mut self.conns[id.0 as usize]
    }
}
