//! A client that is not ours: curl, over HTTP/1.1 and HTTP/2.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::lb::Lb;

/// The ways in which curl speaks to us.
const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// Whether curl is there; says loudly if not.
async fn has_curl() -> bool {
    let version = Command::new("curl").arg("--version").stdout(Stdio::null()).status().await;
    let is_there = version.is_ok_and(|status| status.success());
    if !is_there {
        let _ = writeln!(std::io::stderr(), "SKIPPED: curl is not installed");
    }
    is_there
}

fn curl(lb: &Lb, protocol: &str, args: &[&str], path: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "--noproxy", "*", protocol])
        .args(args)
        .arg(format!("http://{}{path}", lb.clients))
        .kill_on_drop(true);
    curl
}

#[tokio::test]
async fn curl_runs_a_job() {
    if !has_curl().await {
        return;
    }
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    for protocol in PROTOCOLS {
        let job = r#"{"image":"busybox","args":["echo","hello"],"cache":"off"}"#;
        let args = ["-H", "content-type: application/json", "-d", job];
        let mut curl = curl(&lb, protocol, &args, "/api/v1/run");
        let (output, ()) = tokio::join!(curl.output(), worker.serve_one());
        let answer: Value = serde_json::from_slice(&output.expect("curl").stdout).expect("JSON");
        assert_eq!(answer["stdout"], "hello\n", "{protocol}");
    }
}

#[tokio::test]
async fn curl_that_is_killed_takes_its_job_along() {
    if !has_curl().await {
        return;
    }
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    for protocol in PROTOCOLS {
        let args = ["--json", r#"{"image":"busybox"}"#];
        let mut queued = curl(&lb, protocol, &args, "/api/v1/run").spawn().expect("curl");
        lb.until(|census| census.waiting == 1).await;
        queued.kill().await.expect("curl runs");
        lb.until(|census| census.jobs == 0).await;

        let parked = worker.park().await;
        let mut running = curl(&lb, protocol, &args, "/api/v1/run").spawn().expect("curl");
        let lease = parked.lease().await.expect("the job");
        running.kill().await.expect("curl runs");
        assert_eq!(lease.ended().await, Err(Some(h2::Reason::CANCEL)), "{protocol}");
        lb.until(|census| census.jobs == 0).await;
    }
}

#[tokio::test]
async fn curl_sees_413_for_a_body_over_the_cap() {
    if !has_curl().await {
        return;
    }
    let lb = Lb::start().await;
    let mut body = tempfile::NamedTempFile::new().expect("a file");
    body.write_all(&vec![b' '; 30_000_000]).expect("space");
    let from = format!("@{}", body.path().display());
    for protocol in PROTOCOLS {
        for extra in ["content-type: application/json", "transfer-encoding: chunked"] {
            let args = [
                "-H",
                "content-type: application/json",
                "-H",
                extra,
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--data-binary",
                &from,
            ];
            let output = curl(&lb, protocol, &args, "/api/v1/run").output().await.expect("curl");
            let status = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                status,
                "413",
                "{protocol} {extra}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}
