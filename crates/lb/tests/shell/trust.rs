//! Who is let in over the worker link, and what becomes of workers that are silent or lie.

use http::StatusCode;
use pe_proto::Digest;
use pe_proto::link::LeaseId;

use crate::client::JSON;
use crate::lb::{Lb, busybox};
use crate::worker::{ScriptedWorker, exited, result};

const JOB: &str = r#"{"image":"busybox"}"#;
const ANN: &str = "token of ann's worker";
const BOB: &str = "token of bob's worker";

/// A file of workers: name, token, more.
pub(crate) fn workers(entries: &[(&str, &str, &str)]) -> String {
    let entry = |(name, token, more): &(&str, &str, &str)| {
        let digest = Digest::of(token.as_bytes()).hex();
        format!("[[worker]]\nname = \"{name}\"\ntoken_sha256 = \"{digest}\"\n{more}\n")
    };
    entries.iter().map(entry).collect()
}

async fn dial(lb: &Lb, name: &str, token: &str) -> ScriptedWorker {
    ScriptedWorker::silent(lb.workers, name).await.with_token(token)
}

/// Has settings and files read again.
pub(crate) async fn reload(lb: &Lb) {
    let headers = [("content-type", JSON)];
    let operator = lb.operator().await;
    let mut sent = operator.begin(http::Method::POST, "/admin/v1/reload", &headers, false).await;
    sent.body.send_data("{}".into(), true).expect("an open stream");
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
}

pub(crate) async fn metrics(lb: &Lb) -> String {
    String::from_utf8(lb.operator().await.get("/metrics").await.body).expect("text")
}

#[tokio::test]
async fn case_36_a_token_is_of_one_worker_and_of_what_it_may_say() {
    let more = "owner = \"ann\"\narch = [\"x86_64\"]\nlabels = [\"site=cellar\"]";
    let file = workers(&[("ann-1", ANN, more), ("bob-1", BOB, "slots_max = 2")]);
    let lb = Lb::with_workers("", &file).await;
    let mut ann = dial(&lb, "ann-1", ANN).await;
    ann.labels = vec!["site=cellar".to_owned()];
    assert_eq!(ann.hello(&[busybox()]).await, StatusCode::OK);
    assert_eq!(dial(&lb, "bob-1", ANN).await.hello(&[]).await, StatusCode::FORBIDDEN, "name");
    let mut liar = dial(&lb, "ann-1", ANN).await;
    liar.labels = vec!["site=palace".to_owned()];
    assert_eq!(liar.hello(&[]).await, StatusCode::FORBIDDEN, "label");
    assert_eq!(dial(&lb, "bob-1", BOB).await.hello(&[]).await, StatusCode::FORBIDDEN, "slots");
    // A token of another worker is no proof on a connection that is somebody's.
    let stolen = ann.with_token(BOB);
    assert_eq!(stolen.park().await.status().await, StatusCode::UNAUTHORIZED);
    stolen.ended().await;
    let metrics = metrics(&lb).await;
    for kind in ["misfit-name", "misfit-label", "misfit-slots", "unauthorized"] {
        let series = format!("pe_lb_link_refusals_total{{kind=\"{kind}\"}} 1");
        assert!(metrics.contains(&series), "{metrics}");
    }
}

#[tokio::test]
async fn case_36_a_token_that_is_revoked_ends_its_workers_connections_at_once() {
    let both = workers(&[("ann-1", ANN, ""), ("bob-1", BOB, "")]);
    let mut lb = Lb::with_workers("", &both).await;
    let mut ann = dial(&lb, "ann-1", ANN).await;
    let mut bob = dial(&lb, "bob-1", BOB).await;
    assert_eq!(ann.hello(&[busybox()]).await, 200);
    assert_eq!(bob.hello(&[busybox()]).await, 200);
    let parked = ann.park().await;
    lb.until(|census| census.parked == 1).await;
    let client = lb.client().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let _held = parked.lease().await.expect("the job");

    std::fs::write(lb.path("workers.toml"), workers(&[("bob-1", BOB, "")])).expect("a file");
    reload(&lb).await;
    ann.ended().await;
    // Its job goes to who is still let in; that one noticed nothing.
    bob.serve_one().await;
    assert_eq!(sent.answer().await.expect("an answer").json()["ran_on"]["worker"], "bob-1");
    assert_eq!(dial(&lb, "ann-1", ANN).await.hello(&[]).await, 401);
    assert!(metrics(&lb).await.contains("pe_lb_workers_revoked_total 1"));
}

