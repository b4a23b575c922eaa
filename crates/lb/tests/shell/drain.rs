//! The end: in this process, and of the real one by SIGTERM.

use std::process::Stdio;

use pe_lb::server::Drained;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::client::JSON;
use crate::lb::Lb;
use crate::worker::{exited, result};

/// Run anew each time: these tests are about runs.
const JOB: &str = r#"{"image":"busybox","cache":"off"}"#;

#[tokio::test]
async fn a_drain_finishes_jobs_refuses_new_ones_and_lets_workers_go() {
    let mut lb = Lb::with("[times]\nsettle_ms = 0\n").await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let idle = worker.park().await;
    lb.until(|census| census.parked == 2).await;
    // The most recently parked one gets it.
    let running = client.post(JSON, "*/*", JOB).await;
    let lease = idle.lease().await.expect("the job");
    // A stream that is open before the drain, with a job that comes during it.
    let headers = [("content-type", JSON)];
    let mut late = client.begin(http::Method::POST, "/api/v1/run", &headers, false).await;
    assert_eq!(client.get("/healthz").await.status, 200, "the stream was seen");
    lb.stop();
    // New connections are refused once the listener is gone, and the broker drains before that.
    while tokio::net::TcpStream::connect(lb.clients).await.is_ok() {
        tokio::task::yield_now().await;
    }
    late.body.send_data(JOB.into(), true).expect("an open stream");
    let late = late.answer().await.expect("an answer");
    assert_eq!((late.status.as_u16(), late.problem().as_str()), (503, "draining"));
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(running.answer().await.expect("an answer").status, 200);
    assert_eq!(parked.status().await, 204, "released when no job is left");
    client.ended().await.expect("GOAWAY");
    let (drained, ()) = tokio::join!(lb.ended(), worker.ended());
    assert_eq!(drained, Drained::Wholly);
}

#[tokio::test]
async fn what_was_on_its_way_when_the_drain_began_is_served() {
    let mut lb = Lb::with("[times]\nsettle_ms = 60000\n").await;
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    lb.until(|census| census.parked == 1).await;
    let mut silent = TcpStream::connect(lb.clients).await.expect("a listener");
    // Served in order, so the silent one is known when this is answered.
    assert_eq!(lb.client().await.get("/healthz").await.status, 200);
    lb.stop();
    while TcpStream::connect(lb.clients).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let request = format!(
        "POST /api/v1/run HTTP/1.1\r\nhost: lb\r\ncontent-type: {JSON}\r\n\
         content-length: {}\r\n\r\n{JOB}",
        JOB.len()
    );
    silent.write_all(request.as_bytes()).await.expect("a socket");
    let lease = parked.lease().await.expect("the job");
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.expect("an answer, and the end");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(lb.ended().await, Drained::Wholly);
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_hold_up_a_drain() {
    let lb = Lb::with("[times]\nsettle_ms = 1\n").await;
    let mut silent = TcpStream::connect(lb.clients).await.expect("a listener");
    let mut worker = TcpStream::connect(lb.workers).await.expect("a listener");
    // Served in order, so the silent ones are known when these are answered.
    assert_eq!(lb.client().await.get("/healthz").await.status, 200);
    lb.worker("w1").await.kill().await;
    assert_eq!(lb.ended().await, Drained::Wholly);
    assert_eq!(silent.read(&mut [0; 16]).await.expect("a close"), 0);
    // HTTP/2 settings may come first.
    while worker.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
}

#[tokio::test]
async fn a_drain_has_a_deadline() {
    let mut lb = Lb::with("[times]\ndrain_ms = 50\n").await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let _running = client.post(JSON, "*/*", JOB).await;
    let _lease = parked.lease().await.expect("the job");
    lb.stop();
    assert_eq!(lb.ended().await, Drained::AtDeadline);
}

#[tokio::test]
async fn the_process_ends_with_0_after_sigterm_and_64_for_bad_settings() {
    let files = tempfile::tempdir().expect("a directory");
    let catalogue = files.path().join("catalogue.json");
    std::fs::write(&catalogue, r#"{"version":2,"images":[]}"#).expect("a file");
    let mut lb = Command::new(env!("CARGO_BIN_EXE_pe-lb"))
        .args(["--listen", "127.0.0.1:0", "--listen-workers", "127.0.0.1:0"])
        .args(["--listen-admin", "127.0.0.1:0", "--log-json"])
        .arg("--catalogue")
        .arg(&catalogue)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary");
    let mut log = BufReader::new(lb.stderr.take().expect("a pipe")).lines();
    let line = log.next_line().await.expect("a pipe").expect("a line");
    assert!(line.contains("listening"), "{line}");
    let pid = lb.id().expect("it runs").to_string();
    let kill = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill");
    assert!(kill.success());
    assert_eq!(lb.wait().await.expect("an end").code(), Some(0));

    let bad = Command::new(env!("CARGO_BIN_EXE_pe-lb"))
        .args(["--catalogue", "nowhere.json"])
        .output()
        .await
        .expect("the binary");
    assert_eq!(bad.status.code(), Some(64));
    let said = String::from_utf8_lossy(&bad.stderr);
    assert!(said.contains("nowhere.json"), "{said}");
}
