//! Jobs that are run: from client to LB to a worker's parked request and back, against a reverse
//! proxy in front of a server that is as quick as the workers.

use super::{Contender, Row, in_turns, rates, wanted};
use crate::bench::Bench;
use crate::load::Load;

/// What design.md 8 asks for, against HAProxy.
const TARGET: f64 = 1.0;

/// At which part of the peer's best rate latencies are compared.
const PART: f64 = 0.4;

/// Rows of rates and of latency.
pub(crate) fn rows(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let (lb, haproxy) = (&bench.lb, &bench.haproxy);
    let run = format!("http://{}/api/v1/run", lb.clients);
    let one = format!("http://{}/api/v1/run", haproxy.to_http1);
    let two = format!("http://{}/api/v1/run", haproxy.to_http2);
    let contenders = |load: &Load| {
        [
            ("pe-lb", &run, &lb.process),
            ("HAProxy", &one, &haproxy.process),
            ("HAProxy, h2 to origin", &two, &haproxy.process),
        ]
        .map(|(name, url, server)| Contender {
            name,
            url: url.clone(),
            load: load.clone(),
            server,
        })
    };
    let mut found = Vec::new();
    let mut best = f64::INFINITY;
    let binary = &bench.jobs.binary;
    for load in [Load::post(16, 16, binary, BINARY), Load::post(64, 1, binary, BINARY)] {
        let what = "relay of a job, h2c";
        bench.announce(what, &load);
        let contenders = contenders(&load);
        let shots = in_turns(bench, &contenders)?;
        best = shots.iter().map(|shot| shot.rate).fold(best, f64::min);
        found.extend(rates(what, &contenders, &shots, Some(TARGET)));
    }
    let load = Load::post(16, 16, &bench.jobs.json, JSON);
    bench.announce("relay of a job as JSON, h2c", &load);
    let as_json = contenders(&load);
    found.extend(rates("the same as JSON", &as_json, &in_turns(bench, &as_json)?, None));

    let load = Load::post(16, 1, binary, BINARY).at(best * PART);
    bench.announce("relay, latency", &load);
    let contenders = contenders(&load);
    let shots = in_turns(bench, &contenders)?;
    for (what, figure) in [("p50", 0.5), ("p99", 0.99)] {
        let of = |index: usize| {
            shots
                .get(index)
                .map_or(0.0, |shot| if figure > 0.9 { shot.p99_us } else { shot.p50_us })
        };
        // The better of the two ways out is the peer.
        let (ours, theirs) = (of(0), of(1).min(of(2)));
        let ratio = ours / theirs;
        let target = if figure > 0.9 { wanted("≤ 1", ratio <= 1.0) } else { String::new() };
        found.push(Row {
            what: format!("relay of a job, {what}"),
            load: load.told(),
            ours: format!("{ours:.0} µs"),
            peer: "HAProxy".to_owned(),
            theirs: format!("{theirs:.0} µs"),
            ratio: format!("{ratio:.2}"),
            per_cpu: String::new(),
            target,
        });
    }
    Ok(found)
}

const BINARY: &str = "application/vnd.pe.v1";
const JSON: &str = "application/json";
