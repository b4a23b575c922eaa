//! Results that are known: who gets them, in which form, and which are never kept.

use http::Method;
use pe_proto::Outcome;
use pe_proto::archive::{Encoder, Kind};
use pe_proto::outcome::{Clock, Fault};
use serde_json::json;

use crate::client::{Answer, BINARY, Client, JSON, binary_job};
use crate::lb::Lb;
use crate::worker::{ScriptedWorker, exited, result};

const JOB: &str = r#"{"image":"busybox","args":["cat"],"stdin":"in","files":{"a/b":"x"}}"#;

/// Posts a job and lets the worker answer it.
async fn run(client: &Client, worker: &ScriptedWorker, job: &str, archive: &[u8]) -> Answer {
    run_to(client, worker, job, exited(0), archive).await
}

async fn run_to(
    client: &Client,
    worker: &ScriptedWorker,
    job: &str,
    outcome: Outcome,
    archive: &[u8],
) -> Answer {
    let parked = worker.park().await;
    let sent = client.post(JSON, "*/*", job.to_owned()).await;
    let lease = parked.lease().await.expect("the job");
    assert_eq!(worker.done(lease.head.lease, outcome, archive).await, 204);
    sent.answer().await.expect("an answer")
}

fn results_path(answer: &Answer) -> String {
    format!("/api/v1/results/{}", answer.header("pe-job"))
}

#[tokio::test]
async fn a_job_that_was_run_is_answered_again_without_a_worker() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let archive = result(b"hello\n", &[("f", b"\xff")]);
    let miss = run(&client, &worker, JOB, &archive).await;
    assert_eq!(miss.json()["cache"], "miss");

    let hit = client.run_json(JOB).await;
    assert_eq!(hit.status, 200);
    let mut said = hit.json();
    assert_eq!(said["cache"], "hit");
    said["cache"] = "miss".into();
    assert_eq!(said, miss.json(), "the same in all else, the id of who ran it included");
    assert_ne!(said["request_id"], hit.header("x-request-id"));
    assert_eq!(hit.header("pe-job"), miss.header("pe-job"));
    assert_eq!(hit.header("cache-control"), "no-store", "an answer to a POST is for who asked");
}

#[tokio::test]
async fn one_job_has_one_entry_in_whatever_form_it_is_asked_for() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let archive = result(b"hello\n", &[("f", b"\xff")]);
    run(&client, &worker, JOB, &archive).await;
    let mut input = Encoder::new();
    input.push(Kind::File, "input/a/b", b"x").expect("ok");
    input.push(Kind::File, "stdin", b"in").expect("ok");
    let job = binary_job(r#"{"image":"busybox","args":["cat"]}"#, &input.finish());
    let sent = client.post(BINARY, "*/*", job).await;
    let hit = sent.answer().await.expect("an answer");
    let (head, returned) = hit.binary();
    assert_eq!((head["cache"].as_str(), returned), (Some("hit"), archive.as_slice()));
    let again = client.get(&results_path(&hit)).await;
    assert_eq!(again.json()["stdout"], "hello\n");
}

/// Threat case 37: nothing that makes another job is a hit, and nothing else makes one.
#[tokio::test]
async fn case_37_only_the_same_job_is_a_hit() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let one = run(&client, &worker, JOB, &result(b"one", &[])).await;
    // Other spellings of the same job.
    let same = [
        r#"{"files":{"a/b":"x"},"stdin":"in","args":["cat"],"image":"busybox"}"#,
        r#" {"image" : "busybox:1","args":["cat"],"stdin":{"base64":"aW4="},
            "files":{"a/b":{"base64":"eA=="}},"limits":{},"env":{}} "#,
        r#"{"image":"busybox","args":["cat"],"stdin":"in","files":{"a/b":"x"},
            "limits":{"wall_ms":10000},"requires":{"arch":"x86_64"},"cwd":"/input"}"#,
    ];
    for job in same {
        let hit = client.run_json(job).await;
        assert_eq!(hit.json()["cache"], "hit", "{job}");
        assert_eq!(hit.header("pe-job"), one.header("pe-job"));
    }
    let others = [
        r#"{"image":"busybox","args":["cat",""],"stdin":"in","files":{"a/b":"x"}}"#,
        r#"{"image":"busybox","args":["cat"],"stdin":"in ","files":{"a/b":"x"}}"#,
        r#"{"image":"busybox","args":["cat"],"stdin":"in","files":{"a/B":"x"}}"#,
        r#"{"image":"busybox","args":["cat"],"stdin":"in",
            "files":{"a/b":{"text":"x","executable":true}}}"#,
        r#"{"image":"busybox","args":["cat"],"stdin":"in","files":{"a/b":"x"},"env":{"A":""}}"#,
        r#"{"image":"busybox","args":["cat"],"stdin":"in","files":{"a/b":"x"},
            "limits":{"wall_ms":9999}}"#,
    ];
    for job in others {
        let miss = run(&client, &worker, job, &result(b"other", &[])).await;
        assert_eq!(
            (&miss.json()["cache"], &miss.json()["stdout"]),
            (&"miss".into(), &"other".into())
        );
        assert_ne!(miss.header("pe-job"), one.header("pe-job"), "{job}");
    }
    // What is twice in a request is no job at all.
    let twice =
        r#"{"image":"busybox","args":["cat"],"args":["cat"],"stdin":"in","files":{"a/b":"x"}}"#;
    assert_eq!(client.run_json(twice).await.status, 400);
    // What the client says of itself makes no difference.
    let headers = [("content-type", "APPLICATION/JSON; charset=x"), ("pe-job", &"0".repeat(64))];
    let mut sent = client.begin(Method::POST, "/api/v1/run?x=1", &headers, false).await;
    sent.body.send_data(JOB.into(), true).expect("an open stream");
    let hit = sent.answer().await.expect("an answer");
    assert_eq!(hit.header("pe-job"), one.header("pe-job"), "a claimed digest is not believed");
    assert_eq!(client.get(&format!("/api/v1/results/{}", "0".repeat(64))).await.status, 404);
}

