//! One run of h2load, and what it and the kernel say about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::machine::Cores;
use crate::process::Process;
use crate::stats::quantile;

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Connections.
    pub(crate) clients: u32,
    /// Requests at a time on each.
    pub(crate) streams: u32,
    /// HTTP/1.1 in place of HTTP/2.
    pub(crate) is_http1: bool,
    /// A body to post, and its type.
    pub(crate) post: Option<(PathBuf, &'static str)>,
    /// Requests in a second, all connections together; as many as possible without.
    pub(crate) rate: Option<f64>,
}

impl Load {
    /// Reads over HTTP/2.
    pub(crate) fn get(clients: u32, streams: u32) -> Self {
        Self { clients, streams, is_http1: false, post: None, rate: None }
    }

    /// Jobs over HTTP/2.
    pub(crate) fn post(clients: u32, streams: u32, body: &Path, media_type: &'static str) -> Self {
        let post = Some((body.to_owned(), media_type));
        Self { clients, streams, is_http1: false, post, rate: None }
    }

    /// The same over HTTP/1.1.
    pub(crate) fn http1(self) -> Self {
        Self { is_http1: true, ..self }
    }

    /// The same at a fixed rate.
    pub(crate) fn at(self, rate: f64) -> Self {
        Self { rate: Some(rate), ..self }
    }

    /// In words.
    pub(crate) fn told(&self) -> String {
        let Self { clients, streams, .. } = self;
        match (self.rate, streams) {
            (Some(rate), _) => format!("{clients} × {streams}, {rate:.0}/s"),
            (None, _) => format!("{clients} × {streams}"),
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shot {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// Answers in a second of the server's processor time: independent of what else the machine
    /// does, and of a load that cannot keep up.
    pub(crate) per_cpu_second: f64,
    /// Microseconds, of runs at a fixed rate.
    pub(crate) p50_us: f64,
    /// See above.
    pub(crate) p99_us: f64,
}

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    /// Before anything is counted.
    pub(crate) warm_up: Duration,
    /// What is counted.
    pub(crate) measured: Duration,
}

/// Drives a server with a load. Every answer must be a good one.
pub(crate) fn shoot(
    cores: Cores,
    load: &Load,
    url: &str,
    server: &Process,
    length: Length,
    dir: &Path,
) -> anyhow::Result<Shot> {
    let log = dir.join("h2load.log");
    // It is appended to.
    let _ = fs::remove_file(&log);
    let mut command = Command::new("taskset");
    command.args(["-c", &cores.load.to_string(), "h2load", "-t", "1"]);
    command.args(["-c", &load.clients.to_string(), "-m", &load.streams.to_string()]);
    command.arg("-D").arg(format!("{}ms", length.measured.as_millis()));
    command.arg(format!("--warm-up-time={}ms", length.warm_up.as_millis()));
    if load.is_http1 {
        command.arg("--h1");
    }
    if let Some((body, media_type)) = &load.post {
        command.arg("-d").arg(body).arg("-H").arg(format!("content-type: {media_type}"));
    }
    if let Some(rate) = load.rate {
        let each = (rate / f64::from(load.clients)).max(1.0);
        command.arg(format!("--rps={each:.0}")).arg("--log-file").arg(&log);
    }
    let (before, start) = (server.cpu(), Instant::now());
    let output = command.arg(url).output().context("starting h2load")?;
    let (took, used) = (start.elapsed(), server.cpu().saturating_sub(before));
    let text = String::from_utf8_lossy(&output.stdout);
    let told = || format!("{url}: h2load said: {text}{}", String::from_utf8_lossy(&output.stderr));
    let rate = rate_of(&text).with_context(told)?;
    anyhow::ensure!(are_all_good(&text), told());
    // What the server used before and after the measured time is in proportion the same.
    let busy = (used.as_secs_f64() / took.as_secs_f64()).max(0.001);
    let times = load.rate.map(|_| times(&log)).transpose()?.unwrap_or_default();
    Ok(Shot {
        rate,
        per_cpu_second: rate / busy,
        p50_us: quantile(times.iter().copied(), 0.5),
        p99_us: quantile(times.iter().copied(), 0.99),
    })
}

/// From `finished in 1.50s, 12345.67 req/s, 50.00MB/s`.
fn rate_of(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("finished in"))?;
    line.split(", ").find_map(|part| part.strip_suffix(" req/s"))?.parse().ok()
}

/// Whether there were answers, all of them 2xx, and no request failed.
fn are_all_good(text: &str) -> bool {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let counts = |line: &str| -> Vec<(u64, String)> {
        let part = |part: &str| {
            let (count, what) = part.trim().split_once(' ')?;
            Some((count.parse().ok()?, what.to_owned()))
        };
        line.split(',').filter_map(part).collect()
    };
    let statuses = counts(line("status codes:").unwrap_or_default());
    let requests = counts(line("requests:").unwrap_or_default());
    let count = |counts: &[(u64, String)], name: &str| {
        counts.iter().find(|(_, what)| what == name).map_or(0, |(count, _)| *count)
    };
    count(&statuses, "2xx") > 0
        && ["3xx", "4xx", "5xx"].iter().all(|name| count(&statuses, name) == 0)
        && ["errored", "timeout"].iter().all(|name| count(&requests, name) == 0)
}

/// The third column of the log is what a request took, in microseconds.
fn times(log: &Path) -> anyhow::Result<Vec<f64>> {
    let text = fs::read_to_string(log).context("h2load wrote no times")?;
    let time = |line: &str| line.split('\t').nth(2)?.trim().parse::<f64>().ok();
    Ok(text.lines().filter_map(time).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
finished in 1.50s, 41234.67 req/s, 150.00MB/s
requests: 61852 total, 61852 started, 61852 done, 61852 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 61852 2xx, 0 3xx, 0 4xx, 0 5xx
";

    #[test]
    fn what_h2load_says_is_read() {
        assert_eq!(rate_of(TEXT), Some(41234.67));
        assert!(are_all_good(TEXT));
        assert!(!are_all_good(&TEXT.replace("0 5xx", "1 5xx")));
        assert!(!are_all_good(&TEXT.replace("0 errored", "3 errored")));
        assert!(!are_all_good(""));
    }
}
