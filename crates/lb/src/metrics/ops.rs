//! What operators want to know beside what parts count of themselves: the program, its settings,
//! its access log, and how jobs meet slots.

use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge};

use super::Builder;

/// See the module.
#[derive(Debug, Clone)]
pub struct OpsMetrics {
    /// Lines of the access log that were not written.
    pub access_lines_dropped: IntCounter,
    matches: IntCounterVec,
    reloads: IntCounterVec,
    queue_age: Gauge,
    _build: IntGauge,
}

impl OpsMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let version = env!("CARGO_PKG_VERSION");
        let metrics = Self {
            access_lines_dropped: build
                .counter("access_log_lines_dropped", "Lines of the access log not written.")?,
            matches: build.counters("matches", "Jobs that got a slot.", &["how"])?,
            reloads: build.counters("reloads", "Settings read again.", &["result"])?,
            queue_age: build.float_gauge("queue_age_seconds", "Age of the oldest job waiting.")?,
            _build: build.constant("build_info", "The program.", "version", version)?,
        };
        for how in ["at_once", "waited"] {
            metrics.matches.with_label_values(&[how]);
        }
        for result in ["applied", "refused"] {
            metrics.reloads.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// A job got a slot after this time. What was matched at its submission waited for nothing.
    pub fn matched(&self, waited: Duration) {
        let how = if waited.is_zero() { "at_once" } else { "waited" };
        self.matches.with_label_values(&[how]).inc();
    }

    /// Settings were read again.
    pub fn reloaded(&self, is_applied: bool) {
        let result = if is_applied { "applied" } else { "refused" };
        self.reloads.with_label_values(&[result]).inc();
    }

    /// Looked at with each scrape: time passes without events.
    pub fn queue_age(&self, age: Duration) {
        self.queue_age.set(age.as_secs_f64());
    }
}
