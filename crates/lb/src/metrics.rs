//! What is counted. One struct, registered when it is made, passed by clone. Labels come only
//! from closed enums, so the number of series is fixed.

mod admission;
pub mod cache;
pub mod confirm;
pub mod edge;
mod fleet;
mod memory;
mod ops;
mod packs;
pub mod trust;

use std::time::Duration;

use pe_proto::api::ProblemKind;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::core::broker::Census;
use crate::driver::WorkerRow;
use crate::respond::LinkRefusal;
use cache::{CacheMetrics, ShareMetrics};

pub use admission::AdmissionMetrics;
pub use memory::MemoryMetrics;
pub use ops::OpsMetrics;
pub use packs::{PackMetrics, Part};

/// All metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    /// Results answered from memory with 200, which is one of [`Metrics::request`]'s.
    pub results_answered: IntCounter,
    jobs: IntCounterVec,
    /// The cache, and flights.
    pub cache: CacheMetrics,
    /// Shares.
    pub shares: ShareMetrics,
    refusals: IntCounterVec,
    link_refusals: IntCounterVec,
    /// In the order of [`Phase::ALL`].
    phases: [Histogram; Phase::ALL.len()],
    /// From a job's wish for a lease to having it.
    pub match_wait: Histogram,
    /// Leases whose stream ended on the worker's side before a result.
    pub leases_lost: IntCounter,
    /// Leases that were reset as nobody waited for the result.
    pub leases_cancelled: IntCounter,
    /// Leases ended by our clock.
    pub leases_overdue: IntCounter,
    /// Results that were not what they said to be.
    pub results_bad: IntCounter,
    /// Results that broke off, or were bad, and for which the job was leased again.
    pub results_retried: IntCounter,
    /// Bytes of jobs taken from clients.
    pub job_bytes: IntCounter,
    /// Bytes of results taken from workers.
    pub result_bytes: IntCounter,
    /// Connections of clients.
    pub edge: edge::Edge,
    worker_connections: IntGauge,
    queue_depth: IntGauge,
    leased: IntGauge,
    jobs_now: IntGauge,
    parked: IntGauge,
    workers: IntGauge,
    /// Admission.
    pub admission: AdmissionMetrics,
    /// Memory for bodies.
    pub memory: MemoryMetrics,
    /// Of doubtful results.
    pub confirm: confirm::ConfirmMetrics,
    /// Of trust in workers.
    pub trust: trust::TrustMetrics,
    /// Of packs that workers fetch.
    pub packs: PackMetrics,
    /// What operators want to know beside.
    pub ops: OpsMetrics,
}

/// Paths, as far as metrics tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /api/v1/run`.
    Run,
    /// `GET /api/v1/results/{digest}`.
    Results,
    /// `GET /api/v1/progress/{digest}`.
    Progress,
    /// `GET /api/v1/images`.
    Images,
    /// `/api/v1/shares` and what is below.
    Shares,
    /// The page and what belongs to it.
    Page,
    /// Health and readiness.
    Health,
    /// Anything else.
    Other,
}

impl Route {
    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Results => "results",
            Self::Progress => "progress",
            Self::Images => "images",
            Self::Shares => "shares",
            Self::Page => "page",
            Self::Health => "health",
            Self::Other => "other",
        }
    }
}

/// Parts of a job's time, as in `Server-Timing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// See [`pe_proto::api::Phases`]; and so on.
    Queue,
    /// Transfer.
    Transfer,
    /// Attach.
    Attach,
    /// Mount.
    Mount,
    /// Unpack.
    Unpack,
    /// Start.
    Start,
    /// Run.
    Run,
    /// Collect.
    Collect,
    /// Stop.
    Stop,
    /// All of it.
    Total,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Queue,
        Self::Transfer,
        Self::Attach,
        Self::Mount,
        Self::Unpack,
        Self::Start,
        Self::Run,
        Self::Collect,
        Self::Stop,
        Self::Total,
    ];

    /// Label, and name in `Server-Timing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Transfer => "transfer",
            Self::Attach => "attach",
            Self::Mount => "mount",
            Self::Unpack => "unpack",
            Self::Start => "start",
            Self::Run => "run",
            Self::Collect => "collect",
            Self::Stop => "stop",
            Self::Total => "total",
        }
    }
}

