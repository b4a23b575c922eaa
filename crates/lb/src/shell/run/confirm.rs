//! Second runs. A result of an untrusted worker is kept for others once a worker of another
//! owner, or a trusted one, says the same of the same job.
//!
//! Who says it may be the next run that some client wants, or one that is made for nothing else:
//! in the name of nobody, with a slot that is to spare, given up as soon as a client would have to
//! wait for it ([`crate::core::broker::Spare`]). The worker is not told which of the two it is. Of
//! the first result only a digest is held meanwhile; what is kept is the second one.
//!
//! If a trusted worker says something else, it, or another trusted one, is asked once more. Only
//! if those two agree was the first worker wrong, and is struck; else it is the program that never
//! ends the same way. What two untrusted workers say against each other is held against neither.
//!
//! It is the last part of a flight's task, and ends with the drain, whatever it was doing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pe_proto::Digest;
use pe_proto::api::{CachePolicy, CacheStatus};
use pe_proto::digest::Digester;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use super::execute::{NotRun, execute_spare};
use super::landing::Landing;
use crate::cache::{Age, derive, rules};
use crate::core::admission::memory::Kind;
use crate::core::broker::{Refusal, Spare, Who};
use crate::core::ids::NOBODY;
use crate::core::moment::Moment;
use crate::core::trust::confirm::{ConfirmTerms, Confirmations as Core, Heard, Word};
use crate::core::trust::ledger::Fault;
use crate::driver::{JobBody, Order};
use crate::limits::{CONFIRM_PAUSE, CONFIRM_WAIT};
use crate::metrics::confirm::{ConfirmMetrics, Verdict};
use crate::shell::app::App;
use crate::shell::memory::Room;

/// See the module.
#[derive(Debug)]
pub struct Confirmations {
    /// A leaf lock, held for a look-up.
    core: Mutex<Core>,
    epoch: Instant,
    metrics: ConfirmMetrics,
}

/// A job whose result is in doubt.
pub(super) struct Subject {
    pub(super) digest: Digest,
    /// Of its entry in the cache, when its first run began.
    pub(super) age: Age,
    pub(super) order: Arc<Order>,
}

impl Confirmations {
    /// Nobody said anything; time begins now.
    pub fn new(terms: ConfirmTerms, metrics: ConfirmMetrics) -> Self {
        Self { core: Mutex::new(Core::new(terms)), epoch: Instant::now(), metrics }
    }

    /// From now on this much is confirmed.
    pub fn reload(&self, terms: ConfirmTerms) {
        self.core().reload(terms);
    }

    /// What was said of a job counts no more.
    pub fn purge(&self, job: Digest) {
        self.core().purge(job);
    }

    fn hear(&self, job: Digest, word: Word) -> Heard {
        self.core().hear(job, word, Moment(self.epoch.elapsed()))
    }

    fn ask(&self, job: Digest, bytes: u64) -> Option<Asked<'_>> {
        // A worker that could foresee it would lie when nobody looks. Without chance nobody is asked.
        let chance = getrandom::u32()
            .map_or(u8::MAX, |number| u8::try_from(number % 100).unwrap_or(u8::MAX));
        let asked = {
            let mut core = self.core();
            let asked = core.ask(job, bytes, chance);
            self.observe(&core);
            asked
        };
        asked.inspect_err(|why| self.metrics.not_asked(*why)).ok()?;
        Some(Asked { of: self, job, bytes, is_in_vain: false })
    }

    fn is_open(&self, job: Digest) -> bool {
        self.core().is_open(job)
    }

    fn begin(&self) -> Option<Running<'_>> {
        let may_run = self.core().may_run();
        may_run.then(|| Running(self))
    }

    fn observe(&self, core: &Core) {
        self.metrics.asked.set(i64::try_from(core.asked()).unwrap_or(i64::MAX));
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody is being asked about a job, until it is dropped.
struct Asked<'a> {
    of: &'a Confirmations,
    job: Digest,
    bytes: u64,
    is_in_vain: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut core = self.of.core();
        core.over(self.job, self.bytes, self.is_in_vain);
        self.of.observe(&core);
    }
}

/// One of the runs that there may be at a time, until it is dropped.
struct Running<'a>(&'a Confirmations);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.core().ran();
    }
}

