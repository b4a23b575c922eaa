//! Jobs that go well: both forms, there and back.

use pe_proto::archive::{Encoder, Kind};
use serde_json::json;

use crate::client::{BINARY, JSON, binary_job};
use crate::lb::Lb;
use crate::worker::{exited, result};

const JOB: &str =
    r#"{"image":"busybox","args":["cat"],"stdin":"in","files":{"a/b":"x"},"cache":"off"}"#;

#[tokio::test]
async fn a_job_as_json_goes_to_a_worker_and_back() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let lease = parked.lease().await.expect("the job");
    assert_eq!(lease.head.spec.args, ["cat"]);
    assert_eq!(lease.head.spec.cwd, "/input");
    assert_eq!(lease.head.deadline_ms, 70_000);
    let mut expected = Encoder::new();
    expected.push(Kind::File, "input/a/b", b"x").expect("ok");
    expected.push(Kind::File, "stdin", b"in").expect("ok");
    assert_eq!(lease.archive, expected.finish());

    let archive = result(b"hello\n", &[("bin", b"\xff\x00"), ("t.txt", b"text")]);
    assert_eq!(worker.done(lease.head.lease, exited(3), &archive).await, 204);
    let request_id = lease.head.request_id.clone();
    assert_eq!(lease.ended().await, Ok(()), "the stream of the lease ends well");

    let answer = sent.answer().await.expect("an answer");
    assert_eq!(answer.status, 200);
    let said = answer.json();
    assert_eq!(said["outcome"], json!({"kind":"exited","code":3}));
    assert_eq!(said["stdout"], "hello\n");
    assert_eq!(said["stderr"], "");
    let files = json!({
        "bin": {"base64":"/wA=","mime":"application/octet-stream"},
        "t.txt": {"text":"text","mime":"text/plain"},
    });
    assert_eq!(said["files"], files);
    assert_eq!(said["ran_on"]["worker"], "w1", "as hello said, not as the result says");
    assert_eq!(said["phases"]["transfer_us"], 7);
    assert_eq!(said["job"], answer.header("pe-job"));
    assert_eq!(said["request_id"], answer.header("x-request-id"));
    assert_eq!(said["request_id"], request_id);
    assert!(answer.header("server-timing").contains("transfer;dur=0.007"), "{answer:?}");
}

#[tokio::test]
async fn the_binary_form_carries_the_same_job_and_the_exact_bytes() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let mut archive = Encoder::new();
    archive.push(Kind::File, "input/a/b", b"x").expect("ok");
    archive.push(Kind::File, "stdin", b"in").expect("ok");
    let body = binary_job(r#"{"image":"busybox","args":["cat"],"cache":"off"}"#, &archive.finish());
    let every_byte: Vec<u8> = (0..=255).collect();
    let archive = result(&every_byte, &[("f", &every_byte)]);

    let mut digests = Vec::new();
    for (content_type, body) in [(BINARY, body), (JSON, JOB.as_bytes().to_vec())] {
        let parked = worker.park().await;
        let sent = client.post(content_type, BINARY, body).await;
        let lease = parked.lease().await.expect("the job");
        assert_eq!(worker.done(lease.head.lease, exited(0), &archive).await, 204);
        let answer = sent.answer().await.expect("an answer");
        assert_eq!(answer.header("content-type"), BINARY);
        let (head, returned) = answer.binary();
        assert_eq!(head["outcome"]["code"], 0);
        assert_eq!(returned, archive);
        digests.push(answer.header("pe-job").to_owned());
    }
    assert_eq!(digests[0], digests[1], "one job has one digest in every form");
}

#[tokio::test]
async fn a_large_result_is_relayed_as_it_comes() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let parked = worker.park().await;
    let job = r#"{"image":"busybox","limits":{"output_bytes":4194304}}"#;
    let mut sent = client.post(JSON, BINARY, job).await;
    let lease = parked.lease().await.expect("the job");

    let content: Vec<u8> = (0..4_000_000u32).map(|number| number.to_le_bytes()[0]).collect();
    let archive = result(b"", &[("f", &content)]);
    let (first, rest) = archive.split_at(200_000);
    let head = worker.done_head(lease.head.lease, exited(0), archive.len());
    let (response, mut stream) = worker.begin_done(&head).await;
    stream.send_data(first.to_vec().into(), false).expect("an open stream");
    // The head is here while most of the result is still with the worker.
    let answer = (&mut sent.response).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    stream.send_data(rest.to_vec().into(), true).expect("an open stream");
    let body = crate::client::read(answer.into_body()).await.expect("all of it");
    assert!(body.ends_with(&archive));
    assert_eq!(response.await.expect("an answer").status(), 204);
}

#[tokio::test]
async fn a_large_job_arrives_whole() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let content = "0123456789".repeat(300_000);
    let body = serde_json::json!({"image":"busybox","files":{"f": &content}}).to_string();
    let parked = worker.park().await;
    let headers = [("content-type", JSON)];
    let mut sent = client.begin(http::Method::POST, "/api/v1/run", &headers, false).await;
    sent.body.send_data(body.into(), true).expect("an open stream");
    let lease = parked.lease().await.expect("the job");
    assert_eq!(lease.archive.len() as u64, lease.head.archive_bytes);
    assert!(lease.archive.windows(content.len()).any(|window| window == content.as_bytes()));
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_job_that_waits_is_leased_when_a_slot_comes() {
    let mut lb = Lb::start().await;
    let client = lb.client().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    lb.until(|census| census.waiting == 1).await;
    let worker = lb.worker("w1").await;
    worker.serve_one().await;
    let answer = sent.answer().await.expect("an answer").json();
    assert!(answer["phases"]["queue_us"].as_u64() > Some(0), "{answer}");
    drop(client);
    lb.until(|census| census.jobs == 0).await;
}