#[tokio::test]
async fn case_36_guesses_beyond_what_may_wait_are_ended_without_an_answer() {
    let lb = Lb::with_token("", Some("a-token-of-workers")).await;
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..80 {
        let guess = dial(&lb, "w", "a-wrong-token").await;
        guesses.spawn(async move { guess.try_park().await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = guesses.join_next().await {
        answers.push(answer.expect("no panic"));
    }
    let told = answers.iter().filter(|answer| **answer == Some(StatusCode::UNAUTHORIZED)).count();
    let ended = answers.iter().filter(|answer| answer.is_none()).count();
    assert_eq!((told, ended), (64, 16));
    let mut right = dial(&lb, "w", "a-token-of-workers").await;
    assert_eq!(right.hello(&[]).await, 200, "who has the token never waits");
}

#[tokio::test]
async fn case_45_a_worker_never_serves_a_load_balancer_of_another_deployment() {
    let lb = Lb::with("[workers]\ndeployment = \"green\"\n").await;
    let mut blue = ScriptedWorker::silent(lb.workers, "w1").await;
    blue.deployment = "blue".to_owned();
    assert_eq!(blue.hello(&[busybox()]).await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(blue.park().await.status().await, 409, "it has no session");
    blue.deployment = String::new();
    assert_eq!(blue.hello(&[busybox()]).await, StatusCode::MISDIRECTED_REQUEST);
    blue.deployment = "green".to_owned();
    assert_eq!(blue.hello(&[busybox()]).await, 200);
}

#[tokio::test]
async fn a_lease_without_a_sign_of_life_is_run_elsewhere_and_the_first_result_wins() {
    let mut lb = Lb::start().await;
    let frozen = lb.worker("frozen").await;
    let client = lb.client().await;
    let (parked, _open) = frozen.park_open().await;
    lb.until(|census| census.parked == 1).await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let silent = parked.lease().await.expect("the job");
    let other = lb.worker("other").await;
    let (parked, mut open) = other.park_open().await;
    let hedge = parked.lease().await.expect("the job, too");
    open.send_data(bytes::Bytes::new(), true).expect("an open stream");
    let lease = hedge.head.lease;
    assert_eq!(other.done(lease, exited(0), &result(b"hello", &[])).await, 204);
    let answer = sent.answer().await.expect("an answer");
    assert_eq!(answer.json()["ran_on"]["worker"], "other");
    let late = silent.head.lease;
    assert_eq!(silent.ended().await, Err(Some(h2::Reason::CANCEL)));
    assert_eq!(frozen.done(late, exited(0), &result(b"late", &[])).await, 409);
    let metrics = metrics(&lb).await;
    assert!(metrics.contains("pe_lb_hedges_won_total 1"), "{metrics}");
    assert!(metrics.contains("pe_lb_worker_strikes_total{fault=\"late\"} 0"), "{metrics}");
}

#[tokio::test]
async fn a_lease_that_was_signed_for_stays_with_its_worker() {
    let mut lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let (parked, mut open) = worker.park_open().await;
    lb.until(|census| census.parked == 1).await;
    let sent = client.post(JSON, "*/*", JOB).await;
    let held = parked.lease().await.expect("the job");
    open.send_data(bytes::Bytes::new(), true).expect("an open stream");
    // Here is another who could have it, for longer than a worker is waited for.
    let other = lb.worker("other").await;
    let (parked, _open) = other.park_open().await;
    let hedge = tokio::time::timeout(std::time::Duration::from_millis(1500), parked.lease());
    assert!(hedge.await.is_err(), "it was hedged");
    let lease = held.head.lease;
    assert_eq!(worker.done(lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
    assert!(metrics(&lb).await.contains("pe_lb_hedges_total 0"));
}

#[tokio::test]
async fn case_34_a_worker_that_answers_what_it_was_not_asked_is_struck_off() {
    let file = workers(&[("liar", ANN, ""), ("honest", BOB, "")]);
    let mut lb = Lb::with_workers("", &file).await;
    let mut liar = dial(&lb, "liar", ANN).await;
    assert_eq!(liar.hello(&[busybox()]).await, 200);
    let lie = result(b"lie", &[]);
    liar.serve_one_for(&lb).await;
    // For a job it was not given; twice; and malformed.
    assert_eq!(liar.done(LeaseId(999), exited(0), &lie).await, 409);
    assert_eq!(liar.done(LeaseId(1), exited(0), &lie).await, 409);
    assert_eq!(liar.post("/worker/v1/done/0000000000000001", b"nonsense".to_vec()).await.0, 400);
    lb.until(|census| census.quarantined == 1).await;
    let metrics = metrics(&lb).await;
    for fault in ["not-given", "twice", "malformed"] {
        let series = format!("pe_lb_worker_strikes_total{{fault=\"{fault}\"}} 1");
        assert!(metrics.contains(&series), "{metrics}");
    }
    // It gets no more jobs, not even when it dials again.
    liar.kill().await;
    let mut liar = dial(&lb, "liar", ANN).await;
    assert_eq!(liar.hello(&[busybox()]).await, 200);
    let _parked = liar.park().await;
    lb.until(|census| census.parked == 1).await;
    let client = lb.client().await;
    let sent = client.post(JSON, "*/*", JOB).await;
    lb.until(|census| census.waiting == 1).await;
    let mut honest = dial(&lb, "honest", BOB).await;
    assert_eq!(honest.hello(&[busybox()]).await, 200);
    honest.serve_one().await;
    assert_eq!(sent.answer().await.expect("an answer").json()["ran_on"]["worker"], "honest");
}

#[tokio::test]
async fn case_35_a_result_of_an_untrusted_worker_is_for_nobody_but_who_asked() {
    let file = workers(&[("ann-1", ANN, ""), ("ours", BOB, "trusted = true")]);
    let lb = Lb::with_workers("", &file).await;
    let mut ann = dial(&lb, "ann-1", ANN).await;
    assert_eq!(ann.hello(&[busybox()]).await, 200);
    let client = lb.client().await;
    let run = async |worker: &ScriptedWorker, stdout: &[u8]| {
        let sent = client.post(JSON, "*/*", JOB).await;
        let held = worker.park().await.lease().await.expect("the job");
        let done = worker.done(held.head.lease, exited(0), &result(stdout, &[])).await;
        assert_eq!(done, 204);
        sent.answer().await.expect("an answer").json()
    };
    let lie = run(&ann, b"lie").await;
    assert_eq!((lie["stdout"].as_str(), lie["cache"].as_str()), (Some("lie"), Some("miss")));
    assert_eq!(lie["ran_on"]["worker"], "ann-1", "who answered is told");
    ann.kill().await;
    let mut ours = dial(&lb, "ours", BOB).await;
    assert_eq!(ours.hello(&[busybox()]).await, 200);
    assert_eq!(run(&ours, b"truth").await["cache"], "miss", "it was run again");
    let hit = client.run_json(JOB).await.json();
    assert_eq!((hit["stdout"].as_str(), hit["cache"].as_str()), (Some("truth"), Some("hit")));
    let metrics = metrics(&lb).await;
    assert!(metrics.contains("pe_lb_cache_not_kept_total{reason=\"untrusted\"} 1"), "{metrics}");
}
