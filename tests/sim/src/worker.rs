//! A worker: slots whose VMs boot, are offered, run a job and are gone. It does what the chance of
//! each lease says, dials again by the real worker's policy, and lies if the setting says so.

use std::collections::BTreeMap;
use std::time::Duration;

use pe_proto::link::LeaseId;
use pe_worker::core::reconnect::{Lost, Reconnect, ReconnectTerms};
use pe_worker::limits::{
    DIAL_AGAIN_FIRST, DIAL_AGAIN_GONE, DIAL_AGAIN_MAX, LINK_GOOD_AFTER, POLL_AGAIN,
};

use crate::chance::Purpose;
use crate::net::{ConnId, Peer, Quality, Side, Word};
use crate::plan::Outfit;
use crate::stage::{Event, Stage, Time};

/// See the module.
#[derive(Debug)]
pub struct Worker {
    /// Its number.
    pub number: u8,
    /// Which process.
    pub incarnation: u32,
    /// When it last got a connection.
    pub linked_at: Time,
    /// Leases whose cancel has been acknowledged: the VM is dead.
    pub acknowledged: Vec<(ConnId, LeaseId)>,
    is_up: bool,
    images: u8,
    is_draining: bool,
    link: Option<Link>,
    reconnect: Reconnect,
    slots: Vec<Slot>,
    /// What it last answered, on which connection.
    last_done: Option<(ConnId, LeaseId, usize)>,
}

#[derive(Debug)]
struct Link {
    conn: ConnId,
    is_welcome: bool,
    /// Streams of leases whose result was sent.
    settling: BTreeMap<u32, (LeaseId, usize)>,
}

#[derive(Debug)]
struct Slot {
    /// Counts its states, so that what was meant for one does not reach the next.
    serial: u64,
    state: SlotState,
}

#[derive(Debug, Clone, Copy)]
enum SlotState {
    Booting,
    Ready,
    Parked { stream: u32 },
    Running { stream: u32, lease: LeaseId, request: usize, fate: Fate },
}

/// How a lease ends on this side.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answers(Quality),
    GivesUp,
    Hangs,
}

fn reconnect() -> Reconnect {
    Reconnect::new(ReconnectTerms {
        wait_first: DIAL_AGAIN_FIRST,
        wait_gone: DIAL_AGAIN_GONE,
        wait_max: DIAL_AGAIN_MAX,
        good_after: LINK_GOOD_AFTER,
    })
}

impl Worker {
    /// A worker that was not started.
    pub fn new(number: u8, outfit: Outfit) -> Self {
        let slots = (0..outfit.slots).map(|_| Slot { serial: 0, state: SlotState::Booting });
        Self {
            number,
            incarnation: 0,
            linked_at: Time::ZERO,
            acknowledged: Vec::new(),
            is_up: false,
            images: outfit.images,
            is_draining: false,
            link: None,
            reconnect: reconnect(),
            slots: slots.collect(),
            last_done: None,
        }
    }

    /// The process begins, if it does not run.
    pub fn start(&mut self, stage: &mut Stage) {
        if self.is_up {
            return;
        }
        self.is_up = true;
        self.is_draining = false;
        self.incarnation += 1;
        self.reconnect = reconnect();
        stage.note(|| format!("worker {} starts", self.number));
        for slot in 0..self.slots.len() {
            self.boot(stage, slot);
        }
        stage.after(Duration::ZERO, Event::Dials(Peer::Worker(self.number), self.incarnation));
    }

    /// The process dies.
    pub fn kill(&mut self, stage: &mut Stage, is_silent: bool) {
        self.is_up = false;
        self.incarnation += 1;
        self.last_done = None;
        if let Some(link) = self.link.take() {
            stage.close(link.conn, Side::Dialer, is_silent);
        }
        for slot in &mut self.slots {
            slot.enter(SlotState::Booting);
        }
    }

    /// Whether it runs and has no connection.
    pub fn is_waiting(&self) -> bool {
        self.is_up && self.link.is_none()
    }

    /// Whether this is the connection it uses.
    pub fn is_on(&self, conn: ConnId) -> bool {
        self.link.as_ref().is_some_and(|link| link.conn == conn)
    }

    /// It has a connection again, or was told that there is none to be had.
    pub fn dialled(&mut self, stage: &mut Stage, conn: Option<ConnId>) {
        let Some(conn) = conn else {
            return self.dial_again(stage);
        };
        self.linked_at = stage.now;
        self.link = Some(Link { conn, is_welcome: false, settling: BTreeMap::new() });
        let slots = u8::try_from(self.slots.len()).unwrap_or(u8::MAX);
        let stream = stage.net.stream(conn);
        stage.send(conn, Side::Dialer, stream, Word::Hello(slots, self.images));
    }

    fn dial_again(&mut self, stage: &mut Stage) {
        let random = stage.chance.of(Purpose::Dial, [self.number.into(), nanos(stage.now), 0]);
        let wait = self.reconnect.down(Lost::Gone, stage.now, random.clone().u64(..));
        stage.after(wait, Event::Dials(Peer::Worker(self.number), self.incarnation));
    }

