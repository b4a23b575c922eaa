//! A client: sends jobs over one connection, dials again when it is gone, and takes note of how
//! each request ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::net::{ConnId, Peer, Side, Word};
use crate::stage::{Broken, End, Event, Stage, rule};

/// See the module.
#[derive(Debug)]
pub struct Client {
    number: u8,
    /// The connection for new requests.
    conn: Option<ConnId>,
    is_dialling: bool,
    unsent: Vec<usize>,
    open: BTreeMap<(ConnId, u32), usize>,
    /// Connections that end when what is open on them is answered. What is open at their end was
    /// never taken, and is sent again.
    going: BTreeSet<ConnId>,
}

/// Between two dials.
const AGAIN: Duration = Duration::from_millis(150);

impl Client {
    /// A client without a connection.
    pub fn new(number: u8) -> Self {
        Self {
            number,
            conn: None,
            is_dialling: false,
            unsent: Vec::new(),
            open: BTreeMap::new(),
            going: BTreeSet::new(),
        }
    }

    /// A job is to be run.
    pub fn submit(&mut self, stage: &mut Stage, request: usize) {
        self.unsent.push(request);
        self.send_all(stage);
    }

    fn send_all(&mut self, stage: &mut Stage) {
        let Some(conn) = self.conn else {
            if !self.is_dialling {
                self.is_dialling = true;
                stage.after(Duration::ZERO, Event::Dials(Peer::Client(self.number), 0));
            }
            return;
        };
        for request in std::mem::take(&mut self.unsent) {
            let stream = stage.net.stream(conn);
            self.open.insert((conn, stream), request);
            stage.send(conn, Side::Dialer, stream, Word::Submit(request));
        }
    }

    /// It has a connection again, or was told that there is none to be had.
    pub fn dialled(&mut self, stage: &mut Stage, conn: Option<ConnId>) {
        self.is_dialling = conn.is_none();
        match conn {
            None => stage.after(AGAIN, Event::Dials(Peer::Client(self.number), 0)),
            Some(conn) => {
                self.conn = Some(conn);
                self.send_all(stage);
            }
        }
    }

    /// It does not wait any longer.
    pub fn hang_up(&mut self, stage: &mut Stage, request: usize) {
        self.unsent.retain(|each| *each != request);
        let open = self.open.iter().find(|(_, each)| **each == request);
        if let Some((conn, stream)) = open.map(|(at, _)| *at) {
            self.open.remove(&(conn, stream));
            stage.send(conn, Side::Dialer, stream, Word::Reset);
        }
        end(stage, request, End::HungUp);
    }

    /// A word arrives.
    pub fn hear(
        &mut self,
        stage: &mut Stage,
        conn: ConnId,
        stream: u32,
        word: Word,
    ) -> Result<(), Broken> {
        let asked = self.open.get(&(conn, stream)).copied();
        match word {
            Word::Answer(of) => self.answered(stage, asked, of, End::Answered)?,
            Word::Problem(of, refusal) => {
                self.answered(stage, asked, of, End::Refused(refusal.into()))?;
            }
            Word::GoAway => {
                self.going.insert(conn);
                if self.conn == Some(conn) {
                    self.conn = None;
                }
            }
            Word::Fin if self.going.contains(&conn) => {
                let (taken, open) =
                    std::mem::take(&mut self.open).into_iter().partition(|(at, _)| at.0 == conn);
                self.open = open;
                let taken: BTreeMap<(ConnId, u32), usize> = taken;
                self.unsent.extend(taken.into_values());
                self.conn_lost(stage, conn)?;
            }
            Word::Fin => self.conn_lost(stage, conn)?,
            Word::Hello(..)
            | Word::Welcome
            | Word::Ready(_)
            | Word::NoContent
            | Word::Lease(..)
            | Word::Settled
            | Word::Cancelled
            | Word::Done(..)
            | Word::Rest
            | Word::State(..)
            | Word::Refused
            | Word::Submit(_)
            | Word::Reset => {}
        }
        Ok(())
    }

    fn answered(
        &mut self,
        stage: &mut Stage,
        asked: Option<usize>,
        of: usize,
        how: End,
    ) -> Result<(), Broken> {
        let Some(request) = asked else { return Ok(()) };
        rule!(
            of == request,
            "a client gets the answer to its own request",
            "request {request} got that to {of}"
        );
        self.open.retain(|_, each| *each != request);
        end(stage, request, how);
        Ok(())
    }

    /// A connection is gone, and what was asked over it has no answer.
    ///
    /// # Errors
    /// No fault of the plan can have done that.
    pub fn conn_lost(&mut self, stage: &mut Stage, conn: ConnId) -> Result<(), Broken> {
        stage.close(conn, Side::Dialer, false);
        if self.conn == Some(conn) {
            self.conn = None;
        }
        let lost = self.open.iter().filter(|((on, _), _)| *on == conn);
        for (at, request) in lost.map(|(at, request)| (*at, *request)).collect::<Vec<_>>() {
            self.open.remove(&at);
            let is_excused = stage.excused.contains(&self.number);
            rule!(is_excused, "no request is lost without a fault", "request {request}");
            end(stage, request, End::Disconnected);
        }
        if !self.unsent.is_empty() {
            self.send_all(stage);
        }
        Ok(())
    }

    /// It goes, and all its connections with it.
    pub fn leave(&mut self, stage: &mut Stage) {
        for conn in std::mem::take(&mut self.going).into_iter().chain(self.conn.take()) {
            stage.close(conn, Side::Dialer, false);
        }
    }
}

fn end(stage: &mut Stage, request: usize, how: End) {
    stage.note(|| format!("request {request}: {how:?}"));
    if let Some(request) = stage.requests.get_mut(request) {
        request.end.get_or_insert(how);
    }
    stage.due.retain(|(_, each)| *each != request);
}
