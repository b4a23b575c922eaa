//! Clients that hold a TLS connection and do nothing: what one costs, and whether those that do
//! something notice.

use super::{Contender, Row, in_turns, wanted};
use crate::bench::Bench;
use crate::load::Load;
use crate::peers::{Lb, Nginx, this};

/// Requests a second of the clients that are not idle.
const RATE: f64 = 4000.0;

/// How much later the slowest hundredth may be: less is noise between two runs.
const P99_MOST: f64 = 1.25;

/// Rows of memory and of latency.
pub(crate) fn rows(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let stage = &bench.stage;
    let load = Load::get(16, 1).at(RATE);
    bench.announce("idle connections", &load);
    let lb = Lb::start(stage)?;
    let _workers = lb.with_workers(stage, 1, 16, bench.result_bytes)?;
    let job = bench.prime(&lb)?.job;
    let nginx = Nginx::start(stage, bench.backend.address)?;
    let path = format!("/api/v1/results/{job}");
    let ours = format!("https://{}{path}", lb.tls);
    let theirs = format!("https://{}{path}", nginx.tls);
    let contender = |name, url: &str, server| Contender {
        name,
        url: url.to_owned(),
        load: load.clone(),
        server,
    };
    let contenders =
        [contender("pe-lb", &ours, &lb.process), contender("nginx", &theirs, &nginx.process)];
    let alone = in_turns(bench, &contenders)?;
    let before = [bench.settled_pss(&lb.process), bench.settled_pss(&nginx.process)];
    let mut held = Vec::new();
    for address in [lb.tls, nginx.tls] {
        let certificate = stage.certificate.to_string_lossy();
        let (address, count) = (address.to_string(), bench.idle.to_string());
        let args = ["idlers", &address, &path, &certificate, "--connections", &count];
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let mut idlers = this(stage.cores.load, &args, &stage.dir)?;
        idlers.says_line()?;
        held.push(idlers);
    }
    let after = [bench.settled_pss(&lb.process), bench.settled_pss(&nginx.process)];
    let among = in_turns(bench, &contenders)?;
    drop(held);

    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    let each = |index: usize| {
        let [before, after] = [before, after].map(|kib| kib.get(index).copied().unwrap_or(0));
        after.saturating_sub(before) as f64 / f64::from(bench.idle)
    };
    let (our_kib, their_kib) = (each(0), each(1));
    let p99 = |index: usize, shots: &[crate::load::Shot]| {
        shots.get(index).map_or(0.0, |shot| shot.p99_us)
    };
    let slower = p99(0, &among) / p99(0, &alone);
    let what = format!("{} idle TLS clients", bench.idle);
    let ratio = our_kib / their_kib;
    Ok(vec![
        Row {
            what: format!("{what}, memory of each"),
            load: String::new(),
            ours: format!("{our_kib:.1} KiB"),
            peer: "nginx".to_owned(),
            theirs: format!("{their_kib:.1} KiB"),
            ratio: format!("{ratio:.2}"),
            per_cpu: String::new(),
            target: wanted("< 1", ratio < 1.0),
        },
        Row {
            what: format!("{what}, p99 of others' hits"),
            load: load.told(),
            ours: format!("{:.0} µs", p99(0, &among)),
            peer: "pe-lb without".to_owned(),
            theirs: format!("{:.0} µs", p99(0, &alone)),
            ratio: format!("{slower:.2}"),
            per_cpu: String::new(),
            target: wanted("unharmed", slower <= P99_MOST),
        },
        Row {
            what: format!("{what}, p99 of others' hits"),
            load: load.told(),
            ours: format!("{:.0} µs", p99(0, &among)),
            peer: "nginx with".to_owned(),
            theirs: format!("{:.0} µs", p99(1, &among)),
            ratio: format!("{:.2}", p99(0, &among) / p99(1, &among)),
            per_cpu: String::new(),
            target: String::new(),
        },
    ])
}
