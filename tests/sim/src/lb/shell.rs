//! The shell: what hangs on connections, and what becomes of it with them.

use pe_lb::core::broker::Loss;
use pe_lb::core::ids::{JobId, SlotId, WorkerId};

use super::{Arriving, Asked, Lb, Message, Rest};
use crate::chance::Purpose;
use crate::net::{ConnId, Quality, Side, Word};
use crate::stage::{Broken, Stage, rule};

impl Lb {
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
    pub(super) fn receive(
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
    pub(super) fn answer(
        &mut self,
        stage: &mut Stage,
        job: JobId,
        word: Word,
    ) -> Result<(), Broken> {
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
}
