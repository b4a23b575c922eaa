//! How each worker is, made anew for each scrape: a worker that left has no series. The first
//! [`WORKERS_MEASURED_MAX`] by name have their own, all others share the name `other`.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Registry};

use super::Builder;
use crate::driver::WorkerRow;
use crate::limits::WORKERS_MEASURED_MAX;

/// What workers beyond the bound are called together.
const OTHER: &str = "other";

#[derive(Debug, Default)]
struct Sum {
    slots: usize,
    parked: usize,
    leased: usize,
    strikes: f64,
    here: usize,
    draining: usize,
    quarantined: usize,
    silent: usize,
}

/// Metrics of the workers that are here.
pub(super) fn families(rows: &[WorkerRow]) -> prometheus::Result<Vec<MetricFamily>> {
    let build = Builder(Registry::new());
    let slots = build.float_gauges(
        "worker_slots",
        "Slots of a worker, by what they do.",
        &["worker", "state"],
    )?;
    let visits = build.float_gauges(
        "worker_visits",
        "Visits of a worker, by how it is.",
        &["worker", "state"],
    )?;
    let strikes = build.float_gauges(
        "worker_strikes",
        "Strikes of a worker, as they weigh now.",
        &["worker"],
    )?;
    for (name, sum) in sums(rows) {
        let set = |gauges: &GaugeVec, state: &str, value: usize| {
            let value = u32::try_from(value).unwrap_or(u32::MAX);
            gauges.with_label_values(&[name, state]).set(value.into());
        };
        set(&slots, "all", sum.slots);
        set(&slots, "parked", sum.parked);
        set(&slots, "leased", sum.leased);
        set(&visits, "here", sum.here);
        set(&visits, "draining", sum.draining);
        set(&visits, "quarantined", sum.quarantined);
        set(&visits, "silent", sum.silent);
        strikes.with_label_values(&[name]).set(sum.strikes);
    }
    Ok(build.0.gather())
}

fn sums(rows: &[WorkerRow]) -> BTreeMap<&str, Sum> {
    let names: std::collections::BTreeSet<&str> = rows.iter().map(|row| &*row.name).collect();
    let last = names.iter().nth(WORKERS_MEASURED_MAX - 1).copied();
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for row in rows {
        let is_own = last.is_none_or(|last| &*row.name <= last);
        let sum = sums.entry(if is_own { &row.name } else { OTHER }).or_default();
        sum.slots += row.slots_max;
        sum.parked += row.parked;
        sum.leased += row.leased;
        sum.strikes = sum.strikes.max(row.strikes);
        sum.here += 1;
        sum.draining += usize::from(row.is_draining);
        sum.quarantined += usize::from(row.quarantine.is_some());
        sum.silent += usize::from(row.is_silent);
    }
    sums
}
