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
    checks: IntCounterVec,
}

/// What came of running a job again to check its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The same.
    Agreed,
    /// Something else, and who was wrong is known.
    Lied,
    /// Something else, and nobody can be blamed.
    Unclear,
    /// There was no slot to spare, or the second run was lost.
    NotRun,
    /// Too many waited.
    Dropped,
}

impl Check {
    const ALL: [Self; 5] = [Self::Agreed, Self::Lied, Self::Unclear, Self::NotRun, Self::Dropped];

    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Lied => "lied",
            Self::Unclear => "unclear",
            Self::NotRun => "not-run",
            Self::Dropped => "dropped",
        }
    }
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
            checks: build.counters("result_checks", "Results run again to check.", &["end"])?,
        };
        for fault in Fault::ALL {
            metrics.strikes.with_label_values(&[fault.as_str()]);
        }
        for check in Check::ALL {
            metrics.checks.with_label_values(&[check.as_str()]);
        }
        Ok(metrics)
    }

    /// A worker did something wrong.
    pub fn strike(&self, fault: Fault) {
        self.strikes.with_label_values(&[fault.as_str()]).inc();
    }

    /// A result was run again, or was to be.
    pub fn check(&self, check: Check) {
        self.checks.with_label_values(&[check.as_str()]).inc();
    }
}
