//! What a scraper gets, and what is written about it.

use std::collections::BTreeMap;

use super::*;
use crate::core::ids::WorkerId;
use crate::limits::WORKERS_MEASURED_MAX;

/// A metric as its text describes it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    help: String,
    kind: String,
    series: Vec<String>,
}

/// Metrics with at least one series each: those of open sets have none before something happens.
fn text() -> String {
    let metrics = Metrics::new().unwrap();
    metrics.request(Route::Run, http::StatusCode::OK);
    metrics.text(&[worker("attic")]).unwrap()
}

fn worker(name: &str) -> WorkerRow {
    WorkerRow {
        id: WorkerId(1),
        name: name.into(),
        owner: "".into(),
        is_trusted: true,
        labels: Vec::new(),
        arch: pe_proto::Arch::X86_64,
        cpu: String::new(),
        vmm: String::new(),
        slots_max: 4,
        parked: 3,
        leased: 1,
        strikes: 1.5,
        quarantine: None,
        is_draining: true,
        is_silent: false,
        round_trip: None,
        age: Duration::ZERO,
    }
}

#[test]
fn each_phase_is_counted_under_its_own_name() {
    let metrics = Metrics::new().unwrap();
    for (number, phase) in Phase::ALL.into_iter().enumerate() {
        for _ in 0..=number {
            metrics.phase(phase, 1);
        }
    }
    let text = metrics.text(&[]).unwrap();
    for (number, phase) in Phase::ALL.into_iter().enumerate() {
        let name = phase.as_str();
        let series = format!("pe_lb_phase_seconds_count{{phase=\"{name}\"}} {}", number + 1);
        assert!(text.lines().any(|line| line == series), "{series}\n{text}");
    }
}

#[test]
fn however_many_workers_there_are_the_series_are_bounded() {
    let names: Vec<String> = (0..WORKERS_MEASURED_MAX + 2).map(|i| format!("w{i:03}")).collect();
    let rows: Vec<WorkerRow> = names.iter().map(|name| worker(name)).collect();
    let text = Metrics::new().unwrap().text(&rows).unwrap();
    for line in [
        "pe_lb_worker_slots{state=\"parked\",worker=\"w000\"} 3",
        "pe_lb_worker_slots{state=\"all\",worker=\"other\"} 8",
        "pe_lb_worker_visits{state=\"draining\",worker=\"other\"} 2",
        "pe_lb_worker_strikes{worker=\"other\"} 1.5",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}");
    }
    assert!(!text.contains("w064") && !text.contains("w065"));
    assert!(!Metrics::new().unwrap().text(&[]).unwrap().contains("pe_lb_worker_slots{"));
}

fn parse(text: &str) -> BTreeMap<String, Described> {
    let mut all: BTreeMap<String, Described> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            let known = all.insert(name.to_owned(), Described::default());
            assert!(known.is_none(), "{name} is there twice");
            all.get_mut(name).unwrap().help = help.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        {
            all.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let series = line.rsplit_once(' ').unwrap().0;
            let name = series.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it));
            let name = base.filter(|base| all.contains_key(*base)).unwrap_or(name);
            all.get_mut(name).unwrap().series.push(series.to_owned());
        }
    }
    all
}

#[test]
fn every_metric_keeps_the_rules_of_names() {
    let all = parse(&text());
    assert!(all.len() > 20, "{}", all.len());
    for (name, Described { help, kind, series }) in &all {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.starts_with("pe_lb_") && name.chars().all(plain), "{name}");
        assert!(help.ends_with('.'), "{name}: {help}");
        assert!(!series.is_empty(), "{name} has no series before something happens");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        for unit in ["_ms", "_us", "_milliseconds", "_kb", "_mib", "_kib"] {
            assert!(!name.ends_with(unit), "{name} is not in a base unit");
        }
    }
}

/// `docs/metrics.md` has a row for each metric with its type and the names of its labels, and the
/// values that it lists are those there are.
#[test]
fn the_documentation_lists_what_a_scraper_finds() {
    let page = include_str!("../../../../docs/metrics.md");
    let mut documented = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `pe_lb_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, meaning, alarm, _] = cells[..] else { panic!("{line}") };
        assert!(!meaning.is_empty() && !alarm.is_empty(), "{line}");
        let words = |text: &str| -> Vec<String> {
            text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let known = documented.insert(name.trim_matches('`').to_owned(), (kind, words(labels)));
        assert!(known.is_none(), "{name} is documented twice");
    }
    let all = parse(&text());
    for (name, Described { kind, series, .. }) in &all {
        let Some((told_kind, words)) = documented.remove(name) else {
            panic!("{name} is not in docs/metrics.md");
        };
        assert_eq!(kind, told_kind, "{name}");
        for (label, value) in series.iter().flat_map(|series| labels(series)) {
            assert!(words.contains(&label), "{name}: label `{label}` is not documented");
            let is_closed = words.len() > 1 && labels(&series[0]).len() == 1;
            assert!(!is_closed || words.contains(&value), "{name}: {label}=\"{value}\"");
        }
    }
    assert_eq!(documented.keys().collect::<Vec<_>>(), [""; 0], "documented and not there");
}

fn labels(series: &str) -> Vec<(String, String)> {
    let Some((_, pairs)) = series.trim_end_matches('}').split_once('{') else {
        return Vec::new();
    };
    let pairs = pairs.split(',').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.filter(|(label, _)| *label != "le");
    pairs.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned())).collect()
}
