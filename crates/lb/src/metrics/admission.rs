//! What is counted of admission.

use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Builder;
use crate::core::admission::Denied;
use crate::core::admission::memory::{Kind, NoRoom};

/// See the module.
#[derive(Debug, Clone)]
pub struct AdmissionMetrics {
    denied: IntCounterVec,
    cpu_ms: IntCounter,
    remembered: IntGauge,
    memory: IntGaugeVec,
    no_room: IntCounterVec,
}

impl AdmissionMetrics {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let metrics = Self {
            denied: build.counters("denied", "Requests turned away by a limit.", &["limit"])?,
            cpu_ms: build.counter("cpu_charged_milliseconds", "CPU time charged to clients.")?,
            remembered: build.gauge("clients_remembered", "Entries of tables of limits.")?,
            memory: build.gauges("memory_bytes", "Memory taken by bodies.", &["kind"])?,
            no_room: build.counters("memory_refusals", "Bodies without room.", &["limit"])?,
        };
        for limit in Denied::LABELS {
            metrics.denied.with_label_values(&[limit]);
        }
        for kind in Kind::ALL {
            metrics.memory.with_label_values(&[kind.as_str()]);
            for no_room in [NoRoom::All(kind), NoRoom::Share(kind)] {
                metrics.no_room.with_label_values(&[no_room.as_str()]);
            }
        }
        Ok(metrics)
    }

    /// Somebody was turned away.
    pub fn denied(&self, denied: Denied) {
        self.denied.with_label_values(&[denied.as_str()]).inc();
    }

    /// A job was paid for.
    pub fn charged(&self, cpu: Duration) {
        self.cpu_ms.inc_by(u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX));
    }

    /// So many entries there are.
    pub fn remembered(&self, entries: usize) {
        self.remembered.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// So much is taken.
    pub fn memory(&self, kind: Kind, bytes: usize) {
        let gauge = self.memory.with_label_values(&[kind.as_str()]);
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A body found no room.
    pub fn no_room(&self, no_room: NoRoom) {
        self.no_room.with_label_values(&[no_room.as_str()]).inc();
    }
}
