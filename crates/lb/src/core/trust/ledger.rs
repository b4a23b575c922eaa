//! Strikes against workers, by name.
//!
//! Each fault adds its weight to a worker's score; the score halves with every
//! [`StrikeTerms::half_life`]. At [`StrikeTerms::limit`] the worker is in quarantine: it gets no
//! leases for a time that doubles with each quarantine in a row, up to a bound, and starts again
//! small after a long time without one. What the operator orders (quarantine, drain) has no end
//! but the operator's word.
//!
//! It holds at most [`STRUCK_WORKERS_MAX`] records; at that, those that mean the least go first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::core::moment::Moment;
use crate::limits::STRUCK_WORKERS_MAX;

/// What a worker did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A result that is none, or not what it says.
    Malformed,
    /// A result for a lease that it never had.
    NotGiven,
    /// A second result for a lease.
    Twice,
    /// A result long after its lease was cancelled.
    Late,
    /// A lease that it did not bring to an end, or a connection that broke with leases on it.
    Lost,
    /// A result that is not what trusted workers have, who agree among themselves.
    Contradicted,
    /// A result that is not what another untrusted worker has.
    Disputed,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::NotGiven,
        Self::Twice,
        Self::Late,
        Self::Lost,
        Self::Contradicted,
        Self::Disputed,
    ];

    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotGiven => "not-given",
            Self::Twice => "twice",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::Contradicted => "contradicted",
            Self::Disputed => "disputed",
        }
    }

    /// How much it counts. Three that no honest worker ever does are enough for a quarantine; of
    /// what a bad link or a crash does, ten in a few minutes. Who is contradicted lies, or ran a
    /// program that looks at its processor: six in a few minutes. Who is in a dispute may be the
    /// honest one of the two, so that is counted and held against nobody.
    fn weight(self) -> f64 {
        match self {
            Self::Malformed | Self::NotGiven | Self::Twice => 4.0,
            Self::Contradicted => 2.0,
            Self::Late | Self::Lost => 1.0,
            Self::Disputed => 0.0,
        }
    }
}

/// What the ledger is bound by.
#[derive(Debug, Clone, Copy)]
pub struct StrikeTerms {
    /// The score of a quarantine.
    pub limit: f64,
    /// In this time a score halves.
    pub half_life: Duration,
    /// The first quarantine.
    pub quarantine_min: Duration,
    /// The longest.
    pub quarantine_max: Duration,
    /// So long after the end of a quarantine the next one is shorter again.
    pub forget: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    terms: StrikeTerms,
    records: HashMap<Arc<str>, Record>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    score: f64,
    /// When the score was that.
    as_of: Moment,
    /// The end of the last quarantine.
    until: Option<Moment>,
    /// Quarantines in a row.
    times: u32,
    is_condemned: bool,
    is_drained: bool,
}

/// What is held against a worker now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Regard {
    /// Its score.
    pub strikes: f64,
    /// When the quarantine ends that its strikes brought.
    pub quarantined: Option<Moment>,
    /// Whether the operator put it there.
    pub is_condemned: bool,
    /// Whether the operator wants it empty.
    pub is_drained: bool,
}

impl Ledger {
    /// Nothing against anybody.
    pub fn new(terms: StrikeTerms) -> Self {
        Self { terms, records: HashMap::new() }
    }

    /// Counts a fault. If it is one too many, a quarantine begins: its end is returned.
    pub fn strike(&mut self, name: &Arc<str>, fault: Fault, now: Moment) -> Option<Moment> {
        if fault.weight() <= 0.0 {
            return None;
        }
        let terms = self.terms;
        let record = self.record(name, now)?;
        record.settle(now, &terms);
        record.score += fault.weight();
        let is_inside = record.until.is_some_and(|until| until > now);
        if record.score < terms.limit || is_inside {
            return None;
        }
        let is_old = |until: Moment| now.since(until) >= terms.forget;
        record.times = if record.until.is_none_or(is_old) { 0 } else { record.times };
        let doubled = 2_u32.saturating_pow(record.times.min(MANY));
        let length = terms.quarantine_min.saturating_mul(doubled).min(terms.quarantine_max);
        record.times = record.times.saturating_add(1);
        // What led to it is paid for with it; half stays, as a warning.
        record.score = terms.limit / 2.0;
        let until = now.after(length);
        record.until = Some(until);
        Some(until)
    }

    /// What is held against a worker.
    pub fn regard(&self, name: &str, now: Moment) -> Regard {
        let Some(record) = self.records.get(name) else {
            return Regard::default();
        };
        let mut record = *record;
        record.settle(now, &self.terms);
        Regard {
            strikes: record.score,
            quarantined: record.until.filter(|until| *until > now),
            is_condemned: record.is_condemned,
            is_drained: record.is_drained,
        }
    }

    /// The operator puts a worker into quarantine, or takes it out of any and forgets its
    /// strikes. Tells whether it was written down.
    pub fn condemn(&mut self, name: &Arc<str>, is_condemned: bool, now: Moment) -> bool {
        let Some(record) = self.record(name, now) else {
            return false;
        };
        let is_drained = record.is_drained;
        *record = Record { is_condemned, is_drained, as_of: now, ..Record::default() };
        true
    }

    /// The operator wants a worker empty, or not any more. Tells whether it was written down.
    pub fn drain(&mut self, name: &Arc<str>, is_drained: bool, now: Moment) -> bool {
        let Some(record) = self.record(name, now) else {
            return false;
        };
        record.is_drained = is_drained;
        true
    }

    /// A worker's record; none if there is no room for it, which is only where the operator's
    /// orders and running quarantines take all of it.
    fn record(&mut self, name: &Arc<str>, now: Moment) -> Option<&mut Record> {
        if !self.records.contains_key(name) && self.records.len() >= STRUCK_WORKERS_MAX {
            let terms = self.terms;
            for record in self.records.values_mut() {
                record.settle(now, &terms);
            }
            let least = self
                .records
                .iter()
                .filter(|(_, record)| !record.is_binding(now))
                .min_by(|(_, a), (_, b)| a.score.total_cmp(&b.score))
                .map(|(name, _)| Arc::clone(name))?;
            self.records.remove(&least);
        }
        let fresh = Record { as_of: now, ..Record::default() };
        Some(self.records.entry(Arc::clone(name)).or_insert(fresh))
    }
}

/// So many doublings are beyond any bound.
const MANY: u32 = 16;

impl Record {
    /// Lets the score decay until now.
    fn settle(&mut self, now: Moment, terms: &StrikeTerms) {
        let passed = now.since(self.as_of).as_secs_f64();
        let half_life = terms.half_life.as_secs_f64().max(1.0);
        self.score *= (-passed / half_life).exp2();
        self.as_of = now;
    }

    fn is_binding(&self, now: Moment) -> bool {
        self.is_condemned || self.is_drained || self.until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests;
