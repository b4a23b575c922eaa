//! A run: the plan's actions and all that follows from them, one step after the other. When all is
//! done, everybody but the load balancer goes, and it must have forgotten them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pe_proto::link::LeaseId;

use crate::books::Figures;
use crate::client::Client;
use crate::lb::Lb;
use crate::net::{ConnId, Peer, Side, Word};
use crate::plan::{Action, Deed, Plan};
use crate::stage::{Broken, End, Event, Request, Stage, rule};
use crate::worker::Worker;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Steps that it took.
    pub steps: u64,
    /// How its requests ended.
    pub ends: BTreeMap<End, u64>,
    /// What its brokers did.
    pub figures: Figures,
}

/// A run that broke a rule.
#[derive(Debug)]
pub struct Failure {
    /// Which, and how.
    pub broken: Broken,
    /// What had happened, if a log was wanted.
    pub log: Vec<String>,
}

/// Runs a plan.
///
/// # Errors
/// A rule was broken.
pub fn run(plan: &Plan, with_log: bool) -> Result<Report, Failure> {
    let mut world = World::new(plan, with_log);
    match world.run() {
        Ok(()) => Ok(world.report()),
        Err(broken) => Err(Failure { broken, log: world.stage.log.unwrap_or_default() }),
    }
}

#[derive(Debug)]
struct World<'p> {
    stage: Stage,
    actions: &'p [Action],
    lb: Option<Lb>,
    generation: u32,
    workers: Vec<Worker>,
    clients: Vec<Client>,
    /// Workers that waited when the load balancer was started, and when that was.
    returning: (Duration, Vec<(u8, u32)>),
    /// Leases whose VMs are known to be dead: nothing may come of them any more.
    dead: BTreeSet<(ConnId, LeaseId)>,
    steps: u64,
    figures: Figures,
}

/// A dial into a cut path is given up after this.
const DIAL: Duration = Duration::from_secs(10);

/// Workers are back within this after a load balancer was started.
const BACK: Duration = Duration::from_secs(2);

/// More steps than any plan needs: a run that takes them goes in circles.
const STEPS_MAX: u64 = 400_000;

impl<'p> World<'p> {
    fn new(plan: &'p Plan, with_log: bool) -> Self {
        let mut stage = Stage::new(plan.chance, plan.setting.clone(), with_log);
        stage.note(|| format!("{:?}", plan.setting));
        for (index, action) in plan.actions.iter().enumerate() {
            stage.at(action.at, Event::Act(index));
        }
        let outfits = plan.setting.workers.iter().zip(0..);
        let mut workers: Vec<Worker> =
            outfits.map(|(outfit, number)| Worker::new(number, *outfit)).collect();
        let lb = Some(Lb::new(0, &stage));
        for worker in &mut workers {
            worker.start(&mut stage);
        }
        let clients = (0..plan.setting.clients).map(Client::new).collect();
        let (dead, figures) = (BTreeSet::new(), Figures::default());
        Self {
            stage,
            actions: &plan.actions,
            lb,
            generation: 0,
            workers,
            clients,
            returning: (Duration::ZERO, Vec::new()),
            dead,
            steps: 0,
            figures,
        }
    }

    fn run(&mut self) -> Result<(), Broken> {
        let last = self.actions.last().map_or(Duration::ZERO, |action| action.at);
        while let Some(event) = self.next() {
            self.step(event)?;
            let late = self.stage.due.first().filter(|(due, _)| *due < self.stage.now);
            rule!(late.is_none(), "every request ends in time", "{late:?}");
            rule!(self.steps < STEPS_MAX, "a run comes to its end", "{} steps", self.steps);
            if self.stage.now > last && self.stage.due.is_empty() {
                break;
            }
        }
        self.clear()
    }

    fn next(&mut self) -> Option<Event> {
        self.steps += 1;
        self.stage.advance()
    }

    /// All others go; nothing may be left of them.
    fn clear(&mut self) -> Result<(), Broken> {
        self.stage.note(|| "all go".to_owned());
        self.stage.net.heal();
        for client in &mut self.clients {
            client.leave(&mut self.stage);
        }
        for worker in &mut self.workers {
            worker.kill(&mut self.stage, false);
        }
        // Keep-alives find the last of them.
        let end = self.stage.now + Duration::from_secs(60);
        while let Some(event) = self.next() {
            if self.stage.now > end {
                break;
            }
            if !matches!(event, Event::Act(_) | Event::WorkerStarts(_)) {
                self.step(event)?;
            }
        }
        match &self.lb {
            Some(lb) => lb.check_empty(),
            None => Ok(()),
        }
    }

    fn report(self) -> Report {
        let mut ends = BTreeMap::new();
        for request in &self.stage.requests {
            if let Some(end) = request.end {
                *ends.entry(end).or_default() += 1;
            }
        }
        let mut figures = self.figures;
        if let Some(lb) = &self.lb {
            figures.add(&lb.books.figures);
        }
        Report { steps: self.steps, ends, figures }
    }

