//! What the worker counts. Registered once, passed by clone; labels come from closed enums only.

use std::time::Duration;

use pe_proto::Outcome;
use pe_proto::outcome::WorkerPhases;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::core::ending::Ending;
use crate::core::pool::{How, Slot};

mod listener;
mod strays;

pub use listener::{MetricsError, serve};
pub use strays::unexpected_vmms;

/// From a millisecond to a minute, finer where it matters.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// All counters, gauges and histograms of a worker.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    slots: IntGaugeVec,
    starts: HistogramVec,
    start_failures: IntCounterVec,
    ready_deaths: IntCounter,
    phases: HistogramVec,
    outcomes: IntCounterVec,
    endings: IntCounterVec,
    clock_kills: IntCounter,
    cancelled: IntCounter,
    refused_results: IntCounter,
    results_lost: IntCounter,
    link_up: IntGauge,
    link_losses: IntCounter,
    job_bytes: IntCounterVec,
    unexpected_vmms: IntGauge,
    result_bytes: Histogram,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Two metrics of one name: a defect.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("pe_worker".to_owned()), None)?;
        let add = Adder(&registry);
        Ok(Self {
            slots: add.gauges("slots", "slots by state", &["state"])?,
            starts: add.histograms("vm_start_seconds", "from start to ready", &["how"])?,
            start_failures: add.counters("vm_start_failures_total", "vms not ready", &["how"])?,
            ready_deaths: add.counter("ready_vm_deaths_total", "ready vms that died")?,
            phases: add.histograms("job_phase_seconds", "time of a job's phases", &["phase"])?,
            outcomes: add.counters("jobs_total", "jobs by outcome", &["outcome"])?,
            endings: add.counters("job_endings_total", "why the wait ended", &["ending"])?,
            clock_kills: add.counter("clock_kills_total", "vms killed by the worker's clock")?,
            cancelled: add.counter("jobs_cancelled_total", "leases reset by the lb")?,
            refused_results: add.counter("results_refused_total", "results the lb dropped")?,
            results_lost: add.counter("results_lost_total", "results that could not be sent")?,
            link_up: add.gauge("link_up", "1 while a session with the lb is open")?,
            link_losses: add.counter("link_losses_total", "sessions that broke")?,
            job_bytes: add.counters("io_bytes_total", "archive bytes", &["direction"])?,
            unexpected_vmms: add
                .gauge("unexpected_vmm_processes", "children that are no vm of the pool")?,
            result_bytes: add.bytes("result_bytes", "size of result archives")?,
            registry,
        })
    }

    /// The text a scraper reads.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// How many slots are in a state.
    pub fn slots(&self, state: Slot, count: u32) {
        self.slots.with_label_values(&[state.as_str()]).set(i64::from(count));
    }

    /// A VM became ready.
    pub fn vm_started(&self, how: How, took: Duration) {
        self.starts.with_label_values(&[how_name(how)]).observe(took.as_secs_f64());
    }

    /// A VM did not become ready.
    pub fn vm_start_failed(&self, how: How) {
        self.start_failures.with_label_values(&[how_name(how)]).inc();
    }

    /// A VM died while nobody used it.
    pub fn ready_vm_died(&self) {
        self.ready_deaths.inc();
    }

    /// A job ended.
    pub fn job(&self, outcome: &Outcome, ending: Option<&Ending>, phases: &WorkerPhases) {
        self.outcomes.with_label_values(&[outcome.kind()]).inc();
        if let Some(ending) = ending {
            self.endings.with_label_values(&[ending.as_str()]).inc();
            if matches!(ending, Ending::Clock) {
                self.clock_kills.inc();
            }
        }
        let rows = [
            ("transfer", phases.transfer_us),
            ("attach", phases.attach_us),
            ("guest", phases.guest_us),
            ("stop", phases.stop_us),
            ("collect", phases.parse_us),
        ];
        for (name, us) in rows {
            let seconds = Duration::from_micros(us).as_secs_f64();
            self.phases.with_label_values(&[name]).observe(seconds);
        }
    }

    /// Archive bytes of a job came.
    pub fn bytes_in(&self, bytes: u64) {
        self.job_bytes.with_label_values(&["in"]).inc_by(bytes);
    }

    /// A result of this size is to be sent.
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    pub fn bytes_out(&self, bytes: u64) {
        self.job_bytes.with_label_values(&["out"]).inc_by(bytes);
        self.result_bytes.observe(bytes as f64);
    }

    /// The LB reset a lease.
    pub fn job_cancelled(&self) {
        self.cancelled.inc();
    }

    /// The LB did not want a result.
    pub fn result_refused(&self) {
        self.refused_results.inc();
    }

    /// A result could not be sent.
    pub fn result_lost(&self) {
        self.results_lost.inc();
    }

    /// A session is open, or not.
    pub fn link(&self, up: bool) {
        self.link_up.set(i64::from(up));
    }

    /// A session broke.
    pub fn link_lost(&self) {
        self.link_losses.inc();
    }

    /// Children of the worker that it does not know of.
    pub fn set_unexpected_vmms(&self, count: usize) {
        self.unexpected_vmms.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn how_name(how: How) -> &'static str {
    match how {
        How::Restore => "restore",
        How::Boot => "boot",
    }
}

struct Adder<'a>(&'a Registry);

impl Adder<'_> {
    fn add<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let collector = collector?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, by: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), by))
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, by: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), by))
    }

    fn histograms(&self, name: &str, help: &str, by: &[&str]) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.add(HistogramVec::new(opts, by))
    }

    fn bytes(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let buckets = prometheus::exponential_buckets(1024.0, 8.0, 6)?;
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
    }
}
