//! Results that are known: ours from its result cache, the peers' from theirs.

use super::{Contender, Row, in_turns, rates};
use crate::bench::Bench;
use crate::load::Load;

/// What design.md 8 asks for, against nginx.
const TARGET: f64 = 1.25;

/// Rows of cached hits over clear HTTP/2, TLS and HTTP/1.1.
pub(crate) fn rows(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut found = Vec::new();
    let path = format!("/api/v1/results/{}", bench.result.job);
    let (lb, nginx, varnish) = (&bench.lb, &bench.nginx, &bench.varnish);
    let contender = |name, scheme: &str, address, load: &Load, server| Contender {
        name,
        url: format!("{scheme}://{address}{path}"),
        load: load.clone(),
        server,
    };
    let many = |load: Load| [load, Load::get(64, 1)];
    for load in many(Load::get(16, 16)) {
        let what = "cached hit, h2c";
        let contenders = [
            contender("pe-lb", "http", lb.clients, &load, &lb.process),
            contender("nginx", "http", nginx.h2c, &load, &nginx.process),
            contender("Varnish", "http", varnish.address, &load, &varnish.process),
        ];
        bench.announce(what, &load);
        found.extend(rates(what, &contenders, &in_turns(bench, &contenders)?, Some(TARGET)));
    }
    for load in many(Load::get(16, 16)) {
        let what = "cached hit, TLS";
        let contenders = [
            contender("pe-lb", "https", lb.tls, &load, &lb.process),
            contender("nginx", "https", nginx.tls, &load, &nginx.process),
        ];
        bench.announce(what, &load);
        found.extend(rates(what, &contenders, &in_turns(bench, &contenders)?, Some(TARGET)));
    }
    let load = Load::get(64, 1).http1();
    let what = "cached hit, HTTP/1.1";
    let contenders = [
        contender("pe-lb", "http", lb.clients, &load, &lb.process),
        contender("nginx", "http", nginx.http1, &load, &nginx.process),
        contender("Varnish", "http", varnish.address, &load, &varnish.process),
    ];
    bench.announce(what, &load);
    found.extend(rates(what, &contenders, &in_turns(bench, &contenders)?, None));
    Ok(found)
}
