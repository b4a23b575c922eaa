//! What the worker counts (`docs/metrics.md`). Registered once, passed by clone; labels come from
//! closed enums only, and each of their series is there from the start, so that an alarm on one
//! that never moved is no alarm on one that is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pe_proto::Outcome;
use pe_proto::outcome::{Clock, WorkerPhases};
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use crate::core::ending::Ending;
use crate::core::pool::{How, Slot, Subject};

mod labels;
mod listener;
mod register;
mod strays;

pub use labels::{Built, Direction, FetchEnd, Killer, LinkState, PackState, Refusal, Trial};
pub use listener::{MetricsError, serve};
pub use strays::unexpected_vmms;

use register::Adder;

/// All counters, gauges and histograms of a worker.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    slots: IntGaugeVec,
    /// VMs that the pool holds; what is alive beyond them is unexpected.
    held: Arc<AtomicU32>,
    unexpected_vmms: IntGauge,
    starts: HistogramVec,
    start_failures: IntCounterVec,
    ready_deaths: IntCounter,
    zygote_builds: IntCounterVec,
    trials: IntCounterVec,
    quarantined: IntGauge,
    packs: IntGaugeVec,
    transfer: Histogram,
    attach: Histogram,
    run: Histogram,
    stop: Histogram,
    collect: Histogram,
    job: Histogram,
    outcomes: IntCounterVec,
    endings: IntCounterVec,
    kills: IntCounterVec,
    refusals: IntCounterVec,
    io_bytes: IntCounterVec,
    result_bytes: Histogram,
    results_refused: IntCounter,
    results_lost: IntCounter,
    link_state: IntGaugeVec,
    link_losses: IntCounter,
    memory_budget: IntGauge,
    memory_used: IntGauge,
    fetches: IntCounterVec,
    fetched_bytes: IntCounter,
    fetch_resumed_bytes: IntCounter,
    fetch_copied_bytes: IntCounter,
    evictions: IntCounter,
    disk_budget: IntGauge,
    disk_used: IntGauge,
}

