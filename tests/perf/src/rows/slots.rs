//! Many parked slots: what one costs, and whether they slow a job down.

use anyhow::Context as _;

use super::{Contender, Row, in_turns, wanted};
use crate::bench::{Bench, curl};
use crate::load::Load;
use crate::peers::Lb;

/// Most that one may cost, in KiB.
const KIB_MAX: f64 = 10.0;

/// Most that they may add to a job, in microseconds.
const ADDED_US_MAX: f64 = 1000.0;

/// Slowest hundredth from a job's wish for a slot to its lease, in seconds, while slots are free.
const MATCH_S_MAX: f64 = 0.001;

/// Connections that the slots come over.
const CONNECTIONS: u32 = 10;

/// Jobs a second, one at a time: what is told is latency, not waiting in line.
const RATE: f64 = 400.0;

/// Three rows, of two load balancers started for them.
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
    let metrics = curl(&[&format!("http://{}/metrics", many.admin)])?;
    let matched = match_p99(&metrics).context("no matches in the metrics")?;
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
            what: format!("{what}, p99 in the queue (`pe_lb_match_wait_seconds`)"),
            load: load.told(),
            ours: format!("≤ {:.0} µs", matched * 1e6),
            peer: String::new(),
            theirs: String::new(),
            ratio: String::new(),
            per_cpu: String::new(),
            target: wanted("< 1 ms", matched < MATCH_S_MAX),
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

/// The bound of the first bucket that holds 99 of 100 matches.
fn match_p99(metrics: &str) -> Option<f64> {
    let buckets: Vec<(&str, f64)> = metrics
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pe_lb_match_wait_seconds_bucket{le=\"")?.split_once("\"} ")
        })
        .filter_map(|(bound, count)| Some((bound, count.parse().ok()?)))
        .collect();
    let (_, all) = buckets.last().filter(|(_, all)| *all > 0.0)?;
    let (bound, _) = buckets.iter().find(|(_, count)| *count >= all * 0.99)?;
    // `+Inf` reads as infinity.
    bound.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_hundredth_of_matches_is_a_buckets_bound() {
        let bucket = |le: &str, count: u32| {
            format!("pe_lb_match_wait_seconds_bucket{{le=\"{le}\"}} {count}\n")
        };
        let of = |first, second, all| {
            match_p99(
                &[bucket("0.0002", first), bucket("0.001", second), bucket("+Inf", all)].concat(),
            )
        };
        assert_eq!(of(99, 100, 100), Some(0.0002));
        assert_eq!(of(98, 100, 100), Some(0.001));
        assert_eq!(of(0, 0, 100), Some(f64::INFINITY));
        assert_eq!(of(0, 0, 0), None);
        assert_eq!(match_p99(""), None);
    }
}
