//! Identical jobs at the same time.

use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::{BINARY, Client, JSON, Sent};
use crate::lb::Lb;
use crate::worker::{Lease, exited, result};

const JOB: &str = r#"{"image":"busybox"}"#;

async fn metric(operator: &Client, line: &str) -> bool {
    let text = operator.get("/metrics").await.body;
    String::from_utf8(text).expect("text").lines().any(|each| each == line)
}

/// Waits until so many jobs have joined others.
async fn until_joined(lb: &Lb, count: u32) {
    let operator = lb.operator().await;
    while !metric(&operator, &format!("pe_lb_flight_joins_total {count}")).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn identical_jobs_share_one_run() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    let first = lb.client().await;
    let mut sent = vec![first.post(JSON, "*/*", JOB).await];
    let lease = parked.lease().await.expect("the job");
    let idle = worker.park().await;
    let mut clients = Vec::new();
    for accept in [JSON, BINARY, JSON] {
        let client = lb.client().await;
        sent.push(client.post(JSON, accept, JOB).await);
        clients.push(client);
    }
    until_joined(&lb, 3).await;
    assert_eq!(lb.census().jobs, 1);
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"one", &[])).await, 204);
    let mut statuses = Vec::new();
    for sent in sent {
        let answer = sent.answer().await.expect("an answer");
        assert_eq!(answer.status, 200);
        let head: Value = match answer.header("content-type") {
            BINARY => {
                assert_eq!(answer.binary().1, result(b"one", &[]));
                answer.binary().0
            }
            _ => answer.json(),
        };
        statuses.push(head["cache"].as_str().expect("text").to_owned());
    }
    assert_eq!(statuses, ["miss", "joined", "joined", "joined"]);
    let operator = lb.operator().await;
    assert!(metric(&operator, "pe_lb_match_wait_seconds_count 1").await, "one lease");
    assert!(metric(&operator, "pe_lb_flights 0").await, "nothing is left");
    drop(idle);
}

#[tokio::test]
async fn jobs_that_differ_or_want_a_run_of_their_own_share_none() {
    let mut lb = Lb::start().await;
    let client = lb.client().await;
    let jobs = [
        JOB,
        r#"{"image":"busybox","args":["x"]}"#,
        r#"{"image":"busybox","cache":"off"}"#,
        r#"{"image":"busybox","cache":"off"}"#,
        r#"{"image":"busybox","cache":"refresh"}"#,
    ];
    let mut sent = Vec::new();
    for (number, job) in jobs.into_iter().enumerate() {
        sent.push(client.post(JSON, "*/*", job).await);
        lb.until(|census| census.waiting == number + 1).await;
    }
    let worker = lb.worker("w1").await;
    for _ in jobs {
        worker.serve_one().await;
    }
    for sent in sent {
        assert_eq!(sent.answer().await.expect("an answer").json()["cache"], "miss");
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_flight_harms_nobody_and_the_last_one_ends_it() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    // The first one, on whose behalf the run was begun, leaves; then all do.
    for does_last_leave in [false, true] {
        let job = format!(r#"{{"image":"busybox","args":["{does_last_leave}"]}}"#);
        let parked = worker.park().await;
        let first = client.post(JSON, "*/*", job.clone()).await;
        let lease = parked.lease().await.expect("the job");
        let second = client.post(JSON, "*/*", job).await;
        until_joined(&lb, 1 + u32::from(does_last_leave)).await;
        first.hang_up();
        // Served after the reset on the same connection.
        assert_eq!(client.get("/healthz").await.status, 200);
        assert_eq!(lb.census().leased, 1);
        if does_last_leave {
            second.hang_up();
            assert_eq!(lease.ended().await, Err(Some(h2::Reason::CANCEL)));
        } else {
            assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"x", &[])).await, 204);
            let answer = second.answer().await.expect("an answer");
            assert_eq!(answer.json()["cache"], "joined");
        }
        lb.until(|census| census.jobs == 0 && census.leased == 0).await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_to_everybody_on_the_flight() {
    let mut lb = Lb::with("[queue]\nwait_ms = 100\n").await;
    let _worker = lb.worker("busy").await;
    lb.until(|census| census.workers == 1).await;
    let client = lb.client().await;
    let sent = [client.post(JSON, "*/*", JOB).await, client.post(BINARY, "*/*", JOB).await];
    let [first, second] = sent;
    drop(second);
    let second = client.post(JSON, BINARY, JOB).await;
    for sent in [first, second] {
        let answer = sent.answer().await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, "queue-timeout"));
    }
}