    fn step(&mut self, event: Event) -> Result<(), Broken> {
        let stage = &mut self.stage;
        match event {
            Event::Act(index) => {
                if let Some(action) = self.actions.get(index).copied() {
                    stage.note(|| format!("{:?}", action.deed));
                    self.act(action.deed)?;
                }
            }
            Event::Arrives(conn, side, stream, word) => self.arrives(conn, side, stream, word)?,
            Event::KeepAlive(conn, side) => {
                if stage.keep_alive(conn, side) {
                    stage.note(|| format!("{conn:?} is dead for {side:?}"));
                    self.conn_dead(conn, side)?;
                }
            }
            Event::Dials(peer, incarnation) => self.dials(peer, incarnation),
            Event::LbRuns(generation) => self.lb_runs(generation, false)?,
            Event::LbDue(generation) => self.lb_runs(generation, true)?,
            Event::LbIdle(generation, conn, stream) => {
                if let Some(lb) = self.lb.as_mut().filter(|lb| lb.generation == generation) {
                    lb.idle(stage, (conn, stream))?;
                }
            }
            Event::LbEnds(generation) => {
                if self.lb.as_ref().is_some_and(|lb| lb.generation == generation) {
                    stage.note(|| "drain deadline".to_owned());
                    self.end_lb(false, Duration::from_millis(50));
                }
            }
            Event::LbStarts => {
                stage.note(|| format!("lb {} starts", self.generation));
                self.lb = Some(Lb::new(self.generation, stage));
                self.expect_workers();
            }
            Event::WorkersBack(generation) => self.check_workers_are_back(generation)?,
            Event::WorkerStarts(number) => self.workers[usize::from(number)].start(stage),
            Event::SlotNext(number, incarnation, slot, serial) => {
                let worker = &mut self.workers[usize::from(number)];
                if worker.incarnation == incarnation {
                    worker.next(stage, slot, serial);
                }
            }
            Event::PollDue(number, conn, stream) => {
                self.workers[usize::from(number)].poll_due(stage, conn, stream);
            }
            Event::HangsUp(request) => {
                let known = stage.requests.get(request).filter(|known| known.end.is_none());
                if let Some(client) = known.map(|known| known.client) {
                    self.clients[usize::from(client)].hang_up(stage, request);
                }
            }
        }
        for worker in &mut self.workers {
            self.dead.extend(worker.acknowledged.drain(..));
        }
        Ok(())
    }

    fn act(&mut self, deed: Deed) -> Result<(), Broken> {
        let stage = &mut self.stage;
        let now = stage.now;
        match deed {
            Deed::Submit { client, image, wall, patience, is_spare } => {
                let request = stage.requests.len();
                let (end, answers) = (None, 0);
                stage.requests.push(Request { client, image, wall, is_spare, end, answers });
                let terms = stage.setting.terms;
                // Each of four leases waited for and used up, a restart, a cut, and the rest.
                let most = (terms.queue_wait + wall + terms.lease_grace) * 6
                    + stage.setting.drain_max * 4
                    + Duration::from_secs(240);
                stage.due.insert((now + most, request));
                if let Some(patience) = patience {
                    stage.after(patience, Event::HangsUp(request));
                }
                self.clients[usize::from(client)].submit(stage, request);
            }
            Deed::KillWorker { worker, down, is_silent } => {
                self.workers[usize::from(worker)].kill(stage, is_silent);
                stage.after(down, Event::WorkerStarts(worker));
            }
            Deed::CutWorker { worker, time } => stage.net.cut(Peer::Worker(worker), now + time),
            Deed::CutClient { client, time } => {
                stage.excused.insert(client);
                stage.net.cut(Peer::Client(client), now + time);
            }
            Deed::ResetLink { worker } => {
                let worker = &mut self.workers[usize::from(worker)];
                worker.link_lost(stage);
            }
            Deed::LoseVm { worker } => self.workers[usize::from(worker)].lose_vm(stage),
            Deed::Change { worker, images } => {
                self.workers[usize::from(worker)].change(stage, Some(images), None);
            }
            Deed::Drain { worker, is_draining } => {
                self.workers[usize::from(worker)].change(stage, None, Some(is_draining));
            }
            Deed::Lie { worker, back } => {
                let worker = &mut self.workers[usize::from(worker)];
                let lb = self.lb.as_ref();
                let lease = worker.conn().and_then(|conn| lb?.foreign_lease(conn, back));
                if let Some(lease) = lease {
                    worker.lie(stage, lease);
                }
            }
            Deed::RestartLb { is_drain: true, down, .. } => {
                if let Some(lb) = &mut self.lb {
                    lb.drain(stage, down);
                }
            }
            Deed::RestartLb { is_drain: false, is_silent, down } => self.end_lb(is_silent, down),
        }
        Ok(())
    }

