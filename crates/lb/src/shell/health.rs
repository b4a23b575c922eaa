//! Whether jobs go through.
//!
//! Ready means that a real job went through a worker a short while ago: a client's, or else a
//! canary that is sent when somebody asks. One canary is under way at a time; everybody who asks
//! meanwhile gets its verdict, and a verdict is remembered for a while, so that asking often
//! costs nothing. Each architecture that the canary's image exists for is told apart; ready is
//! whoever has one that works.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pe_proto::api::{LimitsRequest, Requires, RunConfig};
use pe_proto::archive::Encoder;
use pe_proto::digest::JobDigester;
use pe_proto::{Arch, Outcome};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::app::App;
use super::run::{NotRun, Progress, execute};
use crate::core::ids::ClientKey;
use crate::driver::{JobBody, Order};
use crate::limits::{CANARY_FAILED_FRESH, CANARY_TIME, CANARY_WAITERS_MAX};
use crate::respond::Failure;

/// Whom canaries count for. No client has this key: it is no address.
pub const CANARY_CLIENT: ClientKey = ClientKey(*b"the lb's canary.");

/// The job that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryJob {
    /// Image, as a client would name it.
    pub image: String,
    /// Arguments.
    pub args: Vec<String>,
    /// For how long a job that went through is proof.
    pub fresh: Duration,
}

/// What `GET /readyz` says (`protocol.md 8.5`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether any architecture works.
    pub ready: bool,
    /// By architecture.
    pub archs: BTreeMap<&'static str, ArchReport>,
    /// Whether the cache keeps what is written to it. Jobs go through without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheReport>,
    /// Why nothing was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CacheReport {
    /// Whether an entry that was written just now was read back.
    pub remembers: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Of one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchReport {
    /// Whether a job went through lately.
    pub ready: bool,
    /// How long ago the last one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_job_ms: Option<u64>,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Report {
    /// A report of an overall reason.
    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self { ready: false, archs: BTreeMap::new(), cache: None, reason: Some(reason.into()) }
    }
}

/// The way to the canary's task, and the proof that clients' jobs leave behind.
#[derive(Debug)]
pub struct Readiness {
    ask: mpsc::Sender<oneshot::Sender<Report>>,
    epoch: Instant,
    /// Per architecture: when the last job went through, in milliseconds; 0 is never.
    proof: [AtomicU64; Arch::ALL.len()],
}

/// Questions for the canary's task.
pub type Questions = mpsc::Receiver<oneshot::Sender<Report>>;

impl Readiness {
    /// Nothing is known yet; the questions are for [`watch`].
    pub fn new() -> (Self, Questions) {
        let (ask, questions) = mpsc::channel(CANARY_WAITERS_MAX);
        let proof = [const { AtomicU64::new(0) }; Arch::ALL.len()];
        (Self { ask, epoch: Instant::now(), proof }, questions)
    }