/// Begins a job with a large result that is sent in two parts.
async fn begin_large(lb: &Lb, client: &Client) -> (Sent, Lease, Vec<u8>, LargeResult) {
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    let job = r#"{"image":"busybox","limits":{"output_bytes":8388608}}"#;
    let sent = client.post(JSON, BINARY, job).await;
    let lease = parked.lease().await.expect("the job");
    let content: Vec<u8> = (0..6_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let archive = result(b"", &[("f", &content)]);
    let head = worker.done_head(lease.head.lease, exited(0), archive.len());
    let (response, stream) = worker.begin_done(&head).await;
    (sent, lease, archive, LargeResult { response, stream, _worker: worker })
}

struct LargeResult {
    response: h2::client::ResponseFuture,
    stream: h2::SendStream<Bytes>,
    _worker: crate::worker::ScriptedWorker,
}

#[tokio::test]
async fn a_client_that_comes_when_the_result_is_landing_gets_all_of_it() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let (mut sent, _lease, archive, mut large) = begin_large(&lb, &client).await;
    let (first, rest) = archive.split_at(200_000);
    large.stream.send_data(first.to_vec().into(), false).expect("an open stream");
    let early = (&mut sent.response).await.expect("a head, before all is here");
    let job = r#"{"image":"busybox","limits":{"output_bytes":8388608}}"#;
    let late = lb.client().await;
    let mut joined = late.post(JSON, BINARY, job).await;
    let late = (&mut joined.response).await.expect("a head at once");
    large.stream.send_data(rest.to_vec().into(), true).expect("an open stream");
    for answer in [early, late] {
        let body = crate::client::read(answer.into_body()).await.expect("all of it");
        assert!(body.ends_with(&archive));
    }
    assert_eq!(large.response.await.expect("an answer").status(), 204);
    // Everybody has left, and it is kept all the same: no worker is ready to run it again.
    let again = client.post(JSON, BINARY, job).await.answer().await.expect("an answer");
    assert_ne!(again.binary().0["cache"], "miss");
    assert!(again.body.ends_with(&archive));
}

#[tokio::test]
async fn a_slow_reader_holds_neither_the_worker_nor_others() {
    let mut lb = Lb::start().await;
    // Reads nothing at all of a result of megabytes.
    let slow = Client::with(lb.clients, h2::client::Builder::new().initial_window_size(0)).await;
    let (sent, _lease, archive, mut large) = begin_large(&lb, &slow).await;
    let job = r#"{"image":"busybox","limits":{"output_bytes":8388608}}"#;
    let fast = lb.client().await;
    let joined = fast.post(JSON, BINARY, job).await;
    until_joined(&lb, 1).await;
    large.stream.send_data(archive.clone().into(), true).expect("an open stream");
    assert_eq!(large.response.await.expect("an answer").status(), 204, "the worker is let go");
    lb.until(|census| census.jobs == 0).await;
    let body = joined.answer().await.expect("an answer").body;
    assert!(body.ends_with(&archive));
    // It still gets all of it when it reads at last.
    let mut body = sent.response.await.expect("a head").into_body();
    body.flow_control().release_capacity(0).expect("an open stream");
    drop(body);
}

#[tokio::test]
async fn a_result_that_breaks_off_is_run_again_for_who_saw_nothing_of_it() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let (mut sent, _lease, archive, mut large) = begin_large(&lb, &client).await;
    let job = r#"{"image":"busybox","limits":{"output_bytes":8388608}}"#;
    let waiting = client.post(JSON, JSON, job).await;
    until_joined(&lb, 1).await;
    large.stream.send_data(archive[..200_000].to_vec().into(), false).expect("an open stream");
    let begun = (&mut sent.response).await.expect("a head");
    large.stream.send_reset(h2::Reason::INTERNAL_ERROR);
    let broken = crate::client::read(begun.into_body()).await.expect_err("a reset");
    assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR));
    let heir = lb.worker("heir").await;
    heir.serve_one().await;
    let answer = waiting.answer().await.expect("an answer");
    assert_eq!((answer.status.as_u16(), &answer.json()["stdout"]), (200, &"hello\n".into()));
}

#[tokio::test]
async fn a_storm_of_one_job_is_one_run() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let mut storm = JoinSet::new();
    for _ in 0..8 {
        let client = lb.client().await;
        storm.spawn(async move {
            let mut told = Vec::new();
            for _ in 0..32 {
                let answer = client.run_json(JOB).await;
                assert_eq!(answer.status, 200);
                told.push(answer.json()["cache"].as_str().expect("text").to_owned());
            }
            told
        });
    }
    worker.serve_one().await;
    let told = storm.join_all().await.concat();
    assert_eq!(told.len(), 256);
    assert_eq!(told.iter().filter(|status| *status == "miss").count(), 1, "{told:?}");
}
