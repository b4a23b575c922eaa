//! Who may stay connected: a number of seats, and what happens when all are taken.
//!
//! ```text
//!  arrive -> seated ------------------------------> gone
//!              '-> asked to leave (it was quiet) ----^
//! ```
//! At the limit, the connection that has been without a request the longest is asked to leave and
//! the new one takes its seat at once. Those that are leaving are counted apart; when they are too
//! many, the one that was asked first is thrown out. Only when nobody is quiet is a newcomer
//! turned away. A connection that has never sent a request is quiet since it came, so a crowd
//! that connects and says nothing makes room for itself.
//!
//! Whether somebody is quiet is not told to the seats at every request: they look when they need
//! a seat, and remember the quietest few of what they saw.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::ids::ClientKey;
use super::moment::Moment;

/// One connection, as the seats see it.
pub trait Occupant: Clone {
    /// Since when it has had no request, if it has none.
    fn quiet_since(&self) -> Option<Moment>;
}

/// How many of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Connections with a seat.
    pub seats: usize,
    /// Of one client.
    pub per_client: usize,
    /// That were asked to leave and have not gone.
    pub leaving: usize,
}

/// A connection's name among the seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(u64);

/// What becomes of a newcomer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival<O> {
    /// It stays.
    Seated {
        /// Its name.
        seat: SeatId,
        /// Who is to be asked to leave for it.
        asked: Option<O>,
        /// Who was asked before and is to be cut off now.
        thrown_out: Option<O>,
    },
    /// It may not stay: all seats are taken by connections with requests.
    Full,
    /// It may not stay: its client has too many already.
    Crowd,
}

/// See the module.
#[derive(Debug)]
pub struct Seats<O> {
    terms: Terms,
    next: u64,
    seated: HashMap<SeatId, Seat<O>>,
    leaving: HashMap<SeatId, Seat<O>>,
    /// In the order in which they were asked; some may be gone.
    asked: VecDeque<SeatId>,
    per_client: HashMap<ClientKey, usize>,
    /// The quietest, as of the last look, the quietest of them first; some may not be any more.
    quietest: VecDeque<(Moment, SeatId)>,
    /// When nobody was found quiet.
    all_busy_at: Option<Moment>,
}

#[derive(Debug)]
struct Seat<O> {
    occupant: O,
    client: Option<ClientKey>,
}

/// How many are remembered of one look: a look costs as much as there are seats.
const REMEMBERED: usize = 64;

/// How long a look that found nobody is believed.
const BUSY_FOR: Duration = Duration::from_millis(10);

impl<O: Occupant> Seats<O> {
    /// Empty ones.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            next: 0,
            seated: HashMap::new(),
            leaving: HashMap::new(),
            asked: VecDeque::new(),
            per_client: HashMap::new(),
            quietest: VecDeque::new(),
            all_busy_at: None,
        }
    }

    /// Somebody connected. A proxy, through which many come, is nobody's `client`.
    pub fn arrive(&mut self, occupant: O, client: Option<ClientKey>, now: Moment) -> Arrival<O> {
        if let Some(client) = client {
            if self.per_client.get(&client).is_some_and(|many| *many >= self.terms.per_client) {
                return Arrival::Crowd;
            }
        }
        let (mut asked, mut thrown_out) = (None, None);
        if self.seated.len() >= self.terms.seats {
            let Some(quietest) = self.quietest(now) else { return Arrival::Full };
            (asked, thrown_out) = self.ask(quietest);
        }
        let seat = SeatId(self.next);
        self.next += 1;
        if let Some(client) = client {
            *self.per_client.entry(client).or_default() += 1;
        }
        self.seated.insert(seat, Seat { occupant, client });
        Arrival::Seated { seat, asked, thrown_out }
    }

    /// Somebody is gone.
    pub fn leave(&mut self, seat: SeatId) {
        let seat = self.seated.remove(&seat).or_else(|| self.leaving.remove(&seat));
        let Some(client) = seat.and_then(|seat| seat.client) else { return };
        if let Some(many) = self.per_client.get_mut(&client) {
            *many = many.saturating_sub(1);
            if *many == 0 {
                self.per_client.remove(&client);
            }
        }
    }

    /// How many have a seat, and how many are leaving.
    pub fn count(&self) -> (usize, usize) {
        (self.seated.len(), self.leaving.len())
    }

    /// How many of those with a seat have no request.
    pub fn quiet(&self) -> usize {
        self.seated.values().filter(|seat| seat.occupant.quiet_since().is_some()).count()
    }

    fn quietest(&mut self, now: Moment) -> Option<SeatId> {
        if let Some(found) = self.remembered() {
            return Some(found);
        }
        if self.all_busy_at.is_some_and(|at| now.since(at) < BUSY_FOR) {
            return None;
        }
        self.look();
        let found = self.remembered();
        self.all_busy_at = if found.is_some() { None } else { Some(now) };
        found
    }

    /// The quietest of the last look that has been quiet ever since.
    fn remembered(&mut self) -> Option<SeatId> {
        while let Some((since, id)) = self.quietest.pop_front() {
            let seat = self.seated.get(&id);
            if seat.is_some_and(|seat| seat.occupant.quiet_since() == Some(since)) {
                return Some(id);
            }
        }
        None
    }

    fn look(&mut self) {
        let quiet = |(id, seat): (&SeatId, &Seat<O>)| Some((seat.occupant.quiet_since()?, *id));
        let mut found: Vec<_> = self.seated.iter().filter_map(quiet).collect();
        if found.len() > REMEMBERED {
            found.select_nth_unstable(REMEMBERED);
            found.truncate(REMEMBERED);
        }
        found.sort_unstable();
        self.quietest = found.into();
    }

    fn ask(&mut self, id: SeatId) -> (Option<O>, Option<O>) {
        let Some(seat) = self.seated.remove(&id) else { return (None, None) };
        let asked = seat.occupant.clone();
        self.leaving.insert(id, seat);
        self.asked.push_back(id);
        let mut thrown_out = None;
        while self.leaving.len() > self.terms.leaving {
            let Some(first) = self.asked.pop_front() else { break };
            if let Some(seat) = self.leaving.get(&first) {
                thrown_out = Some(seat.occupant.clone());
                self.leave(first);
            }
        }
        // Names of those who went by themselves.
        if self.asked.len() > 2 * self.terms.leaving {
            self.asked.retain(|id| self.leaving.contains_key(id));
        }
        (Some(asked), thrown_out)
    }
}

#[cfg(test)]
mod tests;
