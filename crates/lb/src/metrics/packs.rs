//! What is counted of packs that workers fetch.

use prometheus::{IntCounter, IntGauge};

use super::{Builder, Counted};

/// How much of a pack is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// A range: the rest of one that broke off.
    Rest,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct PackMetrics {
    whole: IntCounter,
    rest: IntCounter,
    bytes: IntCounter,
    under_way: IntGauge,
}

impl PackMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let began = build.counters("pack_transfers", "Packs sent to workers.", &["part"])?;
        Ok(Self {
            whole: began.with_label_values(&["whole"]),
            rest: began.with_label_values(&["rest"]),
            bytes: build.counter("pack_bytes", "Bytes of packs sent to workers.")?,
            under_way: build.gauge("pack_transfers_under_way", "Packs being sent.")?,
        })
    }

    /// A transfer begins.
    pub fn began(&self, part: Part) {
        match part {
            Part::Whole => self.whole.inc(),
            Part::Rest => self.rest.inc(),
        }
    }

    /// So much was sent.
    pub fn bytes(&self, bytes: u64) {
        self.bytes.inc_by(bytes);
    }

    /// A transfer, until what this returns is dropped.
    pub fn under_way(&self) -> Counted {
        Counted::new(&self.under_way)
    }
}
