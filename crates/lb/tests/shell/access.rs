//! The access log of a running load balancer.

use http::Method;
use serde_json::Value;

use crate::client::JSON;
use crate::lb::Lb;
use crate::worker::{exited, result};

struct Logged {
    dir: tempfile::TempDir,
    lb: Lb,
}

impl Logged {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("access.log");
        let lb = Lb::with(&format!("[access_log]\nto = {to:?}\n")).await;
        Self { dir, lb }
    }

    /// All lines, once everything is over.
    async fn lines(self) -> Vec<Value> {
        let Self { dir, lb } = self;
        lb.ended().await;
        let text = std::fs::read_to_string(dir.path().join("access.log")).expect("a file");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

#[tokio::test]
async fn each_request_is_a_line() {
    let logged = Logged::start().await;
    let client = logged.lb.client().await;
    let id = [("x-request-id", "mine-1")];
    client.request(Method::GET, "/api/v1/images?secret=1", &id).await;
    client.request(Method::HEAD, "/", &[]).await;
    client.run_json("{}").await;
    drop(client);
    let lines = logged.lines().await;
    let [images, head, bad] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&images["request_id"], &images["status"]), (&"mine-1".into(), &200.into()));
    assert_eq!((&images["path"], &images["http"]), (&"/api/v1/images".into(), &"2".into()));
    assert_eq!((&images["client"], &images["whole"]), (&"127.0.0.1".into(), &true.into()));
    assert!(images["bytes_out"].as_u64().is_some_and(|bytes| bytes > 100), "{images}");
    assert_eq!((&head["method"], &head["bytes_out"]), (&"HEAD".into(), &0.into()));
    assert_eq!((&bad["status"], &bad["problem"]), (&400.into(), &"bad-request".into()));
}

#[tokio::test]
async fn a_client_that_leaves_has_its_line_too() {
    let mut logged = Logged::start().await;
    let client = logged.lb.client().await;
    let sent = client.post(JSON, "*/*", r#"{"image":"busybox"}"#).await;
    logged.lb.until(|census| census.waiting == 1).await;
    sent.hang_up();
    logged.lb.until(|census| census.jobs == 0).await;
    let lines = logged.lines().await;
    let [left] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&left["status"], &left["whole"]), (&Value::Null, &false.into()));
}

#[tokio::test]
async fn a_job_says_how_it_was_answered_and_by_whom() {
    let logged = Logged::start().await;
    let worker = logged.lb.worker("attic").await;
    let client = logged.lb.client().await;
    let job = r#"{"image":"busybox"}"#;
    let (answer, ()) = tokio::join!(client.run_json(job), worker.serve_one());
    let digest = answer.json()["job"].clone();
    assert_eq!(client.run_json(job).await.json()["cache"], "hit");
    let path = format!("/api/v1/results/{}", digest.as_str().expect("text"));
    assert_eq!(client.get(&path).await.status, 200);
    drop(client);
    let lines = logged.lines().await;
    let [ran, hit, read] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(
        (&ran["job"], &ran["cache"], &ran["outcome"]),
        (&digest, &"miss".into(), &"exited".into())
    );
    assert_eq!((&ran["worker"], &ran["bytes_in"]), (&"attic".into(), &job.len().into()));
    assert_eq!((&hit["job"], &hit["cache"]), (&digest, &"hit".into()));
    assert_eq!((&hit["worker"], &read["cache"]), (&Value::Null, &"hit".into()));
}

#[tokio::test]
async fn one_request_id_goes_from_the_client_to_the_worker_and_into_every_log() {
    let logged = Logged::start().await;
    let worker = logged.lb.worker("attic").await;
    let client = logged.lb.client().await;
    let parked = worker.park().await;
    let headers = [("content-type", JSON), ("x-request-id", "mine-1")];
    let mut sent = client.begin(Method::POST, "/api/v1/run", &headers, false).await;
    let job = r#"{"image":"busybox"}"#.to_owned();
    sent.body.send_data(job.into(), true).expect("an open stream");
    let lease = parked.lease().await.expect("the job");
    // What the worker logs with every line of the job, and hands on to the guest.
    assert_eq!(lease.head.request_id, "mine-1");
    let leases = logged.lb.operator().await.get("/admin/v1/flights").await.json();
    assert_eq!(leases["flights"][0]["request_id"], "mine-1");
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    let answer = sent.answer().await.expect("an answer");
    assert_eq!(
        (&answer.json()["request_id"], answer.header("x-request-id")),
        (&"mine-1".into(), "mine-1")
    );
    drop(client);
    let lines = logged.lines().await;
    assert_eq!(lines.first().map(|line| &line["request_id"]), Some(&"mine-1".into()));
}

#[tokio::test]
async fn a_signal_opens_the_log_anew() {
    let logged = Logged::start().await;
    let client = logged.lb.client().await;
    let (log, old) = (logged.dir.path().join("access.log"), logged.dir.path().join("old.log"));
    client.get("/healthz").await;
    std::fs::rename(&log, &old).expect("a log");
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1).expect("a signal");
    // The signal is taken by a task of its own, the file is opened by a thread.
    while !log.exists() {
        client.get("/healthz").await;
    }
    client.get("/style.css").await;
    drop(client);
    let lines = logged.lines().await;
    assert_eq!(lines.last().map(|line| &line["path"]), Some(&"/style.css".into()));
}
