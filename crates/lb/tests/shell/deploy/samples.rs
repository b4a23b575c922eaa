//! The sample settings: they are read, each field there is is in them, and what they say is a
//! default is one.

use std::collections::BTreeSet;
use std::path::Path;

use pe_lb::{Config, Overrides};

use super::{deployed, repository};

/// Loads settings from a text, beside a catalogue.
fn load(dir: &Path, text: &str) -> Result<Config, String> {
    std::fs::write(dir.join("catalogue.json"), r#"{"version":2,"images":[]}"#).expect("a file");
    std::fs::write(dir.join("lb.toml"), text).expect("a file");
    let catalogue = Some(dir.join("catalogue.json"));
    let flags = Overrides { catalogue, ..Overrides::default() };
    Config::load(Some(&dir.join("lb.toml")), flags).map_err(|bad| bad.to_string())
}

/// Lines that begin with `#` and a key are settings that are off: this turns some of them on.
fn turned_on(sample: &str, is_wanted: impl Fn(&str) -> bool) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(setting) if is_setting(setting) && is_wanted(line) => setting.to_owned(),
        _ => line.to_owned(),
    };
    sample.lines().map(|each| line(each) + "\n").collect()
}

fn is_setting(text: &str) -> bool {
    let key = text.split('=').next().unwrap_or_default().trim();
    let is_key =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c));
    (text.contains('=') && is_key) || text.starts_with('[')
}

/// All keys that settings may have, as the complaint about one that they may not have lists them.
fn keys(dir: &Path, section: &str) -> Option<Vec<String>> {
    let head = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
    let told = load(dir, &format!("{head}nobody_has_this = 1\n")).expect_err("an unknown key");
    let (_, list) = told.split_once("unknown field `nobody_has_this`, expected ")?;
    let list = list.lines().next().unwrap_or_default();
    Some(list.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

#[test]
fn the_sample_is_read_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let sample = deployed("lb.toml");
    // What a deployment has and this machine has not.
    let sample = sample.replace(
        "/etc/pe/catalogue.json",
        &dir.path().join("catalogue.json").display().to_string(),
    );
    load(dir.path(), &sample).expect("good settings");
}

/// A setting that is off, and not said to be an example, is at its default.
#[test]
fn what_the_sample_calls_a_default_is_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let sample = deployed("lb.toml");
    let plain = turned_on(&sample, |line| line.starts_with("#["));
    let defaults = turned_on(&sample, |line| !line.contains("# example"));
    let catalogue = dir.path().join("catalogue.json").display().to_string();
    let shown = |text: &str| {
        let config = load(dir.path(), &text.replace("/etc/pe/catalogue.json", &catalogue));
        let shown = format!("{:?}", config.expect("good settings"));
        // The text itself is part of it.
        shown.split("source: Source").next().expect("a beginning").to_owned()
    };
    assert_eq!(shown(&plain), shown(&defaults));
}

#[test]
fn the_sample_has_every_field() {
    let dir = tempfile::tempdir().expect("a directory");
    let sample = turned_on(&deployed("lb.toml"), |_| true);
    let mut there = BTreeSet::new();
    let mut section = String::new();
    for line in sample.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.split(']').next()) {
            section = format!("{name}.");
        } else if is_setting(line) {
            let key = line.split('=').next().unwrap_or_default().trim();
            there.insert(format!("{section}{key}"));
        }
    }
    let mut missing = Vec::new();
    let mut count = 0;
    for key in keys(dir.path(), "").expect("a list of keys") {
        match keys(dir.path(), &key) {
            Some(below) => {
                count += below.len();
                let names = below.iter().map(|name| format!("{key}.{name}"));
                missing.extend(names.filter(|name| {
                    // A table of names that are the deployment's own: one of them is enough.
                    let tables = format!("{name}.");
                    !there.contains(name) && !there.iter().any(|it| it.starts_with(&tables))
                }));
            }
            None => {
                count += 1;
                missing.extend((!there.contains(&key)).then_some(key));
            }
        }
    }
    assert!(count > 30, "{count}");
    assert_eq!(missing, [""; 0], "deploy/lb.toml lacks these");
}

/// The worker has a sample of its own, which its tests read.
#[test]
fn the_workers_sample_is_where_the_guide_says() {
    assert!(repository("crates/worker/worker.example.toml").is_file());
    assert!(deployed("README.md").contains("worker.example.toml"));
}

/// What a reload asks before it sends its signal.
#[test]
fn settings_can_be_checked_without_a_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let catalogue = dir.path().join("catalogue.json");
    std::fs::write(&catalogue, r#"{"version":2,"images":[]}"#).expect("a file");
    let file = dir.path().join("lb.toml");
    let check = |more: &str| {
        std::fs::write(&file, format!("catalogue = {catalogue:?}\n{more}")).expect("a file");
        let mut lb = std::process::Command::new(env!("CARGO_BIN_EXE_pe-lb"));
        lb.arg("--check-config").arg(&file).output().expect("it starts")
    };
    let good = check("");
    assert_eq!(good.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&good.stdout).ends_with("lb.toml: good\n"));
    let bad = check("[queue]\njobs_max = 0\n");
    assert_eq!(bad.status.code(), Some(64));
    let told = String::from_utf8_lossy(&bad.stderr);
    assert!(told.contains("lb.toml: queue.jobs_max: expected 1 to"), "{told}");
}
