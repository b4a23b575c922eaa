//! Of how far workers are trusted, and what is done where they are not.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Builder;
use crate::core::trust::ledger::Fault;

/// See the module.
#[derive(Debug, Clone)]
pub struct TrustMetrics {
    strikes: IntCounterVec,
    /// Quarantines that strikes brought.
    pub quarantines: IntCounter,
    /// Workers in quarantine.
    pub quarantined: IntGauge,
    /// Leases made a second time, as no sign of life came.
    pub hedges: IntCounter,
    /// Those that answered first.
    pub hedges_won: IntCounter,
    /// Tokens that nobody has.
    pub wrong_tokens: IntCounter,
    /// Connections ended as their token holds no more.
    pub revoked: IntCounter,
}

impl TrustMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let metrics = Self {
            strikes: build.counters("worker_strikes", "Faults of workers.", &["fault"])?,
            quarantines: build.counter("worker_quarantines", "Quarantines begun by strikes.")?,
            quarantined: build.gauge("workers_quarantined", "Workers in quarantine.")?,
            hedges: build.counter("hedges", "Jobs leased twice as no sign of life came.")?,
            hedges_won: build.counter("hedges_won", "Second leases that answered first.")?,
            wrong_tokens: build.counter("worker_wrong_tokens", "Wrong tokens of workers.")?,
            revoked: build.counter("workers_revoked", "Connections whose token was revoked.")?,
        };
        for fault in Fault::ALL {
            metrics.strikes.with_label_values(&[fault.as_str()]);
        }
        Ok(metrics)
    }

    /// A worker did something wrong.
    pub fn strike(&self, fault: Fault) {
        self.strikes.with_label_values(&[fault.as_str()]).inc();
    }
}
