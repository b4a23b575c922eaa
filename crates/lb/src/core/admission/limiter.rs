//! A rate for each of many keys.
//!
//! `governor` does the arithmetic: per key it holds one point in time, until when what was taken
//! is paid for (GCRA). What it leaves open is done here: the table of keys is bounded, what was
//! taken can be given back or found to have been too little, and time is told by the caller.
//!
//! The table drops keys that owe nothing once a minute. If it is full before that, the eighth of
//! it that owes least makes room: whoever wants a debt forgotten must bring more keys than the
//! table holds, each of which owes more.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::core::moment::Moment;
use crate::limits::IDLE_CLIENTS_SWEPT;

/// One more every so often, up to so many at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    burst: NonZeroU32,
    every: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Limiter<K: Clone + Eq + Hash> {
    rate: Rate,
    gcra: RateLimiter<K, Table<K>, Hand, NoOpMiddleware<Nanos>>,
    hand: Hand,
    table: Table<K>,
    swept: Moment,
}

impl Rate {
    /// So many at once, and all of them again in the time `per`.
    pub fn new(burst: NonZeroU32, per: Duration) -> Self {
        Self { burst, every: (per / burst.get()).max(Duration::from_nanos(1)) }
    }

    /// The same pace with another burst.
    #[must_use]
    pub fn with_burst(self, burst: NonZeroU32) -> Self {
        Self { burst, ..self }
    }

    fn cost(self, cells: u32) -> u64 {
        nanos(self.every).saturating_mul(cells.into())
    }
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// Nothing was taken yet.
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self::over(rate, Table::new(keys_max))
    }

    /// The same debts, paid off at another rate.
    #[must_use]
    pub fn renewed(self, rate: Rate, keys_max: usize) -> Self {
        self.table.lock().keys_max = keys_max;
        Self { swept: self.swept, ..Self::over(rate, self.table) }
    }

    fn over(rate: Rate, table: Table<K>) -> Self {
        let hand = Hand::default();
        let quota = Quota::with_period(rate.every).map(|quota| quota.allow_burst(rate.burst));
        // A rate is never without a period; the default is for the compiler.
        let quota = quota.unwrap_or_else(|| Quota::per_second(rate.burst));
        let gcra = RateLimiter::new(quota, table.clone(), hand.clone());
        Self { rate, gcra, hand, table, swept: Moment::START }
    }

    /// Takes some, all or nothing; more than can be had at once counts as that much.
    ///
    /// # Errors
    /// How long until the same would be granted.
    pub fn take(&mut self, key: &K, cells: u32, now: Moment) -> Result<(), Duration> {
        let Some(cells) = NonZeroU32::new(cells.min(self.rate.burst.get())) else {
            return Ok(());
        };
        let now_nanos = self.set(now);
        match self.gcra.check_key_n(key, cells) {
            // There are never more cells than the burst, so there is always an inner answer.
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(now_nanos)),
        }
    }

    /// What was taken turns out to be something else: the rest is given back, or is owed.
    pub fn settle(&mut self, key: &K, taken: u32, used: u32, now: Moment) {
        let taken = taken.min(self.rate.burst.get());
        let now = u64::from(self.set(now));
        let mut table = self.table.lock();
        if used > taken {
            let from = table.paid_until.get(key).copied().unwrap_or(now).max(now);
            let until = from.saturating_add(self.rate.cost(used - taken)).min(DEBT_MAX);
            table.insert(key, until);
        } else if let Some(until) = table.paid_until.get_mut(key) {
            *until = until.saturating_sub(self.rate.cost(taken - used));
        }
    }

    /// Keys of which something is remembered.
    pub fn len(&self) -> usize {
        self.table.lock().paid_until.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn set(&mut self, now: Moment) -> Nanos {
        let nanos = nanos(now.0);
        self.hand.0.store(nanos, Ordering::Relaxed);
        if now.since(self.swept) >= IDLE_CLIENTS_SWEPT {
            self.swept = now;
            self.gcra.retain_recent();
        }
        nanos.into()
    }
}

/// No debt reaches further, so that sums of times are far from overflow: a hundred years.
const DEBT_MAX: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

/// The time that governor is told. It is set before each question; whoever asks has the limiter
/// for himself, so nobody else's time can come between.
#[derive(Debug, Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

/// What governor remembers, shared with it. The lock is never waited for, as the limiter is
/// behind `&mut`.
#[derive(Debug)]
struct Table<K>(Arc<Mutex<Debts<K>>>);

#[derive(Debug)]
struct Debts<K> {
    /// In nanoseconds since the start of time.
    paid_until: HashMap<K, u64>,
    keys_max: usize,
}

impl<K> Clone for Table<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn new(keys_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Debts { paid_until: HashMap::new(), keys_max })))
    }
}

impl<K> Table<K> {
    fn lock(&self) -> MutexGuard<'_, Debts<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Debts<K> {
    fn insert(&mut self, key: &K, until: u64) {
        if let Some(known) = self.paid_until.get_mut(key) {
            *known = until;
            return;
        }
        if self.paid_until.len() >= self.keys_max {
            self.make_room();
        }
        self.paid_until.insert(key.clone(), until);
    }

    fn make_room(&mut self) {
        let mut debts: Vec<u64> = self.paid_until.values().copied().collect();
        let eighth = debts.len() / 8;
        if eighth < debts.len() {
            let (_, &mut cut, _) = debts.select_nth_unstable(eighth);
            self.paid_until.retain(|_, until| *until > cut);
        }
    }
}

impl<K: Clone + Eq + Hash> StateStore for Table<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut debts = self.lock();
        let known = debts.paid_until.get(key).copied().map(Nanos::from);
        let (answer, until) = decide(known)?;
        debts.insert(key, until.into());
        Ok(answer)
    }
}

impl<K: Clone + Eq + Hash> ShrinkableKeyedStateStore<K> for Table<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().paid_until.retain(|_, until| *until > drop_below.into());
    }

    fn len(&self) -> usize {
        self.lock().paid_until.len()
    }

    fn is_empty(&self) -> bool {
        self.lock().paid_until.is_empty()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(DEBT_MAX).min(DEBT_MAX)
}

#[cfg(test)]
mod tests;
