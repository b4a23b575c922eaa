//! Of results of untrusted workers that another worker is asked about.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Builder;
use crate::core::trust::confirm::NotAsked;

/// What became of a doubtful result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another said the same.
    Agreed,
    /// Another said something else.
    Disputed,
    /// Trusted workers agree on something else.
    Contradicted,
    /// Who was asked had nothing to say that would be kept.
    Unfinished,
    /// There was no slot to spare in time.
    NoSlot,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Agreed, Self::Disputed, Self::Contradicted, Self::Unfinished, Self::NoSlot];

    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Disputed => "disputed",
            Self::Contradicted => "contradicted",
            Self::Unfinished => "unfinished",
            Self::NoSlot => "no-slot",
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct ConfirmMetrics {
    verdicts: IntCounterVec,
    not_asked: IntCounterVec,
    /// Runs that no client waits for.
    pub runs: IntCounter,
    /// Those that were given up for a client.
    pub displaced: IntCounter,
    /// Results about which somebody is being asked.
    pub asked: IntGauge,
}

impl ConfirmMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let metrics = Self {
            verdicts: build.counters("confirmations", "Doubtful results.", &["verdict"])?,
            not_asked: build.counters("confirm_not_asked", "Not confirmed.", &["reason"])?,
            runs: build.counter("confirm_runs", "Runs that no client waits for.")?,
            displaced: build.counter("confirm_displaced", "Those given up for a client.")?,
            asked: build.gauge("confirm_asked", "Results that are being confirmed.")?,
        };
        for verdict in Verdict::ALL {
            metrics.verdicts.with_label_values(&[verdict.as_str()]);
        }
        for reason in NotAsked::ALL {
            metrics.not_asked.with_label_values(&[reason.as_str()]);
        }
        Ok(metrics)
    }

    /// That became of a result.
    pub fn verdict(&self, verdict: Verdict) {
        self.verdicts.with_label_values(&[verdict.as_str()]).inc();
    }

    /// Nobody was asked about one.
    pub fn not_asked(&self, why: NotAsked) {
        self.not_asked.with_label_values(&[why.as_str()]).inc();
    }
}