    /// The process of the load balancer ends, and another is started after a while.
    fn end_lb(&mut self, is_silent: bool, down: Duration) {
        let Some(lb) = self.lb.take() else { return };
        self.figures.add(&lb.books.figures);
        if !lb.is_drained() {
            self.stage.excused.extend(0..self.stage.setting.clients);
        }
        lb.end(&mut self.stage, is_silent);
        self.generation += 1;
        self.stage.after(down, Event::LbStarts);
    }

    fn expect_workers(&mut self) {
        let now = self.stage.now;
        let reachable = self.workers.iter().filter(|worker| {
            worker.is_waiting() && self.stage.net.cut_until(Peer::Worker(worker.number)) <= now
        });
        let returning = reachable.map(|worker| (worker.number, worker.incarnation)).collect();
        self.returning = (now, returning);
        self.stage.after(BACK, Event::WorkersBack(self.generation));
    }

    /// Unless something else happened to them or to it.
    fn check_workers_are_back(&self, generation: u32) -> Result<(), Broken> {
        if self.lb.as_ref().is_none_or(|lb| lb.generation != generation) {
            return Ok(());
        }
        let (since, returning) = &self.returning;
        for (number, incarnation) in returning {
            let worker = &self.workers[usize::from(*number)];
            let cut_until = self.stage.net.cut_until(Peer::Worker(*number));
            let is_same = worker.incarnation == *incarnation && cut_until <= *since;
            rule!(
                !is_same || worker.linked_at >= *since,
                "workers are back within two seconds of their load balancer",
                "worker {number} is not"
            );
        }
        Ok(())
    }

    fn lb_runs(&mut self, generation: u32, is_timer: bool) -> Result<(), Broken> {
        let Some(lb) = self.lb.as_mut().filter(|lb| lb.generation == generation) else {
            return Ok(());
        };
        lb.run(&mut self.stage, is_timer)?;
        if lb.is_drained() {
            let down = lb.down;
            self.stage.note(|| "drained".to_owned());
            self.end_lb(false, down);
        }
        Ok(())
    }

    fn dials(&mut self, peer: Peer, incarnation: u32) {
        let stage = &mut self.stage;
        if let Peer::Worker(number) = peer {
            if self.workers[usize::from(number)].incarnation != incarnation {
                return;
            }
        }
        let cut = stage.net.cut_until(peer).saturating_sub(stage.now);
        if !cut.is_zero() {
            // Nothing is heard until the dial is given up, or the cut is over.
            return stage.after(cut.min(DIAL), Event::Dials(peer, incarnation));
        }
        let conn = match &mut self.lb {
            Some(lb) if lb.accepts(peer) => {
                let conn = stage.connect(peer);
                lb.accept(conn, stage);
                Some(conn)
            }
            Some(_) | None => None,
        };
        match peer {
            Peer::Worker(number) => self.workers[usize::from(number)].dialled(stage, conn),
            Peer::Client(number) => self.clients[usize::from(number)].dialled(stage, conn),
        }
    }

    fn arrives(&mut self, conn: ConnId, side: Side, stream: u32, word: Word) -> Result<(), Broken> {
        let stage = &mut self.stage;
        if !stage.net.is_open(conn, side) {
            return Ok(());
        }
        let peer = stage.net.peer(conn);
        stage.note(|| format!("{peer:?} {conn:?}/{stream} to {side:?}: {word:?}"));
        match (side, stage.net.peer(conn)) {
            (Side::Lb, _) => {
                let Some(lb) = &mut self.lb else { return Ok(()) };
                lb.hear(stage, conn, stream, word)
            }
            (Side::Dialer, Peer::Worker(number)) => {
                if let Word::Lease(lease, _) = word {
                    let is_dead = self.dead.contains(&(conn, lease));
                    rule!(!is_dead, "nothing runs after its cancel", "{lease:?}");
                }
                self.workers[usize::from(number)].hear(stage, conn, stream, word);
                Ok(())
            }
            (Side::Dialer, Peer::Client(number)) => {
                self.clients[usize::from(number)].hear(stage, conn, stream, word)
            }
        }
    }

    fn conn_dead(&mut self, conn: ConnId, side: Side) -> Result<(), Broken> {
        let stage = &mut self.stage;
        match (side, stage.net.peer(conn)) {
            (Side::Lb, _) => {
                stage.close(conn, Side::Lb, false);
                match &mut self.lb {
                    Some(lb) => lb.conn_ended(stage, conn),
                    None => Ok(()),
                }
            }
            (Side::Dialer, Peer::Worker(number)) => {
                let worker = &mut self.workers[usize::from(number)];
                if worker.is_on(conn) {
                    worker.link_lost(stage);
                }
                Ok(())
            }
            (Side::Dialer, Peer::Client(number)) => {
                self.clients[usize::from(number)].conn_lost(stage, conn)
            }
        }
    }
}
