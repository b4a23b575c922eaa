//! What is counted of admission.

use std::time::Duration;

use prometheus::{Counter, IntCounterVec, IntGauge, Opts};

use super::Builder;
use crate::core::admission::Denied;

/// See the module.
#[derive(Debug, Clone)]
pub struct AdmissionMetrics {
    denied: IntCounterVec,
    cpu: Counter,
    remembered: IntGauge,
}

impl AdmissionMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let metrics = Self {
            denied: build.counters("denied", "Requests turned away by a limit.", &["limit"])?,
            cpu: build.register(Counter::with_opts(Opts::new(
                "pe_lb_cpu_charged_seconds_total",
                "CPU time charged to clients.",
            ))?)?,
            remembered: build.gauge("clients_remembered", "Entries of tables of limits.")?,
        };
        for limit in Denied::LABELS {
            metrics.denied.with_label_values(&[limit]);
        }
        Ok(metrics)
    }

    /// Somebody was turned away.
    pub fn denied(&self, denied: Denied) {
        self.denied.with_label_values(&[denied.as_str()]).inc();
    }

    /// A job was paid for.
    pub fn charged(&self, cpu: Duration) {
        self.cpu.inc_by(cpu.as_secs_f64());
    }

    /// So many entries there are.
    pub fn remembered(&self, entries: usize) {
        self.remembered.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }
}
