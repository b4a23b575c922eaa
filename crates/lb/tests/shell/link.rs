//! What the worker link refuses.

use pe_proto::link::{LeaseId, SessionId, paths};

use crate::client::JSON;
use crate::lb::{Lb, busybox, other};
use crate::worker::{SLOTS, ScriptedWorker, exited, result};

/// Run anew each time: these tests are about runs.
const JOB: &str = r#"{"image":"busybox","cache":"off"}"#;

#[tokio::test]
async fn a_result_for_a_lease_of_another_worker_is_refused_and_does_no_harm() {
    let lb = Lb::start().await;
    let holder = lb.worker("holder").await;
    let thief = lb.worker("thief").await;
    let client = lb.client().await;
    let parked = holder.park().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let held = parked.lease().await.expect("the job");
    let lease = held.head.lease;
    let lie = result(b"lie", &[]);
    assert_eq!(thief.done(lease, exited(0), &lie).await, 409);
    assert_eq!(holder.done(LeaseId(lease.0 + 1), exited(0), &lie).await, 409);

    let mut stolen = thief.done_head(lease, exited(0), lie.len());
    stolen.session = holder.session;
    assert_eq!(thief.send_done(lease, &stolen, &lie).await, 409, "another's session");
    let head = holder.done_head(LeaseId(99), exited(0), lie.len());
    assert_eq!(holder.send_done(lease, &head, &lie).await, 409, "another lease than in the path");

    assert_eq!(holder.done(lease, exited(0), &result(b"truth", &[])).await, 204);
    assert_eq!(holder.done(lease, exited(0), &lie).await, 409, "a second answer");
    assert_eq!(sent.answer().await.expect("an answer").json()["stdout"], "truth");
    let metrics = lb.operator().await.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body).expect("text");
    assert!(metrics.contains("pe_lb_link_refusals_total{kind=\"not-held\"} 4"), "{metrics}");
    assert!(metrics.contains("pe_lb_link_refusals_total{kind=\"session\"} 1"), "{metrics}");
}

#[tokio::test]
async fn requests_without_hello_or_out_of_form_are_refused() {
    let lb = Lb::start().await;
    let mut worker = ScriptedWorker::silent(lb.workers, "w1").await;
    assert_eq!(worker.park().await.status().await, 409, "no hello");
    assert_eq!(worker.hello(&[busybox()]).await, 200);
    assert_eq!(worker.hello(&[busybox()]).await, 409, "hello twice");
    assert_eq!(worker.post("/worker/v1/other", Vec::new()).await.0, 404);
    assert_eq!(worker.post(paths::READY, Vec::new()).await.0, 400, "cut off");
    assert_eq!(worker.post(paths::READY, b"PELR\x01\0\0\0\xff\xff\xff\xff".to_vec()).await.0, 400);
    assert_eq!(worker.post(paths::READY, vec![b'x'; 100_000]).await.0, 400);
    assert_eq!(worker.post("/worker/v1/done/xyz", Vec::new()).await.0, 400);
    worker.session = SessionId([9; 16]);
    assert_eq!(worker.park().await.status().await, 409, "another session");
}

#[tokio::test]
async fn a_worker_needs_the_token() {
    let lb = Lb::with_token("", Some("a-token-of-workers\n")).await;
    let hello = async |token: Option<&str>| {
        let mut worker = ScriptedWorker::silent(lb.workers, "w1").await;
        if let Some(token) = token {
            worker = worker.with_token(token);
        }
        let status = worker.hello(&[]).await;
        (status, worker)
    };
    assert_eq!(hello(Some("a-token-of-workers")).await.0, 200);
    let (missing, wrong) = tokio::join!(hello(None), hello(Some("a-token-of-worker")));
    for (status, worker) in [missing, wrong] {
        assert_eq!(status, 401);
        // No second guess on the same connection.
        worker.ended().await;
    }
}

#[tokio::test]
async fn no_more_slots_are_parked_than_hello_said() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let mut parked = Vec::new();
    for _ in 0..SLOTS {
        parked.push(worker.park().await);
    }
    lb.until(|census| census.parked == SLOTS as usize).await;
    assert_eq!(worker.park().await.status().await, 429);
    drop(parked);
    lb.until(|census| census.parked == 0).await;
}

#[tokio::test]
async fn a_poll_ends_without_a_job_in_its_time() {
    let lb = Lb::with("[times]\npoll_ms = 2\n").await;
    let worker = lb.worker("w1").await;
    assert_eq!(worker.park().await.status().await, 204);
}

#[tokio::test]
async fn a_draining_worker_gets_no_more_jobs() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    lb.until(|census| census.parked == 1).await;
    assert_eq!(worker.state(true, &[busybox()]).await, 204);
    assert_eq!(parked.status().await, 204);
    assert_eq!(worker.park().await.status().await, 204, "at once");
}

#[tokio::test]
async fn an_image_that_a_worker_gains_is_used_at_once() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let sent = client.post(JSON, "*/*", r#"{"image":"other"}"#).await;
    lb.until(|census| census.waiting == 1 && census.parked == 1).await;
    assert_eq!(worker.state(false, &[busybox(), other()]).await, 204);
    let lease = parked.lease().await.expect("the job");
    assert_eq!(lease.head.spec.image, other());
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn slots_of_a_connection_are_gone_with_it() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let _parked = (worker.park().await, worker.park().await);
    lb.until(|census| census.parked == 2 && census.workers == 1).await;
    worker.kill().await;
    lb.until(|census| census.parked == 0 && census.workers == 0).await;
}
