//! Which results of untrusted workers another worker confirmed: who said what of which job, and
//! whether somebody else is to be asked.
//!
//! What a result says is known by its digest, so that remembering it costs next to nothing. Of a
//! job the first word is remembered, whoever's run it was; the next word settles it:
//!
//! ```text
//!           a word                    the same, by another owner or a trusted worker
//!  (none) ──────────► one word ─────────────────────────────────────► (none): it may be kept
//!     ▲                │   ▲
//!     │ in time        │   │ a word, unless it was in vain too often
//!     │                ▼   │
//!     └────────────── in vain: the next word differed, or who was asked had nothing to say
//! ```
//!
//! Nothing is believed because it was said twice by one owner. A program that never ends the same
//! way twice is never confirmed; after [`CONFIRM_VAIN_MAX`] times in vain its job is left alone
//! until that is forgotten.
//!
//! It runs nothing and keeps no result. It holds at most [`CONFIRM_CASES_MAX`] jobs, of which the
//! oldest goes first, and counts who is being asked against [`CONFIRM_ASKED_MAX`] and
//! [`CONFIRM_BYTES_MAX`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pe_proto::Digest;

use crate::core::ids::OwnerKey;
use crate::core::moment::Moment;
use crate::limits::{
    CONFIRM_ASKED_MAX, CONFIRM_BYTES_MAX, CONFIRM_CASES_MAX, CONFIRM_FORGET, CONFIRM_VAIN_MAX,
};

/// How much is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmTerms {
    /// Of a hundred results that could be confirmed, for how many somebody else is asked.
    pub percent: u8,
    /// Runs for it at a time.
    pub runs_max: usize,
}

/// What a worker said of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Digest of all that its result says of the program's doing.
    pub said: Digest,
    /// Who said it.
    pub worker: Arc<str>,
    /// Whose worker that is.
    pub owner: OwnerKey,
    /// Whether its word counts without another's.
    pub is_trusted: bool,
}

/// What a word means beside those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nobody else said anything yet.
    First,
    /// Another said the same: it may be kept.
    Agrees,
    /// This was said before, and is not the same: neither is believed.
    Differs(Word),
    /// It was in vain too often.
    LeftAlone,
}

/// Why nobody else is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAsked {
    /// It is not one of those that are.
    Sampled,
    /// Somebody is being asked, or nothing is left to be confirmed.
    Needless,
    /// Too many are being asked, or with too large jobs.
    Crowded,
}

impl NotAsked {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sampled, Self::Needless, Self::Crowded];

    /// Label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sampled => "sampled",
            Self::Needless => "needless",
            Self::Crowded => "crowded",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Confirmations {
    terms: ConfirmTerms,
    cases: HashMap<Digest, Case>,
    /// Jobs by the order in which they came.
    by_age: BTreeMap<u64, Digest>,
    next: u64,
    asked: usize,
    asked_bytes: u64,
    runs: usize,
}

#[derive(Debug)]
struct Case {
    number: u64,
    since: Moment,
    word: Option<Word>,
    in_vain: u8,
    is_asked: bool,
}

impl Confirmations {
    /// Nobody said anything yet.
    pub fn new(terms: ConfirmTerms) -> Self {
        let (cases, by_age) = (HashMap::new(), BTreeMap::new());
        Self { terms, cases, by_age, next: 0, asked: 0, asked_bytes: 0, runs: 0 }
    }

    /// From now on this much is confirmed.
    pub fn reload(&mut self, terms: ConfirmTerms) {
        self.terms = terms;
    }

