//! Bounds: sizes, times, counts.

use bytes::Bytes;
use futures_util::future::poll_fn;
use http::{Method, StatusCode};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::client::{BINARY, Client, JSON, Sent};
use crate::lb::Lb;
use crate::worker::{exited, result};

/// Run anew each time: these tests are about runs.
const JOB: &str = r#"{"image":"busybox","cache":"off"}"#;

/// Sends blanks for ever, until the answer comes.
async fn flood(mut sent: Sent) -> StatusCode {
    let blanks = Bytes::from(vec![b' '; 64 * 1024]);
    loop {
        sent.body.reserve_capacity(blanks.len());
        tokio::select! {
            biased;
            response = &mut sent.response => return response.expect("an answer").status(),
            capacity = poll_fn(|cx| sent.body.poll_capacity(cx)) => {
                let Some(Ok(capacity)) = capacity else {
                    return sent.response.await.expect("an answer").status();
                };
                let piece = blanks.slice(..capacity.min(blanks.len()));
                if sent.body.send_data(piece, false).is_err() {
                    return sent.response.await.expect("an answer").status();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_over_its_cap_is_cut_off_with_and_without_a_length() {
    let lb = Lb::start().await;
    for form in [JSON, BINARY] {
        let client = lb.client().await;
        let headers = [("content-type", form), ("content-length", "100000000")];
        let sent = client.begin(Method::POST, "/api/v1/run", &headers, false).await;
        let status = sent.response.await.expect("an answer at once").status();
        assert_eq!(status, 413, "{form}: stated");
    }
    let client = lb.client().await;
    let sent = client.begin(Method::POST, "/api/v1/run", &[("content-type", JSON)], false).await;
    assert_eq!(flood(sent).await, 413, "not stated");
}

#[tokio::test]
async fn files_over_the_archives_cap_are_refused() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let file = "x".repeat(17 * 1024 * 1024);
    let body = format!(r#"{{"image":"busybox","files":{{"a":"{file}"}}}}"#);
    let answer = client.post(JSON, "*/*", body).await.answer().await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (413, "too-large"));
}

#[tokio::test]
async fn a_slow_upload_holds_no_slot() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    lb.until(|census| census.parked == 1).await;
    let client = lb.client().await;
    let mut slow =
        client.begin(Method::POST, "/api/v1/run", &[("content-type", JSON)], false).await;
    slow.body.send_data(Bytes::from_static(b"{\"image\":"), false).expect("an open stream");
    let fast = client.post(JSON, "*/*", JOB).await;
    let lease = parked.lease().await.expect("the other job");
    assert_eq!(lb.until(|census| census.leased == 1).await.jobs, 1);
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(fast.answer().await.expect("an answer").status, 200);
    let parked = worker.park().await;
    slow.body.send_data(Bytes::from_static(b"\"busybox\"}"), true).expect("an open stream");
    let lease = parked.lease().await.expect("the slow job");
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(slow.answer().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn an_upload_that_stops_is_answered_with_408() {
    let lb = Lb::with("[times]\nbody_idle_ms = 20\n").await;
    let client = lb.client().await;
    let sent = client.begin(Method::POST, "/api/v1/run", &[("content-type", JSON)], false).await;
    let answer = sent.answer().await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (408, "request-timeout"));
}

#[tokio::test]
async fn a_full_queue_is_a_problem_of_capacity() {
    let mut lb = Lb::with("[queue]\njobs_max = 1\n").await;
    let client = lb.client().await;
    let _first = client.post(JSON, "*/*", JOB).await;
    lb.until(|census| census.waiting == 1).await;
    let second = client.run_json(JOB).await;
    assert_eq!((second.status.as_u16(), second.problem().as_str()), (503, "queue-full"));
    assert_eq!(second.header("retry-after"), "5");
    assert_eq!(second.json()["retry"], true);
    assert_eq!(second.json()["fault"], "capacity");
}

#[tokio::test]
async fn a_job_that_no_slot_takes_in_time_is_told_why() {
    let mut lb = Lb::with("[queue]\nwait_ms = 1\n").await;
    let client = lb.client().await;
    let nobody = client.run_json(JOB).await;
    assert_eq!((nobody.status.as_u16(), nobody.problem().as_str()), (503, "no-worker"));
    let _worker = lb.worker("busy").await;
    lb.until(|census| census.workers == 1).await;
    let late = client.run_json(JOB).await;
    assert_eq!((late.status.as_u16(), late.problem().as_str()), (503, "queue-timeout"));
}

#[tokio::test]
async fn an_image_that_no_worker_has_is_refused_at_once() {
    let mut lb = Lb::with("[times]\nworker_grace_ms = 1\n").await;
    let _worker = lb.worker("w1").await;
    lb.until(|census| census.workers == 1).await;
    let answer = lb.client().await.run_json(r#"{"image":"other"}"#).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, "no-worker"));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_loses_its_connection_and_not_the_worker() {
    let mut lb = Lb::with("[times]\nstall_ms = 50\n").await;
    let worker = lb.worker("w1").await;
    let client = Client::with(lb.clients, h2::client::Builder::new().initial_window_size(0)).await;
    let parked = worker.park().await;
    let sent = client.post(JSON, BINARY, JOB).await;
    let held = parked.lease().await.expect("the job");
    let lease = held.head.lease;
    let archive = result(b"", &[("f", &[7; 1_000_000])]);
    assert_eq!(worker.done(lease, exited(0), &archive).await, 204, "the worker is let go");
    lb.until(|census| census.jobs == 0).await;
    let body = sent.response.await.expect("a head").into_body();
    assert!(crate::client::read(body).await.is_err(), "the connection was broken off");
    let metrics = lb.operator().await.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body).expect("text");
    assert!(metrics.contains("pe_lb_connections_ended_total{how=\"stalled\"} 1"), "{metrics}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let lb = Lb::with("[times]\nidle_ms = 20\nstall_ms = 40\n").await;
    let mut silent = TcpStream::connect(lb.clients).await.expect("a listener");
    assert_eq!(silent.read(&mut [0; 16]).await.expect("a close"), 0);
    let client = lb.client().await;
    client.ended().await.expect("GOAWAY");
}

#[tokio::test]
async fn there_are_no_more_connections_than_set() {
    let lb = Lb::with("[connections]\nmax = 1\n").await;
    let first = lb.client().await;
    assert_eq!(first.get("/healthz").await.status, 200);
    // Accepted by the kernel, served only when the first is gone.
    let stream = TcpStream::connect(lb.clients).await.expect("a listener");
    let handshake = h2::client::Builder::new().handshake::<_, Bytes>(stream);
    drop(first);
    let (mut send, driver) = handshake.await.expect("HTTP/2");
    let mut connection = tokio::task::JoinSet::new();
    connection.spawn(driver);
    let request = http::Request::get("http://lb/healthz").body(()).expect("a request");
    let (response, _) = send.send_request(request, true).expect("a stream");
    assert_eq!(response.await.expect("an answer").status(), 200);
}
