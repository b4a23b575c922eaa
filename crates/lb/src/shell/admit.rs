//! Admission for requests (`protocol.md 8.7`): the core's answers with a clock, a lock and
//! headers.
//!
//! The lock is taken to ask and never held on. A [`Ticket`] is a job's right to run: it is
//! settled with what the job used. If it is dropped, what was set aside for it stays spent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use pe_proto::api::ProblemKind;
use pe_proto::{JobSpec, Outcome, ResultMeta};
use tokio::time::Instant;
use tracing::info;

use crate::config::Config;
use crate::core::admission::bans::{BanRow, NotBanned};
use crate::core::admission::{Admission, Caller, Denied, Policy, Reservation};
use crate::core::broker::Claim;
use crate::core::client::Client;
use crate::core::moment::Moment;
use crate::limits::DEADLINE_MAX;
use crate::metrics::AdmissionMetrics;
use crate::respond::Failure;

/// By when a client wants its answer, in milliseconds from its request.
pub const DEADLINE: &str = "pe-deadline-ms";

/// See the module.
#[derive(Debug)]
pub struct Admit {
    admission: Mutex<Admission>,
    epoch: Instant,
    metrics: AdmissionMetrics,
}

/// A job's right to run, and what was set aside for it.
#[derive(Debug)]
pub struct Ticket {
    admit: Arc<Admit>,
    reservation: Option<Reservation>,
    claim: Claim,
    wall: Duration,
}

impl Admit {
    /// Nobody has used anything; time begins now.
    pub fn new(policy: Policy, metrics: AdmissionMetrics) -> Self {
        Self { admission: Mutex::new(Admission::new(policy)), epoch: Instant::now(), metrics }
    }

    /// Whether somebody is let in at all; asked before anything is read.
    ///
    /// # Errors
    /// It is banned, shows a key that is unknown, or asks too often.
    pub fn arrive(&self, client: &Client, headers: &HeaderMap) -> Result<Caller, Failure> {
        let key = bearer(headers)?;
        let arrived = self.lock().arrive(client, key, self.now());
        arrived.map_err(|denied| self.denied(denied))
    }

    /// Whether a job may be run, which is not known already.
    ///
    /// # Errors
    /// Something of the caller's is used up.
    pub fn admit(
        self: &Arc<Self>,
        caller: &Caller,
        spec: &JobSpec,
        headers: &HeaderMap,
    ) -> Result<Ticket, Failure> {
        let now = self.now();
        let deadline =
            deadline(headers)?.map(|given| given.saturating_sub(now.since(caller.arrived)));
        let wall = Duration::from_millis(spec.limits.wall_ms);
        let reserved = {
            let mut admission = self.lock();
            let reserved = admission.admit(caller, spec.image, wall, now);
            self.metrics.remembered(admission.remembered());
            reserved
        };
        let reservation = reserved.map_err(|denied| self.denied(denied))?;
        let claim = Claim {
            client: caller.key,
            priority: caller.class.priority,
            queued_max: caller.class.queued_max,
            deadline,
        };
        Ok(Ticket { admit: Arc::clone(self), reservation: Some(reservation), claim, wall })
    }

    /// Whether a state may be kept for others, which is not kept already.
    ///
    /// # Errors
    /// The caller has kept too many.
    pub fn share(&self, caller: &Caller, bytes: usize) -> Result<(), Failure> {
        let shared = self.lock().share(caller, bytes, self.now());
        shared.map_err(|denied| self.denied(denied))
    }

    /// Bans an address, a network or the holder of a key.
    ///
    /// # Errors
    /// Nobody was banned.
    pub fn ban(&self, target: &str, time: Duration, reason: &str) -> Result<(), NotBanned> {
        self.lock().bans().ban(target, time, reason, self.now())?;
        info!(target, seconds = time.as_secs(), reason, "banned");
        Ok(())
    }

    /// Lifts a ban; says whether there was one.
    pub fn unban(&self, target: &str) -> bool {
        let is_lifted = self.lock().bans().unban(target);
        if is_lifted {
            info!(target, "ban lifted");
        }
        is_lifted
    }

    /// All bans that hold.
    pub fn bans(&self) -> Vec<BanRow> {
        self.lock().bans().list(self.now())
    }

    /// From now on other limits and keys hold.
    pub fn reload(&self, config: &Config) {
        self.lock().reload(config.admission.clone());
    }

    fn denied(&self, denied: Denied) -> Failure {
        self.metrics.denied(denied);
        denied.into()
    }

    fn settle(&self, reservation: Reservation, used: Duration) {
        self.metrics.charged(used);
        self.lock().settle(reservation, used, self.now());
    }

    fn now(&self) -> Moment {
        Moment(self.epoch.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Whose the job is, and how it may wait.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// The job ended so.
    pub fn settle(mut self, meta: &ResultMeta) {
        let used = match meta.outcome {
            // Nobody can say what it used; it had all this time.
            Outcome::TimedOut { .. } if meta.usage.wall_us == 0 => self.wall,
            Outcome::Exited { .. }
            | Outcome::Signaled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::OutOfMemory
            | Outcome::Refused { .. }
            | Outcome::Lost { .. } => {
                Duration::from_micros(meta.usage.user_us.saturating_add(meta.usage.system_us))
            }
        };
        // A VM has one core: whatever a worker says, no job used more than its time.
        if let Some(reservation) = self.reservation.take() {
            self.admit.settle(reservation, used.min(self.wall));
        }
    }

    /// Nobody waits for the job any more, and a worker had it for this long: what it used is not
    /// known, so it is charged as if it had used all of that.
    pub fn abandon(mut self, held: Duration) {
        if let Some(reservation) = self.reservation.take() {
            self.admit.settle(reservation, held.min(self.wall));
        }
    }

    /// The job was never run.
    pub fn refund(mut self) {
        if let Some(reservation) = self.reservation.take() {
            self.admit.lock().refund(reservation, self.admit.now());
        }
    }
}

/// The API key that a request shows. Other schemes are between a client and its front.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Failure> {
    let mut found = None;
    for value in headers.get_all(AUTHORIZATION) {
        let Some((scheme, key)) = value.as_bytes().split_at_checked(7) else {
            continue;
        };
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            continue;
        }
        if found.replace(key.trim_ascii()).is_some() {
            return Err(Failure::new(ProblemKind::BadRequest, "two keys are shown; show one"));
        }
    }
    Ok(found)
}

/// By when a client wants its answer.
///
/// # Errors
/// What the header says is no such time.
pub fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let mut values = headers.get_all(DEADLINE).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let most = u64::try_from(DEADLINE_MAX.as_millis()).unwrap_or(u64::MAX);
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let given = digits.and_then(|text| text.parse::<u64>().ok());
    match given.filter(|given| (1..=most).contains(given) && values.next().is_none()) {
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => {
            let detail = format!("header {DEADLINE}: expected one whole number from 1 to {most}");
            Err(Failure::new(ProblemKind::BadRequest, detail))
        }
    }
}

#[cfg(test)]
mod tests;
