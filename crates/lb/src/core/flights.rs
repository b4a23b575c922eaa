//! Which runs are under way, and who waits for each: identical jobs share one run.
//!
//! ```text
//!            board (no such job)            land (all of it is here)          close
//!   (none) ────────────────────► running ──────────────────────► landed ────────────► closed
//!                                 │   ▲                           │   ▲                 │
//!                    leave (last) │   │ board (the same job):     │   │ board, leave    │ leave (last)
//!                                 ▼   └── one seat more           └───┘                 ▼
//!                             cancelled: (none)                                       (none)
//! ```
//!
//! Until it is closed a flight is joined by whoever wants the same job, and a job has at most one.
//! A flight that nobody may join (`cache: off`, `refresh`, or its job was purged) is *alone*. When the last seat of one
//! that still runs is left, the run is to be cancelled; once it landed, what is left to be done
//! with the result is done though nobody waits. A run that comes to nothing is closed at once.
//! What a flight carries is the shell's; nothing here runs anything.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;

/// One run and all who wait for it. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(pub u64);

/// See the module. `J` names jobs; `T` is what everybody on a flight shares.
#[derive(Debug)]
pub struct Flights<J, T> {
    flights: HashMap<FlightId, Flight<J, T>>,
    /// Open flights that may be joined.
    open: HashMap<J, FlightId>,
    /// Of each job the youngest flight that is not closed, whether it may be joined or not.
    latest: HashMap<J, FlightId>,
    next: u64,
    seats_max: usize,
}

#[derive(Debug)]
struct Flight<J, T> {
    job: J,
    seats: usize,
    phase: Phase,
    shared: T,
}

/// How far a flight is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its job is being run.
    Running,
    /// All of its result is here, and known to nobody but those on it.
    Landed,
    /// Its result is known to everybody, or there is none.
    Closed,
}

/// What became of a wish to board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boarded<T> {
    /// It has its own flight, the first seat of which it took.
    Started(FlightId, T),
    /// It took a seat of a flight that was under way.
    Joined(FlightId, T),
    /// All seats of the job's flight are taken.
    Full,
}

/// What a left seat means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left<T> {
    /// Nothing: others wait, or the run is over.
    Nothing,
    /// Nobody waits for the run any more: it is to be cancelled.
    Cancel(T),
}

/// A flight as an operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<J, T> {
    /// Which job.
    pub job: J,
    /// How many wait for it, or still read its result.
    pub seats: usize,
    /// How far it is.
    pub phase: Phase,
    /// What everybody on it shares.
    pub shared: T,
}

impl<J: Copy + Eq + Hash, T: Clone> Flights<J, T> {
    /// None are under way.
    pub fn new(seats_max: usize) -> Self {
        Self {
            flights: HashMap::new(),
            open: HashMap::new(),
            latest: HashMap::new(),
            next: 1,
            seats_max,
        }
    }

    /// Takes a seat of the job's flight, if there is one.
    pub fn join(&mut self, job: J) -> Option<Boarded<T>> {
        let id = self.open.get(&job).copied()?;
        Some(match self.flights.get_mut(&id) {
            Some(flight) if flight.seats < self.seats_max => {
                flight.seats += 1;
                Boarded::Joined(id, flight.shared.clone())
            }
            Some(_) | None => Boarded::Full,
        })
    }

    /// Takes a seat of the job's flight; if there is none, `start` makes one.
    pub fn board(&mut self, job: J, start: impl FnOnce(FlightId) -> T) -> Boarded<T> {
        self.join(job).unwrap_or_else(|| {
            let (id, shared) = self.start(job, start);
            self.open.insert(job, id);
            Boarded::Started(id, shared)
        })
    }

    /// Starts a flight that nobody else may join.
    pub fn board_alone(&mut self, job: J, start: impl FnOnce(FlightId) -> T) -> (FlightId, T) {
        self.start(job, start)
    }

    fn start(&mut self, job: J, start: impl FnOnce(FlightId) -> T) -> (FlightId, T) {
        let id = FlightId(self.next);
        self.next += 1;
        let shared = start(id);
        let flight = Flight { job, seats: 1, phase: Phase::Running, shared: shared.clone() };
        self.flights.insert(id, flight);
        self.latest.insert(job, id);
        (id, shared)
    }

    /// Nobody else may join the job's flight that is under way; it goes on as if it were alone.
    pub fn part(&mut self, job: J) {
        self.open.remove(&job);
    }

    /// A seat is left; to be called once for each that was taken.
    pub fn leave(&mut self, id: FlightId) -> Left<T> {
        let Some(flight) = self.flights.get_mut(&id) else {
            return Left::Nothing;
        };
        flight.seats = flight.seats.saturating_sub(1);
        if flight.seats > 0 {
            return Left::Nothing;
        }
        match flight.phase {
            Phase::Landed => Left::Nothing,
            Phase::Closed => {
                self.flights.remove(&id);
                Left::Nothing
            }
            Phase::Running => {
                self.close(id).map_or(Left::Nothing, |flight| Left::Cancel(flight.shared))
            }
        }
    }

    /// All of the result is here: the run is not cancelled any more.
    pub fn land(&mut self, id: FlightId) {
        if let Some(flight) = self.flights.get_mut(&id) {
            if flight.phase == Phase::Running {
                flight.phase = Phase::Landed;
            }
        }
    }

    /// Nobody may join any more: the result is known, or there is none.
    pub fn end(&mut self, id: FlightId) {
        self.close(id);
    }

    /// Closes a flight, and takes it out if nobody is on it.
    fn close(&mut self, id: FlightId) -> Option<Flight<J, T>> {
        let flight = self.flights.get_mut(&id)?;
        flight.phase = Phase::Closed;
        if self.open.get(&flight.job) == Some(&id) {
            self.open.remove(&flight.job);
        }
        if self.latest.get(&flight.job) == Some(&id) {
            self.latest.remove(&flight.job);
        }
        if flight.seats > 0 { None } else { self.flights.remove(&id) }
    }

    /// What is shared by the youngest flight of a job that is under way.
    pub fn latest(&self, job: J) -> Option<T> {
        let id = self.latest.get(&job)?;
        self.flights.get(id).map(|flight| flight.shared.clone())
    }

    /// Flights that run, or that anybody is on.
    pub fn len(&self) -> usize {
        self.flights.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// All of them, oldest first.
    pub fn rows(&self) -> Vec<Row<J, T>> {
        let mut ids: Vec<_> = self.flights.iter().collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        let row = |flight: &Flight<J, T>| {
            let Flight { job, seats, phase, shared } = flight;
            Row { job: *job, seats: *seats, phase: *phase, shared: shared.clone() }
        };
        ids.into_iter().map(|(_, flight)| row(flight)).collect()
    }
}