    /// A worker said something of a job that is worth keeping.
    pub fn hear(&mut self, job: Digest, word: Word, now: Moment) -> Heard {
        self.forget_if_old(job, now);
        if word.is_trusted && !self.cases.contains_key(&job) {
            // There is nothing to confirm.
            return Heard::First;
        }
        let case = self.case(job, now);
        if case.in_vain >= CONFIRM_VAIN_MAX {
            return Heard::LeftAlone;
        }
        let Some(first) = case.word.take() else {
            case.word = Some(word).filter(|word| !word.is_trusted);
            return Heard::First;
        };
        if first.said != word.said {
            case.in_vain += 1;
            return Heard::Differs(first);
        }
        if first.owner == word.owner && !word.is_trusted {
            case.word = Some(first);
            return Heard::First;
        }
        self.remove(job);
        Heard::Agrees
    }

    /// Whether somebody else is to be asked about a job of so many bytes. `chance` is any number
    /// below 100 that nobody can foresee. Until [`Confirmations::over`], who is asked counts.
    ///
    /// # Errors
    /// Nobody is.
    pub fn ask(&mut self, job: Digest, bytes: u64, chance: u8) -> Result<(), NotAsked> {
        if chance >= self.terms.percent {
            return Err(NotAsked::Sampled);
        }
        let open = |case: &&mut Case| case.word.is_some() && !case.is_asked;
        let Some(case) = self.cases.get_mut(&job).filter(open) else {
            return Err(NotAsked::Needless);
        };
        let bytes = self.asked_bytes.saturating_add(bytes);
        if self.asked >= CONFIRM_ASKED_MAX || bytes > CONFIRM_BYTES_MAX {
            return Err(NotAsked::Crowded);
        }
        case.is_asked = true;
        self.asked += 1;
        self.asked_bytes = bytes;
        Ok(())
    }

    /// Who was asked is asked no more; to be called once for each time that somebody was.
    pub fn over(&mut self, job: Digest, bytes: u64, is_in_vain: bool) {
        self.asked = self.asked.saturating_sub(1);
        self.asked_bytes = self.asked_bytes.saturating_sub(bytes);
        if let Some(case) = self.cases.get_mut(&job) {
            case.is_asked = false;
            case.in_vain = case.in_vain.saturating_add(is_in_vain.into());
        }
    }

    /// Whether there is still something to confirm.
    pub fn is_open(&self, job: Digest) -> bool {
        self.cases.get(&job).is_some_and(|case| case.word.is_some())
    }

    /// Whether one more may be run; if so, it counts until [`Confirmations::ran`].
    pub fn may_run(&mut self) -> bool {
        let may_run = self.runs < self.terms.runs_max;
        self.runs += usize::from(may_run);
        may_run
    }

    /// A run is over.
    pub fn ran(&mut self) {
        self.runs = self.runs.saturating_sub(1);
    }

    /// What was said of a job counts no more; how often it was in vain does.
    pub fn purge(&mut self, job: Digest) {
        if let Some(case) = self.cases.get_mut(&job) {
            case.word = None;
        }
    }

    /// How many are being asked.
    pub fn asked(&self) -> usize {
        self.asked
    }

    fn case(&mut self, job: Digest, now: Moment) -> &mut Case {
        if !self.cases.contains_key(&job) && self.cases.len() >= CONFIRM_CASES_MAX {
            // Those being asked about are few.
            let is_idle = |job: &&Digest| self.cases.get(job).is_some_and(|case| !case.is_asked);
            if let Some(oldest) = self.by_age.values().find(is_idle).copied() {
                self.remove(oldest);
            }
        }
        self.cases.entry(job).or_insert_with(|| {
            self.next += 1;
            self.by_age.insert(self.next, job);
            Case { number: self.next, since: now, word: None, in_vain: 0, is_asked: false }
        })
    }

    fn forget_if_old(&mut self, job: Digest, now: Moment) {
        let is_old = |case: &Case| !case.is_asked && now.since(case.since) >= CONFIRM_FORGET;
        if self.cases.get(&job).is_some_and(is_old) {
            self.remove(job);
        }
    }

    fn remove(&mut self, job: Digest) {
        if let Some(case) = self.cases.remove(&job) {
            self.by_age.remove(&case.number);
        }
    }
}

#[cfg(test)]
mod tests;