/// Seconds; from a match on the spot to the longest waits there are.
const BUCKETS: [f64; 16] = [
    0.000_05, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 30.0,
];

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Two metrics of one name: a defect that any test finds.
    pub fn new() -> prometheus::Result<Self> {
        let build = Builder(Registry::new());
        let requests = build.counters("requests", "Requests answered.", &["route", "status"])?;
        let phases = build.histograms("phase_seconds", "Time of answered jobs.", &["phase"])?;
        let metrics = Self {
            results_answered: requests.with_label_values(&[Route::Results.as_str(), "200"]),
            requests,
            jobs: build.counters("jobs", "Jobs answered.", &["outcome"])?,
            cache: CacheMetrics::new(&build)?,
            shares: ShareMetrics::new(&build)?,
            refusals: build.counters("refusals", "Problems answered.", &["kind"])?,
            link_refusals: build.counters(
                "link_refusals",
                "Worker requests refused.",
                &["kind"],
            )?,
            phases: Phase::ALL.map(|phase| phases.with_label_values(&[phase.as_str()])),
            match_wait: build.histogram("match_wait_seconds", "Wait of a job for its lease.")?,
            leases_lost: build.counter("leases_lost", "Leases ended by the worker's side.")?,
            leases_cancelled: build.counter("leases_cancelled", "Leases reset by us.")?,
            leases_overdue: build.counter("leases_overdue", "Leases ended by our clock.")?,
            results_bad: build.counter("results_bad", "Results that were no result.")?,
            results_retried: build.counter("results_retried", "Results lost, job leased again.")?,
            job_bytes: build.counter("job_bytes", "Bytes of request bodies of jobs.")?,
            result_bytes: build.counter("result_bytes", "Bytes of result archives.")?,
            edge: edge::Edge::new(&build)?,
            worker_connections: build.gauge("worker_connections", "Worker connections.")?,
            queue_depth: build.gauge("queue_depth", "Jobs that wait for a lease.")?,
            leased: build.gauge("leases", "Jobs that are leased.")?,
            jobs_now: build.gauge("jobs_in_flight", "Jobs, from queue to end of answer.")?,
            parked: build.gauge("slots_parked", "Slots that wait for a job.")?,
            workers: build.gauge("workers", "Workers.")?,
            confirm: confirm::ConfirmMetrics::new(&build)?,
            trust: trust::TrustMetrics::new(&build)?,
            packs: PackMetrics::new(&build)?,
            ops: OpsMetrics::new(&build)?,
            admission: AdmissionMetrics::new(&build)?,
            memory: MemoryMetrics::new(&build)?,
            registry: build.0,
        };
        metrics.show_all();
        Ok(metrics)
    }

    /// Every series of a closed set is there from the start: a rate of zero is a fact, not a gap.
    fn show_all(&self) {
        for kind in ProblemKind::ALL {
            self.refusals.with_label_values(&[kind.as_str()]);
        }
        for kind in LinkRefusal::ALL {
            self.link_refusals.with_label_values(&[kind.as_str()]);
        }
        for outcome in ["exited", "signaled", "timed_out", "out_of_memory", "refused", "lost"] {
            self.jobs.with_label_values(&[outcome]);
        }
    }

    /// A request was answered.
    pub fn request(&self, route: Route, status: http::StatusCode) {
        self.requests.with_label_values(&[route.as_str(), status.as_str()]).inc();
    }

    /// A job was answered with an outcome.
    pub fn job(&self, outcome: &pe_proto::Outcome) {
        self.jobs.with_label_values(&[outcome.kind()]).inc();
    }

    /// A request was answered with a problem.
    pub fn refusal(&self, kind: ProblemKind) {
        self.refusals.with_label_values(&[kind.as_str()]).inc();
    }

    /// A worker's request was refused.
    pub fn link_refusal(&self, kind: LinkRefusal) {
        self.link_refusals.with_label_values(&[kind.as_str()]).inc();
    }

    /// A job took this long for a part.
    pub fn phase(&self, phase: Phase, micros: u64) {
        let time = Duration::from_micros(micros).as_secs_f64();
        if let Some(histogram) = self.phases.get(phase as usize) {
            histogram.observe(time);
        }
    }

    /// A worker's connection, until what this returns is dropped.
    pub fn worker_connection(&self) -> Counted {
        Counted::new(&self.worker_connections)
    }

    /// The broker's counts.
    pub fn observe_census(&self, census: &Census) {
        let set =
            |gauge: &IntGauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.queue_depth, census.waiting);
        set(&self.leased, census.leased);
        set(&self.jobs_now, census.jobs);
        set(&self.parked, census.parked);
        set(&self.workers, census.workers);
        set(&self.trust.quarantined, census.quarantined);
    }

    /// All of it in Prometheus' text format, and how each of these workers is.
    ///
    /// # Errors
    /// A metric that cannot be written: a defect.
    pub fn text(&self, workers: &[WorkerRow]) -> prometheus::Result<String> {
        let mut families = self.registry.gather();
        families.extend(fleet::families(workers)?);
        TextEncoder::new().encode_to_string(&families)
    }
}

/// One more of something, until it is dropped.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Builder(Registry);

impl Builder {
    fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: C,
    ) -> prometheus::Result<C> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("pe_lb_{name}"), help)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::with_opts(Self::opts(&format!("{name}_total"), help))?)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Self::opts(&format!("{name}_total"), help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::with_opts(Self::opts(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Self::opts(name, help), labels)?)
    }

    fn float_gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.register(Gauge::with_opts(Self::opts(name, help))?)
    }

    fn float_gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<GaugeVec> {
        self.register(GaugeVec::new(Self::opts(name, help), labels)?)
    }

    /// Always 1: what is told is the label.
    fn constant(
        &self,
        name: &str,
        help: &str,
        label: &str,
        value: &str,
    ) -> prometheus::Result<IntGauge> {
        let opts = Self::opts(name, help).const_label(label, value);
        let gauge = self.register(IntGauge::with_opts(opts)?)?;
        gauge.set(1);
        Ok(gauge)
    }

    fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(BUCKETS.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(BUCKETS.to_vec());
        self.register(HistogramVec::new(opts, labels)?)
    }
}

#[cfg(test)]
mod tests;
