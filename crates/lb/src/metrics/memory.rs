//! What is counted of the memory for bodies.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Builder;
use crate::core::admission::memory::{Kind, NoRoom};

/// See the module.
#[derive(Debug, Clone)]
pub struct MemoryMetrics {
    taken: IntGaugeVec,
    no_room: IntCounterVec,
}

impl MemoryMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let opts = Builder::opts("memory_bytes", "Memory that bodies take.");
        let metrics = Self {
            taken: build.register(IntGaugeVec::new(opts, &["kind"])?)?,
            no_room: build.counters("memory_refusals", "Bodies without room.", &["limit"])?,
        };
        for kind in Kind::ALL {
            metrics.taken.with_label_values(&[kind.as_str()]);
            for no_room in [NoRoom::All(kind), NoRoom::Share(kind)] {
                metrics.no_room.with_label_values(&[no_room.as_str()]);
            }
        }
        Ok(metrics)
    }

    /// So much is taken now.
    pub fn taken(&self, kind: Kind, bytes: usize) {
        let gauge = self.taken.with_label_values(&[kind.as_str()]);
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A body found no room.
    pub fn no_room(&self, no_room: NoRoom) {
        self.no_room.with_label_values(&[no_room.as_str()]).inc();
    }
}
