//! Jobs whose client, worker or result is lost.

use pe_proto::Outcome;
use pe_proto::outcome::Fault;
use serde_json::json;

use crate::client::{BINARY, JSON};
use crate::lb::Lb;
use crate::worker::{exited, result};

/// Run anew each time: these tests are about runs.
const JOB: &str = r#"{"image":"busybox","cache":"off"}"#;

#[tokio::test]
async fn a_client_that_hangs_up_while_queued_leaves_no_entry() {
    let mut lb = Lb::start().await;
    let client = lb.client().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    lb.until(|census| census.waiting == 1).await;
    sent.hang_up();
    lb.until(|census| census.jobs == 0).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_while_running_resets_the_lease() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let lease = parked.lease().await.expect("the job");
    let id = lease.head.lease;
    sent.hang_up();
    assert_eq!(lease.ended().await, Err(Some(h2::Reason::CANCEL)));
    lb.until(|census| census.jobs == 0 && census.leased == 0).await;
    let late = worker.done(id, exited(0), &result(b"", &[])).await;
    assert_eq!(late, 409, "a result after the cancel");
}

#[tokio::test]
async fn jobs_of_a_worker_that_is_killed_are_run_elsewhere() {
    let mut lb = Lb::start().await;
    let doomed = lb.worker("doomed").await;
    let client = lb.client().await;
    let mut leases = Vec::new();
    let mut sent = Vec::new();
    for _ in 0..10 {
        let parked = doomed.park().await;
        sent.push(client.post(JSON, "*/*", JOB).await);
        leases.push(parked.lease().await.expect("a job"));
    }
    let heir = lb.worker("heir").await;
    doomed.kill().await;
    lb.until(|census| census.waiting == 10).await;
    for _ in 0..10 {
        heir.serve_one().await;
    }
    for sent in sent {
        let answer = sent.answer().await.expect("an answer");
        assert_eq!(answer.json()["ran_on"]["worker"], "heir");
    }
}

#[tokio::test]
async fn a_job_that_a_worker_gives_up_goes_to_another() {
    let lb = Lb::start().await;
    let first = lb.worker("first").await;
    let client = lb.client().await;
    let parked = first.park().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let lease = parked.lease().await.expect("the job");
    let second = lb.worker("second").await;
    // Parked first, and still not given the job that it gives up.
    let again = first.park().await;
    lease.reset();
    second.serve_one().await;
    assert_eq!(sent.answer().await.expect("an answer").json()["ran_on"]["worker"], "second");
    drop(again);
}

#[tokio::test]
async fn a_job_that_loses_three_workers_is_a_problem_of_ours() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    for _ in 0..3 {
        let worker = lb.worker("weak").await;
        worker.park().await.lease().await.expect("the job");
        worker.kill().await;
    }
    let answer = sent.answer().await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (502, "worker-lost"));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.json()["fault"], "us");
}

#[tokio::test]
async fn a_result_that_breaks_off_or_lies_is_run_again() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    for form in [JSON, BINARY] {
        let client = lb.client().await;
        let sent = client.post(JSON, form, JOB).await;

        let held = worker.park().await.lease().await.expect("the job");
        let lease = held.head.lease;
        let mut bad = result(b"hello", &[]);
        let last = bad.len() - 1;
        bad[last] ^= 1;
        assert_eq!(worker.done(lease, exited(0), &bad).await, 422, "a wrong count at its end");

        let held = worker.park().await.lease().await.expect("the job again");
        let lease = held.head.lease;
        let good = result(b"hello", &[]);
        let head = worker.done_head(lease, exited(0), good.len());
        let (_, mut stream) = worker.begin_done(&head).await;
        stream.send_data(good[..9].to_vec().into(), false).expect("an open stream");
        stream.send_reset(h2::Reason::INTERNAL_ERROR);

        worker.serve_one().await;
        assert_eq!(sent.answer().await.expect("an answer").status, 200, "{form}");
    }
}

#[tokio::test]
async fn a_result_of_another_length_than_promised_or_too_large_is_refused() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let good = result(b"hello", &[]);
    for promised in [good.len() + 1, 1 << 40] {
        let held = worker.park().await.lease().await.expect("the job");
        let lease = held.head.lease;
        let head = worker.done_head(lease, exited(0), promised);
        assert_eq!(worker.send_done(lease, &head, &good).await, 422);
    }
    worker.serve_one().await;
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_lie_in_the_middle_of_a_stream_aborts_it() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let mut sent = client.post(JSON, BINARY, JOB).await;
    let held = parked.lease().await.expect("the job");
    let lease = held.head.lease;
    let mut archive = result(b"", &[("f", &[7; 300_000])]);
    let last = archive.len() - 1;
    archive[last] ^= 1;
    let head = worker.done_head(lease, exited(0), archive.len());
    let (response, mut stream) = worker.begin_done(&head).await;
    let (first, rest) = archive.split_at(200_000);
    stream.send_data(first.to_vec().into(), false).expect("an open stream");
    let answer = (&mut sent.response).await.expect("a head");
    stream.send_data(rest.to_vec().into(), true).expect("an open stream");
    let broken = crate::client::read(answer.into_body()).await.expect_err("a reset");
    assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR));
    assert_eq!(response.await.expect("an answer").status(), 422);
}

#[tokio::test]
async fn a_vm_that_a_worker_lost_is_tried_once_more_and_then_told_with_what_it_saved() {
    let lb = Lb::start().await;
    let first = lb.worker("first").await;
    let second = lb.worker("second").await;
    let client = lb.client().await;
    let lost = || Outcome::Lost { fault: Fault::Us, reason: "vmm died".to_owned() };
    for is_lost_again in [false, true] {
        let parked = first.park().await;
        let sent = client.post(JSON, BINARY, JOB).await;
        let held = parked.lease().await.expect("the job");
        let lease = held.head.lease;
        assert_eq!(first.done(lease, lost(), &result(b"first", &[])).await, 204);
        let held = second.park().await.lease().await.expect("the job again");
        let lease = held.head.lease;
        let outcome = if is_lost_again { lost() } else { exited(0) };
        assert_eq!(second.done(lease, outcome, &result(b"second", &[])).await, 204);
        let answer = sent.answer().await.expect("an answer");
        assert_eq!(answer.status, 200);
        let (head, archive) = answer.binary();
        assert_eq!(archive, result(b"second", &[]));
        let expected = match is_lost_again {
            true => json!({"kind":"lost","fault":"us","reason":"vmm died"}),
            false => json!({"kind":"exited","code":0}),
        };
        assert_eq!(head["outcome"], expected);
    }
}

#[tokio::test]
async fn a_worker_that_does_not_answer_in_time_is_ended_by_our_clock() {
    let lb = Lb::with("[times]\nlease_grace_ms = 1\n").await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let sent = client.post(JSON, "*/*", r#"{"image":"busybox","limits":{"wall_ms":1}}"#).await;
    assert_eq!(parked.reset_reason().await, Some(h2::Reason::CANCEL));
    let answer = sent.answer().await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["outcome"], json!({"kind":"timed_out","clock":"lb"}));
}