    /// The connection is gone: what was on offer is ready, what ran is dead.
    pub fn link_lost(&mut self, stage: &mut Stage) {
        let Some(link) = self.link.take() else { return };
        stage.close(link.conn, Side::Dialer, false);
        for slot in 0..self.slots.len() {
            match self.slots[slot].state {
                SlotState::Parked { .. } => self.slots[slot].enter(SlotState::Ready),
                SlotState::Running { .. } => self.boot(stage, slot),
                SlotState::Booting | SlotState::Ready => {}
            }
        }
        self.dial_again(stage);
    }

    /// A new VM is made for a slot.
    fn boot(&mut self, stage: &mut Stage, slot: usize) {
        self.slots[slot].enter(SlotState::Booting);
        let serial = self.slots[slot].serial;
        let mut rng = stage.chance.of(Purpose::Boot, [self.number.into(), slot as u64, serial]);
        let wait = Duration::from_millis(rng.u64(1..1_500));
        stage.after(wait, Event::SlotNext(self.number, self.incarnation, slot, serial));
    }

    /// A slot's VM is ready, its job is over, or it may be offered again.
    pub fn next(&mut self, stage: &mut Stage, slot: usize, serial: u64) {
        if self.slots[slot].serial != serial {
            return;
        }
        match self.slots[slot].state {
            SlotState::Booting => {
                self.slots[slot].enter(SlotState::Ready);
                self.park(stage, slot);
            }
            SlotState::Ready => self.park(stage, slot),
            SlotState::Parked { .. } => {}
            SlotState::Running { stream, lease, request, fate } => {
                self.boot(stage, slot);
                let Some(link) = &mut self.link else { return };
                match fate {
                    Fate::Answers(quality) => {
                        link.settling.insert(stream, (lease, request));
                        self.answer(stage, lease, request, quality);
                    }
                    Fate::GivesUp | Fate::Hangs => {
                        stage.send(link.conn, Side::Dialer, stream, Word::Reset);
                    }
                }
            }
        }
    }

    fn park(&mut self, stage: &mut Stage, slot: usize) {
        let Some(Link { conn, is_welcome: true, .. }) = self.link else { return };
        if self.is_draining {
            return;
        }
        let stream = stage.net.stream(conn);
        self.slots[slot].enter(SlotState::Parked { stream });
        stage.send(conn, Side::Dialer, stream, Word::Ready(conn));
        let patience = stage.setting.poll + Duration::from_secs(10);
        stage.after(patience, Event::PollDue(self.number, conn, stream));
    }