/// Keeps a doubtful result if another worker said the same, or will; see the module.
///
/// # Cancel safety
/// A dropped future gives its run and its places up.
pub(super) async fn confirm(app: &App, subject: Subject, landing: Arc<Landing>) {
    if !app.cache.is_on() {
        return;
    }
    let Some(word) = word(&landing).await else { return };
    match app.confirmations.hear(subject.digest, word.clone()) {
        Heard::First => {
            drop(landing);
            tokio::select! {
                biased;
                // The process ends.
                () = app.drain.cancelled() => {}
                () = ask(app, subject, word) => {}
            }
        }
        Heard::Agrees => keep(app, &subject, &word, &landing).await,
        Heard::Differs(first) => dispute(app, &subject, &first, &word).await,
        Heard::LeftAlone => {}
    }
}

/// Has the job run again for what another worker says.
async fn ask(app: &App, subject: Subject, first: Word) {
    let bytes = subject.order.body.bytes;
    let Some(mut asked) = app.confirmations.ask(subject.digest, bytes) else { return };
    let Some(again) = Again::of(app, subject) else { return };
    // The word of a trusted worker is worth more.
    let trusted = Spare { not: [None, None], who: Who::Trusted };
    let others = Spare { not: [Some(first.owner), None], who: Who::Anybody };
    let is_open = || app.confirmations.is_open(again.subject.digest);
    let (landing, word) = match again.run(app, &[trusted, others], is_open).await {
        Ok(second) => second,
        Err(NoAnswer::Needless) => return,
        Err(NoAnswer::NoSlot) => return app.metrics.confirm.verdict(Verdict::NoSlot),
        Err(NoAnswer::Unfinished) => {
            asked.is_in_vain = true;
            return app.metrics.confirm.verdict(Verdict::Unfinished);
        }
    };
    let subject = &again.subject;
    match app.confirmations.hear(subject.digest, word.clone()) {
        Heard::Agrees => keep(app, subject, &word, &landing).await,
        Heard::Differs(first) if word.is_trusted => {
            drop(landing);
            match again.run(app, &[trusted], || true).await {
                Ok((_, other)) if other.said == word.said => {
                    contradict(app, subject, &first, &word).await;
                }
                Ok(_) | Err(_) => dispute(app, subject, &first, &word).await,
            }
        }
        Heard::Differs(first) => dispute(app, subject, &first, &word).await,
        // It was settled meanwhile, or forgotten.
        Heard::First | Heard::LeftAlone => {}
    }
}

/// Why there is no second word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoAnswer {
    /// It was settled by some client's run.
    Needless,
    /// There was no slot to spare in time.
    NoSlot,
    /// The run came to nothing that would be kept.
    Unfinished,
}

/// A job as it is run again.
struct Again {
    subject: Subject,
    /// Its archive's share of the memory for bodies, which is no client's.
    _room: Room,
}

impl Again {
    /// None if there is no room for it.
    fn of(app: &App, subject: Subject) -> Option<Self> {
        let mut room = app.memory.room(Kind::Request, NOBODY);
        room.grow(usize::try_from(subject.order.body.bytes).ok()?).ok()?;
        let order = Self::order(app, &subject.order);
        Some(Self { subject: Subject { order, ..subject }, _room: room })
    }

    /// The same job, under a name like that of any other.
    fn order(app: &App, order: &Order) -> Arc<Order> {
        let JobBody { pieces, bytes, .. } = &order.body;
        let body = JobBody { pieces: pieces.clone(), bytes: *bytes, room: None };
        Arc::new(Order::new(app.request_ids.next(), order.spec.clone(), body))
    }