/// Threat case 38: what might end another way the next time is run the next time.
#[tokio::test]
async fn case_38_what_may_end_another_way_is_never_kept() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let reason = || "why".to_owned();
    let outcomes = [
        Outcome::TimedOut { clock: Clock::Guest },
        Outcome::TimedOut { clock: Clock::Worker },
        Outcome::OutOfMemory,
        Outcome::Refused { fault: Fault::Client, reason: reason() },
        Outcome::Refused { fault: Fault::Image, reason: reason() },
        Outcome::Refused { fault: Fault::Capacity, reason: reason() },
    ];
    let archive = result(b"so far", &[]);
    for outcome in outcomes {
        for _ in 0..2 {
            let answer = run_to(&client, &worker, JOB, outcome.clone(), &archive).await;
            assert_eq!(answer.json()["cache"], "miss", "{outcome:?}");
            assert_eq!(client.get(&results_path(&answer)).await.status, 404, "{outcome:?}");
        }
    }
    // Lost twice, so that it is told.
    let other = lb.worker("w2").await;
    let lost = Outcome::Lost { fault: Fault::Us, reason: reason() };
    let parked = worker.park().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let held = parked.lease().await.expect("the job");
    assert_eq!(worker.done(held.head.lease, lost.clone(), &archive).await, 204);
    let held = other.park().await.lease().await.expect("the job again");
    assert_eq!(other.done(held.head.lease, lost, &archive).await, 204);
    let answer = sent.answer().await.expect("an answer");
    assert_eq!(answer.json()["outcome"]["kind"], "lost");
    assert_eq!(client.get(&results_path(&answer)).await.status, 404);
    // What the program itself did is kept, also if it failed.
    let failed = run_to(&client, &worker, JOB, exited(7), &archive).await;
    assert_eq!(client.run_json(JOB).await.json()["outcome"], json!({"kind":"exited","code":7}));
    assert_eq!(client.get(&results_path(&failed)).await.status, 200);
}

/// Threat case 39: bytes of a job are never a page of ours.
#[tokio::test]
async fn case_39_an_answer_with_output_is_confined_in_a_browser() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let html = b"<!doctype html><script>alert(1)</script>";
    let archive = result(html, &[("a.svg", b"<svg onload=alert(1)>"), ("index.html", html)]);
    let miss = run(&client, &worker, JOB, &archive).await;
    let path = results_path(&miss);
    let accepts = ["*/*", "text/html", "image/svg+xml", BINARY];
    let mut answers = vec![miss, client.run_json(JOB).await];
    for accept in accepts {
        answers.push(client.request(Method::GET, &path, &[("accept", accept)]).await);
    }
    for answer in answers {
        assert_eq!(answer.status, 200);
        let media_type = answer.header("content-type");
        assert!([JSON, BINARY].contains(&media_type), "{media_type}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
    }
}

#[tokio::test]
async fn the_policy_of_a_job_is_honoured() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let job = |cache: &str| format!(r#"{{"image":"busybox","cache":"{cache}"}}"#);
    let off = run(&client, &worker, &job("off"), &result(b"off", &[])).await;
    assert_eq!(client.get(&results_path(&off)).await.status, 404, "off fills nothing");
    let first = run(&client, &worker, &job("use"), &result(b"first", &[])).await;
    let etag = client.get(&results_path(&first)).await.header("etag").to_owned();
    let off = run(&client, &worker, &job("off"), &result(b"off", &[])).await;
    assert_eq!(off.json()["stdout"], "off", "off asks nothing");
    assert_eq!(client.run_json(&job("use")).await.json()["stdout"], "first");
    let fresh = run(&client, &worker, &job("refresh"), &result(b"second", &[])).await;
    assert_eq!(fresh.json()["stdout"], "second", "refresh runs");
    let now = client.get(&results_path(&first)).await;
    assert_eq!(now.json()["stdout"], "second", "and replaces, in every form");
    assert_ne!(now.header("etag"), etag);
}

#[tokio::test]
async fn nothing_is_kept_where_the_cache_is_off() {
    let lb = Lb::with("[cache]\nis_on = false\n").await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    for _ in 0..2 {
        let answer = run(&client, &worker, JOB, &result(b"", &[])).await;
        assert_eq!(answer.json()["cache"], "miss");
        assert_eq!(client.get(&results_path(&answer)).await.status, 404);
    }
}