    fn park_all(&mut self, stage: &mut Stage) {
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot].state, SlotState::Ready) {
                self.park(stage, slot);
            }
        }
    }

    /// A ready request has no answer: the connection is dead.
    pub fn poll_due(&mut self, stage: &mut Stage, conn: ConnId, stream: u32) {
        let waits =
            |slot: &Slot| matches!(slot.state, SlotState::Parked { stream: s } if s == stream);
        if self.is_on(conn) && self.slots.iter().any(waits) {
            stage.note(|| format!("worker {} was not answered in time", self.number));
            self.link_lost(stage);
        }
    }

    fn answer(&mut self, stage: &mut Stage, lease: LeaseId, request: usize, quality: Quality) {
        let Some(Link { conn, .. }) = self.link else { return };
        self.last_done = Some((conn, lease, request));
        self.done(stage, conn, lease, request, quality);
        if lies(stage, conn, lease, 0) {
            self.done(stage, conn, lease, request, quality);
        }
    }

    fn done(
        &self,
        stage: &mut Stage,
        session: ConnId,
        lease: LeaseId,
        of: usize,
        quality: Quality,
    ) {
        let Some(Link { conn, .. }) = self.link else { return };
        let stream = stage.net.stream(conn);
        stage.send(conn, Side::Dialer, stream, Word::Done(session, lease, of, quality));
        let rest = if quality == Quality::BreaksOff { Word::Reset } else { Word::Rest };
        stage.send(conn, Side::Dialer, stream, rest);
    }

    /// It answers for a lease that is not its own.
    pub fn lie(&mut self, stage: &mut Stage, lease: LeaseId) {
        if let Some(Link { conn, is_welcome: true, .. }) = self.link {
            self.done(stage, conn, lease, usize::MAX, Quality::Bad);
        }
    }

    /// The connection that it would lie on.
    pub fn conn(&self) -> Option<ConnId> {
        self.link.as_ref().map(|link| link.conn)
    }

    /// A ready VM dies while it is on offer.
    pub fn lose_vm(&mut self, stage: &mut Stage) {
        let Some(Link { conn, .. }) = self.link else { return };
        for slot in 0..self.slots.len() {
            if let SlotState::Parked { stream } = self.slots[slot].state {
                stage.send(conn, Side::Dialer, stream, Word::Reset);
                return self.boot(stage, slot);
            }
        }
    }

    /// Its images change, or it drains, or takes jobs again.
    pub fn change(&mut self, stage: &mut Stage, images: Option<u8>, is_draining: Option<bool>) {
        self.images = images.unwrap_or(self.images);
        self.is_draining = is_draining.unwrap_or(self.is_draining);
        let Some(Link { conn, is_welcome: true, .. }) = self.link else { return };
        let stream = stage.net.stream(conn);
        let word = Word::State(self.images, self.is_draining);
        stage.send(conn, Side::Dialer, stream, word);
        self.park_all(stage);
    }

    /// A word arrives.
    pub fn hear(&mut self, stage: &mut Stage, conn: ConnId, stream: u32, word: Word) {
        if !self.is_on(conn) {
            return;
        }
        match word {
            Word::Welcome => {
                self.reconnect.up(stage.now);
                if let Some(link) = &mut self.link {
                    link.is_welcome = true;
                }
                if self.is_draining {
                    self.change(stage, None, None);
                }
                if let Some((session, lease, request)) = self.last_done {
                    // The old session's result, brought again: nobody may take it.
                    if lies(stage, conn, lease, 1) {
                        self.done(stage, session, lease, request, Quality::Good);
                    }
                }
                self.park_all(stage);
            }
            Word::NoContent | Word::Refused => {
                if let Some(slot) = self.slot_on(stream) {
                    self.slots[slot].enter(SlotState::Ready);
                    let serial = self.slots[slot].serial;
                    let next = Event::SlotNext(self.number, self.incarnation, slot, serial);
                    stage.after(POLL_AGAIN, next);
                }
            }
            Word::Lease(lease, request) => self.leased(stage, stream, lease, request),
            Word::Settled => {
                if let Some(link) = &mut self.link {
                    link.settling.remove(&stream);
                }
            }
            Word::Cancelled => self.cancelled(stage, conn, stream),
            Word::Fin => self.link_lost(stage),
            Word::Hello(..)
            | Word::Ready(_)
            | Word::Done(..)
            | Word::Rest
            | Word::State(..)
            | Word::Submit(_)
            | Word::Answer(_)
            | Word::Problem(..)
            | Word::GoAway
            | Word::Reset => {}
        }
    }

    fn slot_on(&self, on: u32) -> Option<usize> {
        self.slots.iter().position(|slot| match slot.state {
            SlotState::Parked { stream } | SlotState::Running { stream, .. } => stream == on,
            SlotState::Booting | SlotState::Ready => false,
        })
    }

    fn leased(&mut self, stage: &mut Stage, stream: u32, lease: LeaseId, request: usize) {
        let Some(slot) = self.slot_on(stream) else {
            // Withdrawn; the word of it is on its way.
            return;
        };
        let mut rng = stage.chance.of(Purpose::Fate, [request as u64, lease.0, stream.into()]);
        let fate = if rng.u64(0..100) < stage.setting.bad_fates_in_100 {
            match rng.u8(0..7) {
                0 | 1 => Fate::GivesUp,
                2 | 3 => Fate::Answers(Quality::Lost),
                4 => Fate::Answers(Quality::Bad),
                5 => Fate::Answers(Quality::BreaksOff),
                _ => Fate::Hangs,
            }
        } else {
            Fate::Answers(Quality::Good)
        };
        let wall = stage.requests.get(request).map_or(Duration::ZERO, |request| request.wall);
        let work = wall.mul_f64(rng.f64() * 1.1);
        self.slots[slot].enter(SlotState::Running { stream, lease, request, fate });
        if !matches!(fate, Fate::Hangs) {
            let serial = self.slots[slot].serial;
            stage.after(work, Event::SlotNext(self.number, self.incarnation, slot, serial));
        }
    }

    /// The VM is killed, and so the cancel acknowledged.
    fn cancelled(&mut self, stage: &mut Stage, conn: ConnId, stream: u32) {
        let settling = self.link.as_mut().and_then(|link| link.settling.remove(&stream));
        let running = self.slot_on(stream).and_then(|slot| match self.slots[slot].state {
            SlotState::Running { lease, request, .. } => Some((slot, lease, request)),
            SlotState::Booting | SlotState::Ready | SlotState::Parked { .. } => None,
        });
        if let Some((slot, lease, request)) = running {
            self.boot(stage, slot);
            self.acknowledged.push((conn, lease));
            if lies(stage, conn, lease, 2) {
                self.done(stage, conn, lease, request, Quality::Good);
            }
        } else if let Some((lease, _)) = settling {
            self.acknowledged.push((conn, lease));
        }
    }
}

impl Slot {
    fn enter(&mut self, state: SlotState) {
        self.serial += 1;
        self.state = state;
    }
}

fn lies(stage: &Stage, conn: ConnId, lease: LeaseId, kind: u64) -> bool {
    let mut rng = stage.chance.of(Purpose::Lie, [conn.0.into(), lease.0, kind]);
    rng.u64(0..100) < stage.setting.lies_in_100
}

fn nanos(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