/// How a job went, for its counters.
#[derive(Debug, Clone, Copy)]
pub struct JobSeen<'a> {
    /// How it ended.
    pub outcome: &'a Outcome,
    /// Why the wait for its guest ended, if there was one.
    pub ending: Option<&'a Ending>,
    /// Where its time went.
    pub phases: &'a WorkerPhases,
    /// From its lease to its result.
    pub took: Duration,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Two metrics of one name: a defect.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("pe_worker".to_owned()), None)?;
        let add = Adder(&registry);
        let how = How::ALL.map(How::as_str);
        Ok(Self {
            slots: add.gauges("slots", "Slots by state.", "state", &Slot::ALL.map(Slot::as_str))?,
            held: Arc::default(),
            unexpected_vmms: add.gauge(
                "unexpected_vmm_processes",
                "Processes that no VM of the pool accounts for.",
            )?,
            starts: add.seconds_by("vm_start_seconds", "From start to ready.", "how", &how)?,
            start_failures: add.counters(
                "vm_start_failures_total",
                "VMs that did not become ready.",
                "how",
                &how,
            )?,
            ready_deaths: add
                .counter("ready_vm_deaths_total", "VMs that died before their job.")?,
            zygote_builds: add.counters(
                "zygote_builds_total",
                "Zygotes built anew.",
                "result",
                &Built::names(),
            )?,
            trials: add.counters("trials_total", "Jobs of our own.", "result", &Trial::names())?,
            quarantined: add.gauge("quarantined_images", "Images that are not offered.")?,
            packs: add.gauges(
                "packs",
                "Packs by what is known of them.",
                "state",
                &PackState::names(),
            )?,
            transfer: add.seconds("transfer_seconds", "From a lease to its job being whole.")?,
            attach: add.seconds("attach_seconds", "From a whole job to its guest being woken.")?,
            run: add
                .seconds("run_seconds", "From waking a guest to the end of the wait for it.")?,
            stop: add.seconds("stop_seconds", "From killing a VM to its being reaped.")?,
            collect: add.seconds("collect_seconds", "Checking what a dead VM left.")?,
            job: add.seconds("job_seconds", "From a lease to its result.")?,
            outcomes: add.counters(
                "jobs_total",
                "Jobs by outcome.",
                "outcome",
                &labels::OUTCOMES,
            )?,
            endings: add.counters(
                "job_endings_total",
                "Why waits ended.",
                "ending",
                &Ending::NAMES,
            )?,
            kills: add.counters(
                "kills_total",
                "Jobs that did not end by themselves.",
                "clock",
                &Killer::names(),
            )?,
            refusals: add.counters(
                "refusals_total",
                "Jobs refused here.",
                "reason",
                &Refusal::names(),
            )?,
            io_bytes: add.counters(
                "io_bytes_total",
                "Archive bytes.",
                "direction",
                &Direction::names(),
            )?,
            result_bytes: add.bytes("result_bytes", "Size of result archives.")?,
            results_refused: add.counter("results_refused_total", "Results the LB dropped.")?,
            results_lost: add.counter("results_lost_total", "Results that could not be sent.")?,
            link_state: add.gauges(
                "link_state",
                "1 for the state the link is in.",
                "state",
                &LinkState::names(),
            )?,
            link_losses: add.counter("link_losses_total", "Sessions that broke.")?,
            memory_budget: add.gauge("memory_budget_bytes", "Memory that may be used.")?,
            memory_used: add.gauge("memory_used_bytes", "Memory that is spoken for.")?,
            fetches: add.counters(
                "pack_fetches_total",
                "Transfers of packs by their end.",
                "end",
                &FetchEnd::names(),
            )?,
            fetched_bytes: add.counter("pack_fetched_bytes_total", "Bytes of packs that came.")?,
            fetch_resumed_bytes: add.counter(
                "pack_resumed_bytes_total",
                "Bytes of packs that were not fetched again.",
            )?,
            fetch_copied_bytes: add.counter(
                "pack_copied_bytes_total",
                "Bytes of packs that were taken from other packs.",
            )?,
            evictions: add.counter("pack_evictions_total", "Packs that made room.")?,
            disk_budget: add.gauge("pack_disk_budget_bytes", "Disk that packs may take.")?,
            disk_used: add.gauge("pack_disk_used_bytes", "Disk that fetched packs take.")?,
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

    /// How many VMs the pool accounts for.
    pub fn set_held(&self, vms: u32) {
        self.held.store(vms, Ordering::Relaxed);
    }

    /// Children that no VM is known for, and VMs that no slot holds.
    pub fn set_unexpected_vmms(&self, strays: usize, known: usize) {
        let held = usize::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let count = strays.saturating_add(known.saturating_sub(held));
        self.unexpected_vmms.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A VM became ready.
    pub fn vm_started(&self, how: How, took: Duration) {
        self.starts.with_label_values(&[how.as_str()]).observe(took.as_secs_f64());
    }

    /// A VM did not become ready.
    pub fn vm_start_failed(&self, how: How) {
        self.start_failures.with_label_values(&[how.as_str()]).inc();
    }

    /// A VM died while nobody used it.
    pub fn ready_vm_died(&self) {
        self.ready_deaths.inc();
    }

    /// A zygote was built anew, or was not.
    pub fn zygote(&self, built: Built) {
        self.zygote_builds.with_label_values(&[built.as_str()]).inc();
    }

    /// A job of ours ended.
    pub fn trial(&self, subject: Subject, passed: bool) {
        self.trials.with_label_values(&[Trial::of(subject, passed).as_str()]).inc();
    }

    /// So many images are not offered.
    pub fn quarantined(&self, images: usize) {
        self.quarantined.set(i64::try_from(images).unwrap_or(i64::MAX));
    }

    /// So many packs are in a state.
    pub fn packs(&self, state: PackState, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.packs.with_label_values(&[state.as_str()]).set(count);
    }

    /// A job ended.
    pub fn job(&self, seen: JobSeen<'_>) {
        let JobSeen { outcome, ending, phases, took } = seen;
        self.outcomes.with_label_values(&[outcome.kind()]).inc();
        if let Some(ending) = ending {
            self.endings.with_label_values(&[ending.as_str()]).inc();
        }
        // A guest that was never woken took no time to be.
        if phases.attach_us > 0 {
            for (histogram, us) in [(&self.attach, phases.attach_us), (&self.run, phases.guest_us)]
            {
                histogram.observe(seconds(us));
            }
        }
        if let Outcome::TimedOut { clock } = outcome {
            self.killed(match clock {
                Clock::Guest => Killer::Guest,
                Clock::Worker => Killer::Worker,
                Clock::Lb => Killer::Lb,
            });
        }
        self.transfer.observe(seconds(phases.transfer_us));
        self.stop.observe(seconds(phases.stop_us));
        self.collect.observe(seconds(phases.parse_us));
        self.job.observe(took.as_secs_f64());
    }

    /// A job was ended by somebody.
    pub fn killed(&self, by: Killer) {
        self.kills.with_label_values(&[by.as_str()]).inc();
    }

    /// A job was refused before it reached a guest.
    pub fn refused(&self, why: Refusal) {
        self.refusals.with_label_values(&[why.as_str()]).inc();
    }

    /// Archive bytes of a job came.
    pub fn bytes_in(&self, bytes: u64) {
        self.io_bytes.with_label_values(&[Direction::In.as_str()]).inc_by(bytes);
    }

    /// A result of this size is to be sent.
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    pub fn bytes_out(&self, bytes: u64) {
        self.io_bytes.with_label_values(&[Direction::Out.as_str()]).inc_by(bytes);
        self.result_bytes.observe(bytes as f64);
    }

    /// The LB did not want a result.
    pub fn result_refused(&self) {
        self.results_refused.inc();
    }

    /// A result could not be sent.
    pub fn result_lost(&self) {
        self.results_lost.inc();
    }

    /// The link is in this state, and in no other.
    pub fn link(&self, state: LinkState) {
        for other in LinkState::ALL {
            self.link_state.with_label_values(&[other.as_str()]).set(i64::from(*other == state));
        }
    }

    /// A session broke.
    pub fn link_lost(&self) {
        self.link_losses.inc();
    }

    /// A transfer of a pack ended.
    pub fn fetch_ended(&self, end: FetchEnd) {
        self.fetches.with_label_values(&[end.as_str()]).inc();
    }

    /// So many bytes of a pack came.
    pub fn fetched(&self, bytes: usize) {
        self.fetched_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A transfer goes on behind so many more bytes that are here.
    pub fn fetch_resumed(&self, bytes: u64) {
        self.fetch_resumed_bytes.inc_by(bytes);
    }

    /// So many bytes of a pack were another's, and taken from there.
    pub fn fetch_copied(&self, bytes: u64) {
        self.fetch_copied_bytes.inc_by(bytes);
    }

    /// A pack made room for another.
    pub fn evicted(&self) {
        self.evictions.inc();
    }

    /// Disk that packs may take, and do.
    pub fn disk(&self, budget: u64, used: u64) {
        self.disk_budget.set(i64::try_from(budget).unwrap_or(i64::MAX));
        self.disk_used.set(i64::try_from(used).unwrap_or(i64::MAX));
    }

    /// Memory that may be used.
    pub fn memory_budget(&self, bytes: u64) {
        self.memory_budget.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Memory that is spoken for.
    pub fn memory_used(&self, bytes: u64) {
        self.memory_used.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests;
