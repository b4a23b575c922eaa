//! What a scraper gets, over a real socket.

use std::collections::BTreeMap;

use pe_proto::outcome::WorkerPhases;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::vm::process::Census;

/// A metric as its text describes it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    help: String,
    kind: String,
    series: Vec<String>,
}

async fn scrape(metrics: Metrics) -> String {
    let at = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let at = at.expect("a port");
    let stop = CancellationToken::new();
    let server = serve(at, metrics, Census::default(), stop.clone());
    let client = async {
        let mut stream = loop {
            match tokio::net::TcpStream::connect(at).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        stop.cancel();
        answer
    };
    let both = async { tokio::join!(server, client) };
    let limit = tokio::time::timeout(Duration::from_secs(30), both);
    let (served, answer) = limit.await.expect("in time");
    served.expect("served");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"));
    body.to_owned()
}

fn parse(text: &str) -> BTreeMap<String, Described> {
    let mut all: BTreeMap<String, Described> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            let known = all.insert(name.to_owned(), Described::default());
            assert!(known.is_none(), "{name} is there twice");
            all.get_mut(name).expect("there").help = help.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        {
            all.get_mut(name).expect("described first").kind = kind.to_owned();
        } else {
            let series = line.rsplit_once(' ').expect("a value").0;
            let name = series.split('{').next().expect("a name");
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it));
            let name = base.filter(|base| all.contains_key(*base)).unwrap_or(name);
            all.get_mut(name).expect("described first").series.push(series.to_owned());
        }
    }
    all
}

/// Everything counted once, so that nothing is missing for want of a value.
fn all_counted() -> Metrics {
    let metrics = Metrics::new().expect("metrics");
    metrics.job(JobSeen {
        outcome: &Outcome::TimedOut { clock: Clock::Worker },
        ending: Some(&Ending::Clock),
        phases: &WorkerPhases { attach_us: 1, ..WorkerPhases::default() },
        took: Duration::from_secs(1),
    });
    metrics
}

/// The rules of `promtool check metrics`, as far as they can be broken here.
#[tokio::test]
async fn every_metric_keeps_the_rules_of_names() {
    let all = parse(&scrape(all_counted()).await);
    assert!(all.len() > 20, "{}", all.len());
    for (name, Described { help, kind, series }) in &all {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.starts_with("pe_worker_") && name.chars().all(plain), "{name}");
        assert!(!help.is_empty() && help.ends_with('.'), "{name}: {help}");
        assert!(!series.is_empty(), "{name} has no series before something happens");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        for kind in ["gauge", "counter", "histogram", "summary"] {
            assert!(!name.contains(kind), "{name} has its type in its name");
        }
        for unit in ["_ms", "_us", "_milliseconds", "_kb", "_mib", "_kib"] {
            assert!(!name.ends_with(unit), "{name} is not in a base unit");
        }
        if kind == "histogram" {
            assert!(name.ends_with("_seconds") || name.ends_with("_bytes"), "{name} has no unit");
        } else {
            let reserved = ["_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
            assert!(!reserved && !series.iter().any(|it| it.contains("le=")), "{name}");
        }
    }
}

/// `docs/metrics.md` has a row for each metric, with its type and its labels, and no other.
#[tokio::test]
async fn the_documentation_lists_what_a_scraper_finds() {
    let text = include_str!("../../../../docs/metrics.md");
    let mut documented = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `pe_worker_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, meaning, alarm, _] = cells[..] else { panic!("{line}") };
        assert!(!meaning.is_empty() && !alarm.is_empty(), "{line}");
        let labels: Vec<&str> = labels.split('`').skip(1).step_by(2).collect();
        documented.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels.join(" ")));
    }
    let mut found = BTreeMap::new();
    for (name, Described { kind, series, .. }) in parse(&scrape(all_counted()).await) {
        let label = |series: &String| {
            let pair = series.split_once('{')?.1.split(',').find(|it| !it.starts_with("le="))?;
            let (label, value) = pair.trim_end_matches('}').split_once('=')?;
            Some((label.to_owned(), value.trim_matches('"').to_owned()))
        };
        let mut labels: Vec<String> = Vec::new();
        for (label, value) in series.iter().filter_map(label) {
            for word in [label, value] {
                if !labels.contains(&word) {
                    labels.push(word);
                }
            }
        }
        labels.get_mut(1..).unwrap_or_default().sort_unstable();
        found.insert(name, (kind, labels.join(" ")));
    }
    let mut expected = documented.clone();
    for (_, labels) in expected.values_mut() {
        let mut words: Vec<&str> = labels.split(' ').collect();
        words.get_mut(1..).unwrap_or_default().sort_unstable();
        *labels = words.join(" ");
    }
    pretty(&found, &expected);
}

fn pretty(found: &BTreeMap<String, (String, String)>, told: &BTreeMap<String, (String, String)>) {
    for (name, as_found) in found {
        assert_eq!(Some(as_found), told.get(name), "{name}");
    }
    for name in told.keys() {
        assert!(found.contains_key(name), "{name} is documented and not there");
    }
}

#[test]
fn vms_that_no_slot_holds_are_unexpected_as_are_children_that_are_no_vms() {
    let metrics = Metrics::new().expect("metrics");
    let check = |strays, known, expected: &str| {
        metrics.set_unexpected_vmms(strays, known);
        let line = format!("pe_worker_unexpected_vmm_processes {expected}\n");
        assert!(metrics.text().contains(&line));
    };
    metrics.set_held(3);
    check(0, 3, "0");
    check(0, 2, "0");
    check(0, 4, "1");
    check(2, 5, "4");
}

#[test]
fn a_job_is_counted_once_for_each_thing_it_shows() {
    let text = all_counted().text();
    for line in [
        "jobs_total{outcome=\"timed_out\"} 1",
        "jobs_total{outcome=\"exited\"} 0",
        "kills_total{clock=\"worker\"} 1",
        "job_endings_total{ending=\"clock\"} 1",
        "job_seconds_count 1",
        "run_seconds_count 1",
    ] {
        assert!(text.contains(&format!("pe_worker_{line}\n")), "{line}\n{text}");
    }
}
