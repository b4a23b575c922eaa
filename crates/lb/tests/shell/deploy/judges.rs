//! systemd and Prometheus about what is written for them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{judged, repository, tool};
use crate::lb::Lb;

const UNITS: [&str; 4] =
    ["pe-lb.service", "pe-lb.socket", "pe-lb-workers.socket", "pe-lb-admin.socket"];

/// The units with a program in place of ours, which is not installed here.
fn units(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for name in names {
        let unit = super::deployed(name);
        let unit = unit
            .replace("/usr/local/bin/pe-lb", "/bin/true")
            .replace("/usr/local/bin/pe-worker", "/bin/true");
        std::fs::write(dir.path().join(name), unit).expect("a file");
    }
    dir
}

#[test]
fn systemd_takes_the_units() {
    let Some(analyze) = tool("systemd-analyze", "--version") else {
        return;
    };
    for names in [&UNITS[..], &["pe-worker.service"]] {
        let dir = units(names);
        let mut verify = Command::new(&analyze);
        verify.arg("verify").args(names.iter().map(|name| dir.path().join(name)));
        let output = verify.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        // It also complains about units of the machine that it runs on.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("pe-")).collect();
        assert!(ours.is_empty(), "{said}");
    }
}

#[test]
fn systemd_finds_the_load_balancer_well_confined() {
    let Some(analyze) = tool("systemd-analyze", "--version") else {
        return;
    };
    let dir = units(&UNITS);
    // In tenths: 0 is nothing to gain by breaking in, 100 everything.
    let mut security = Command::new(analyze);
    security.args(["security", "--offline=true", "--threshold=15"]);
    assert_eq!(judged(security.arg(dir.path().join("pe-lb.service"))), Ok(()));
}

#[test]
fn prometheus_takes_its_settings_and_rules() {
    let Some(promtool) = tool("promtool", "--version") else {
        return;
    };
    let config = repository("deploy/prometheus.yml");
    // It checks the rules, too, which the settings name.
    let told = judged(Command::new(&promtool).args(["check", "config"]).arg(config));
    assert_eq!(told, Ok(()));
}

#[tokio::test]
async fn prometheus_finds_nothing_wrong_with_what_it_scrapes() {
    let Some(promtool) = tool("promtool", "--version") else {
        return;
    };
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    tokio::join!(client.run_json(r#"{"image":"busybox"}"#), worker.serve_one());
    let metrics = lb.operator().await.get("/metrics").await.body;
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    check.stdin.take().expect("a pipe").write_all(&metrics).expect("a reader");
    let checked = check.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.is_empty(), "{said}");
}

/// Rules are about metrics that exist.
#[tokio::test]
async fn the_rules_name_metrics_that_there_are() {
    let lb = Lb::start().await;
    let metrics = lb.operator().await.get("/metrics").await.body;
    let metrics = String::from_utf8(metrics).expect("text");
    let rules = super::deployed("prometheus-rules.yml");
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let names: Vec<&str> =
        rules.split(|c| !is_name(c)).filter(|word| word.starts_with("pe_lb_")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}");
    }
}
