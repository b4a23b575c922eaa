//! Many parked slots: what one costs, and whether they slow a job down.

use super::{Contender, Row, in_turns, wanted};
use crate::bench::Bench;
use crate::load::Load;
use crate::peers::Lb;

/// Most that one may cost, in KiB.
const KIB_MAX: f64 = 10.0;

/// Most that they may add to a job, in microseconds.
const ADDED_US_MAX: f64 = 1000.0;

/// Connections that the slots come over.
const CONNECTIONS: u32 = 10;

/// Jobs a second, one at a time: what is told is latency, not waiting in line.
const RATE: f64 = 400.0;

/// Two rows, each of a load balancer started for it.
pub(crate) fn rows(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let stage = &bench.stage;
    let load = Load::post(4, 1, &bench.jobs.binary, "application/vnd.pe.v1").at(RATE);
    bench.announce("parked slots", &load);
    let (few, many) = (Lb::start(stage)?, Lb::start(stage)?);
    let _some = few.with_workers(stage, CONNECTIONS, 2, bench.result_bytes)?;
    let before = bench.settled_pss(&many.process);
    let each = bench.parked / CONNECTIONS;
    let _all = many.with_workers(stage, CONNECTIONS, each, bench.result_bytes)?;
    let after = bench.settled_pss(&many.process);
    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    let kib = after.saturating_sub(before) as f64 / f64::from(each * CONNECTIONS);

    let contenders = [("many", &many), ("few", &few)].map(|(name, lb)| Contender {
        name,
        url: format!("http://{}/api/v1/run", lb.clients),
        load: load.clone(),
        server: &lb.process,
    });
    let shots = in_turns(bench, &contenders)?;
    let p99 = |index: usize| shots.get(index).map_or(0.0, |shot| shot.p99_us);
    let added = p99(0) - p99(1);
    let what = format!("{} parked slots", each * CONNECTIONS);
    Ok(vec![
        Row {
            what: format!("{what}, memory of each"),
            load: String::new(),
            ours: format!("{kib:.1} KiB"),
            peer: String::new(),
            theirs: String::new(),
            ratio: String::new(),
            per_cpu: String::new(),
            target: wanted("≤ 10 KiB", kib <= KIB_MAX),
        },
        Row {
            what: format!("{what}, p99 of a whole job"),
            load: load.told(),
            ours: format!("{:.0} µs", p99(0)),
            peer: "with 20 slots".to_owned(),
            theirs: format!("{:.0} µs", p99(1)),
            ratio: format!("{added:+.0} µs"),
            per_cpu: String::new(),
            target: wanted("< 1 ms more", added < ADDED_US_MAX),
        },
    ])
}
