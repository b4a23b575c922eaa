//! Health, readiness, metrics.

use crate::client::JSON;
use crate::lb::Lb;
use crate::worker::{exited, result};

#[tokio::test]
async fn ready_is_who_had_a_job_go_through() {
    let mut lb = Lb::with("[queue]\nwait_ms = 50\n[canary]\nargs = [\"true\"]\n").await;
    let client = lb.client().await;
    assert_eq!(client.get("/healthz").await.status, 200);
    let not_ready = client.get("/readyz").await;
    assert_eq!(not_ready.status, 503);
    let reason = not_ready.json()["archs"]["x86_64"]["reason"].to_string();
    assert!(reason.contains("no worker"), "{reason}");

    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    lb.until(|census| census.parked == 1).await;
    // The failure is remembered for a moment; a client's job is proof at once.
    let sent = client.post(JSON, "*/*", r#"{"image":"busybox"}"#).await;
    let lease = parked.lease().await.expect("the job");
    assert_eq!(worker.done(lease.head.lease, exited(1), &result(b"", &[])).await, 204);
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
    let ready = client.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["ready"]), (200, &true.into()));
}

#[tokio::test]
async fn one_canary_serves_all_who_ask() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    let client = lb.client().await;
    let asked = [
        client.begin(http::Method::GET, "/readyz", &[], true).await,
        client.begin(http::Method::GET, "/readyz", &[], true).await,
    ];
    let lease = parked.lease().await.expect("the canary");
    assert_eq!(lease.head.spec.args, ["true"]);
    assert!(lease.head.request_id.starts_with("canary-"));
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    for asked in asked {
        assert_eq!(asked.answer().await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn a_canary_that_fails_is_not_ready() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    let client = lb.client().await;
    let asked = client.begin(http::Method::GET, "/readyz", &[], true).await;
    let lease = parked.lease().await.expect("the canary");
    assert_eq!(worker.done(lease.head.lease, exited(127), &result(b"", &[])).await, 204);
    let answer = asked.answer().await.expect("an answer");
    assert_eq!(answer.status, 503);
    assert!(answer.json()["archs"]["x86_64"]["reason"].to_string().contains("127"));
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let (answer, ()) = tokio::join!(client.run_json(r#"{"image":"busybox"}"#), worker.serve_one());
    assert_eq!(answer.status, 200);
    client.run_json("{}").await;
    client.get("/not/a/route").await;
    let text = lb.operator().await.get("/metrics").await.body;
    let text = String::from_utf8(text).expect("text");
    for line in [
        "pe_lb_requests_total{route=\"run\",status=\"200\"} 1",
        "pe_lb_requests_total{route=\"run\",status=\"400\"} 1",
        "pe_lb_requests_total{route=\"other\",status=\"404\"} 1",
        "pe_lb_jobs_total{outcome=\"exited\"} 1",
        "pe_lb_refusals_total{kind=\"bad-request\"} 1",
        "pe_lb_match_wait_seconds_count 1",
        "pe_lb_phase_seconds_count{phase=\"run\"} 1",
        "pe_lb_workers 1",
        "pe_lb_connections{",
        "pe_lb_worker_connections 1",
        "pe_lb_queue_depth 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