    /// Runs it with the first slot to spare that one of these may have, and that nobody takes back.
    async fn run(
        &self,
        app: &App,
        spares: &[Spare],
        is_wanted: impl Fn() -> bool,
    ) -> Result<(Arc<Landing>, Word), NoAnswer> {
        let until = Instant::now() + CONFIRM_WAIT;
        let mut census = app.driver.census();
        loop {
            if !is_wanted() {
                return Err(NoAnswer::Needless);
            }
            let is_to_spare = {
                let census = census.borrow_and_update();
                census.waiting == 0 && census.parked > 1
            };
            if is_to_spare {
                for spare in spares {
                    let Some(_running) = app.confirmations.begin() else { break };
                    if let Some(answer) = self.attempt(app, *spare).await {
                        return answer;
                    }
                }
            }
            let change = async {
                sleep(CONFIRM_PAUSE).await;
                census.changed().await
            };
            match timeout_at(until, change).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(NoAnswer::NoSlot),
            }
        }
    }

    /// None if there is no such slot, or no longer.
    async fn attempt(
        &self,
        app: &App,
        spare: Spare,
    ) -> Option<Result<(Arc<Landing>, Word), NoAnswer>> {
        let order = Self::order(app, &self.subject.order);
        debug!(job = self.subject.digest.hex(), run = order.request_id, "job is run again");
        let landed = execute_spare(app, spare, self.subject.digest, Arc::clone(&order)).await;
        let landing = match landed {
            Ok(landing) => landing,
            Err(NotRun::Refused(Refusal::NoSpare)) => {
                if order.held().is_some() {
                    app.metrics.confirm.displaced.inc();
                }
                return None;
            }
            Err(NotRun::Refused(Refusal::WorkerLost) | NotRun::Crashed) => {
                return Some(Err(NoAnswer::Unfinished));
            }
            // Nothing that is the job's doing.
            Err(NotRun::Refused(_) | NotRun::Busy(_) | NotRun::NoRoom(_) | NotRun::Crowded) => {
                return Some(Err(NoAnswer::NoSlot));
            }
        };
        if rules::check(CachePolicy::Use, landing.outcome()).is_err() {
            return Some(Err(NoAnswer::Unfinished));
        }
        Some(match word(&landing).await {
            Some(word) => Ok((landing, word)),
            None => Err(NoAnswer::Unfinished),
        })
    }
}

/// What a result says of the program's doing: how it ended, what was cut and left out, and all
/// that it wrote. Not what it used, how long it took and where it ran, which are never the same.
async fn word(landing: &Landing) -> Option<Word> {
    let origin = landing.origin()?;
    let meta = landing.meta();
    let head = serde_json::to_vec(&(&meta.outcome, &meta.truncated, &meta.notes)).ok()?;
    let archive = landing.pieces();
    let bytes = usize::try_from(landing.bytes()).unwrap_or(usize::MAX);
    let said = derive::apart(bytes, move || {
        let mut digester = Digester::default();
        // The archive says itself where it begins and ends.
        digester.update(&head);
        archive.iter().for_each(|piece| digester.update(piece));
        Some(digester.finish())
    });
    Some(Word {
        said: said.await?,
        worker: Arc::clone(&origin.name),
        owner: origin.owner_key(),
        is_trusted: origin.is_trusted,
    })
}

async fn keep(app: &App, subject: &Subject, word: &Word, landing: &Landing) {
    let Subject { digest, age, .. } = subject;
    app.metrics.confirm.verdict(Verdict::Agreed);
    let head = landing.head(CacheStatus::Hit);
    match app.cache.publish(*digest, *age, &head, landing.pieces()).await {
        Ok(()) => info!(job = digest.hex(), by = &*word.worker, "result confirmed"),
        Err(why) => app.metrics.cache.not_kept(why),
    }
}

/// Two differ, and nobody can say who is right.
async fn dispute(app: &App, subject: &Subject, first: &Word, second: &Word) {
    app.metrics.confirm.verdict(Verdict::Disputed);
    let (one, other) = (&*first.worker, &*second.worker);
    info!(job = subject.digest.hex(), one, other, "workers differ");
    for word in [first, second] {
        if !word.is_trusted {
            app.driver.strike(Arc::clone(&word.worker), Fault::Disputed).await;
        }
    }
}

/// Trusted workers agree that it is not as the first one said.
async fn contradict(app: &App, subject: &Subject, first: &Word, second: &Word) {
    app.metrics.confirm.verdict(Verdict::Contradicted);
    let (worker, by) = (&*first.worker, &*second.worker);
    warn!(job = subject.digest.hex(), worker, by, "result contradicted");
    app.driver.strike(Arc::clone(&first.worker), Fault::Contradicted).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn as_many_run_at_a_time_as_are_set_however_often_it_is_tried() {
        let terms = ConfirmTerms { percent: 100, runs_max: 2 };
        let confirmations = Confirmations::new(terms, Metrics::new().unwrap().confirm);
        let first = confirmations.begin();
        let second = confirmations.begin();
        assert!(first.is_some() && second.is_some());
        for _ in 0..3 {
            assert!(confirmations.begin().is_none());
        }
        drop(first);
        let third = confirmations.begin();
        assert!(third.is_some() && confirmations.begin().is_none());
    }
}