    /// A job went through.
    pub fn prove(&self, arch: Arch) {
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(proof) = self.slot(arch) {
            proof.store(now.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Asks whether jobs go through.
    pub async fn report(&self) -> Report {
        let (reply, report) = oneshot::channel();
        if self.ask.try_send(reply).is_err() {
            return Report::not_ready("too many readiness checks at a time");
        }
        report.await.unwrap_or_else(|_| Report::not_ready("shutting down"))
    }

    /// How long ago the last job went through.
    fn age(&self, arch: Arch) -> Option<Duration> {
        let at = self.slot(arch)?.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.epoch.elapsed().saturating_sub(Duration::from_millis(at)))
    }

    fn slot(&self, arch: Arch) -> Option<&AtomicU64> {
        let index = Arch::ALL.iter().position(|each| *each == arch)?;
        self.proof.get(index)
    }
}

/// The canary's task: answers questions until nobody can ask any more.
pub async fn watch(app: Arc<App>, canary: CanaryJob, mut questions: Questions) {
    let mut failures: BTreeMap<Arch, (Instant, String)> = BTreeMap::new();
    while let Some(reply) = questions.recv().await {
        let archs = archs(&app, &canary);
        let cache = Some(probe(&app).await);
        let mut report = Report { ready: false, archs: BTreeMap::new(), cache, reason: None };
        if archs.is_empty() {
            report.reason = Some(format!("the catalogue has no image `{}`", canary.image));
        }
        for arch in &archs {
            let arch = *arch;
            let of_arch = look(&app, &canary, arch, &mut failures).await;
            report.ready |= of_arch.ready;
            report.archs.insert(arch.as_str(), of_arch);
        }
        // Whoever asked may have given up.
        let _ = reply.send(report);
    }
}

async fn probe(app: &App) -> CacheReport {
    let probed = app.cache.probe().await;
    app.metrics.cache.remembers.set(i64::from(probed.is_ok()));
    let reason = probed.err().map(|forgetful| forgetful.to_string());
    CacheReport { remembers: reason.is_none(), reason }
}

/// The architectures that the canary's image is there for.
fn archs(app: &App, canary: &CanaryJob) -> Vec<Arch> {
    let catalogue = &app.live.now().catalogue;
    let is_there = |arch: &Arch| catalogue.find(&canary.image, Some(*arch)).is_some();
    Arch::ALL.into_iter().filter(is_there).collect()
}

async fn look(
    app: &App,
    canary: &CanaryJob,
    arch: Arch,
    failures: &mut BTreeMap<Arch, (Instant, String)>,
) -> ArchReport {
    let is_proven = |age: Option<Duration>| age.is_some_and(|age| age < canary.fresh);
    let mut age = app.readiness.age(arch);
    if !is_proven(age) {
        let is_remembered =
            failures.get(&arch).is_some_and(|(at, _)| at.elapsed() < CANARY_FAILED_FRESH);
        if !is_remembered {
            match send(app, canary, arch).await {
                Ok(()) => {
                    if failures.remove(&arch).is_some() {
                        info!(%arch, "canary recovered");
                    }
                    app.readiness.prove(arch);
                }
                Err(reason) => {
                    if !failures.contains_key(&arch) {
                        warn!(%arch, reason, "canary failed");
                    }
                    failures.insert(arch, (Instant::now(), reason));
                }
            }
            age = app.readiness.age(arch);
        }
    }
    let ready = is_proven(age);
    let reason = failures.get(&arch).map(|(_, reason)| reason.clone()).filter(|_| !ready);
    let last_job_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    ArchReport { ready, last_job_ms, reason }
}

async fn send(app: &App, canary: &CanaryJob, arch: Arch) -> Result<(), String> {
    let config = RunConfig {
        image: canary.image.clone(),
        entrypoint: None,
        args: Some(canary.args.clone()),
        env: BTreeMap::new(),
        cwd: None,
        outputs: Vec::new(),
        limits: LimitsRequest::default(),
        requires: Requires { arch: Some(arch) },
        cache: pe_proto::api::CachePolicy::Off,
    };
    let spec = app.live.resolve(&config, None).map_err(|bad| bad.to_string())?;
    let archive = Encoder::new().finish();
    let mut digester = JobDigester::new(&spec);
    digester.update(&archive);
    let bytes = archive.len() as u64;
    let body = JobBody { pieces: vec![archive.into()], bytes, room: None };
    let request_id = format!("canary-{}", app.request_ids.next());
    let order = Arc::new(Order::new(request_id, spec, body));
    // Nobody but this looks at it.
    let (progress, _) = watch::channel(Progress::Running);
    let run = execute(app, CANARY_CLIENT, digester.finish(), order, &progress);
    let landing = timeout(CANARY_TIME, run).await;
    let landing = landing.map_err(|_| format!("no answer in {} s", CANARY_TIME.as_secs()))?;
    let told = |not_run: NotRun| Failure::from(not_run).detail().to_owned();
    match landing.map_err(told)?.outcome() {
        Outcome::Exited { code: 0 } => Ok(()),
        outcome @ (Outcome::Exited { .. }
        | Outcome::Signaled { .. }
        | Outcome::TimedOut { .. }
        | Outcome::OutOfMemory
        | Outcome::Refused { .. }
        | Outcome::Lost { .. }) => Err(format!("the canary's outcome is {outcome:?}")),
    }
}
