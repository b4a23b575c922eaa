//! Rates, budgets, keys and places in the queue, as clients see them. All of them come from this
//! machine, so the class `local` is given the limits.

use std::path::PathBuf;

use http::Method;
use pe_proto::Digest;

use crate::client::{Answer, Client, JSON, Sent};
use crate::lb::Lb;
use crate::worker::{ScriptedWorker, exited, result};

const JOB: &str = r#"{"image":"busybox","cache":"off"}"#;

/// Sends a job with headers of its own.
async fn post(client: &Client, job: &str, headers: &[(&str, &str)]) -> Sent {
    let headers = [&[("content-type", JSON)], headers].concat();
    let mut sent = client.begin(Method::POST, "/api/v1/run", &headers, false).await;
    sent.body.send_data(job.to_owned().into(), true).expect("an open stream");
    sent
}

async fn run(client: &Client, job: &str, headers: &[(&str, &str)]) -> Answer {
    post(client, job, headers).await.answer().await.expect("an answer")
}

/// Runs a job to its end, for which the worker says that it used so much CPU time.
async fn run_with_usage(client: &Client, worker: &ScriptedWorker, cpu_us: u64) -> Answer {
    let parked = worker.park().await;
    let sent = post(client, JOB, &[]).await;
    let held = parked.lease().await.expect("the job");
    let lease = held.head.lease;
    let archive = result(b"", &[]);
    let mut head = worker.done_head(lease, exited(0), archive.len());
    head.meta.usage.user_us = cpu_us;
    assert_eq!(worker.send_done(lease, &head, &archive).await, 204);
    sent.answer().await.expect("an answer")
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.problem())
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().expect("seconds")
}

#[tokio::test]
async fn case_44_cpu_time_that_was_really_used_spends_the_budget() {
    let toml = "[admission]\ncpu_window_s = 100\n[admission.classes.local]\ncpu_s = 10\n";
    let lb = Lb::with(toml).await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    assert_eq!(run_with_usage(&client, &worker, 0).await.status, 200);
    assert_eq!(run_with_usage(&client, &worker, 9_500_000).await.status, 200);
    let spent = run(&client, JOB, &[]).await;
    assert_eq!(refused(&spent), (429, "budget-spent".to_owned()));
    assert!((1..=5).contains(&retry_after(&spent)), "half a second of ten is missing: {spent:?}");
    assert_eq!(spent.json()["retry"], true);
    assert_eq!(client.get("/api/v1/images").await.status, 200, "reading is free");
    let metrics = lb.operator().await.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body).expect("text");
    assert!(metrics.contains(r#"pe_lb_denied_total{limit="client-cpu"} 1"#), "{metrics}");
    assert!(metrics.contains("pe_lb_cpu_charged_seconds_total 9.5"), "{metrics}");
}

#[tokio::test]
async fn no_worker_can_charge_more_than_the_job_was_granted() {
    let toml = "[admission]\ncpu_window_s = 100\n[admission.classes.local]\ncpu_s = 12\n";
    let lb = Lb::with(toml).await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    assert_eq!(run_with_usage(&client, &worker, u64::MAX).await.status, 200);
    assert_eq!(run_with_usage(&client, &worker, 0).await.status, 200, "10 s of 12 were charged");
}

#[tokio::test]
async fn a_job_that_is_not_run_costs_nothing() {
    let toml = "[queue]\nwait_ms = 1\n[admission.classes.local]\ncpu_s = 1\n";
    let lb = Lb::with(toml).await;
    let _worker = lb.worker("busy").await;
    let client = lb.client().await;
    for _ in 0..3 {
        assert_eq!(refused(&run(&client, JOB, &[]).await).0, 503);
    }
}

#[tokio::test]
async fn requests_have_a_rate_and_the_refusal_says_when_to_come_back() {
    let toml = "[admission.classes.local]\nrequests_per_s = 1\nrequests_burst = 2\n";
    let lb = Lb::with(toml).await;
    let client = lb.client().await;
    for _ in 0..2 {
        assert_eq!(refused(&run(&client, "{", &[]).await).0, 400);
    }
    let refusal = run(&client, "{", &[]).await;
    assert_eq!(refused(&refusal), (429, "too-many-requests".to_owned()));
    assert_eq!(retry_after(&refusal), 1);
    assert_eq!(refusal.json()["fault"], "client");
}

/// A file of keys, for as long as it is held.
struct KeyFile {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn keys(lines: &str) -> KeyFile {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys");
    std::fs::write(&path, lines).expect("a file");
    KeyFile { _dir: dir, path }
}

#[tokio::test]
async fn a_key_gives_its_class_and_an_unknown_one_is_never_served() {
    let file = keys(&format!("ci gold {}\n", Digest::of(b"pe_right")));
    let path = file.path.display();
    let lb = Lb::with(&format!(
        "[admission]\nkeys_file = \"{path}\"\n\
         [admission.classes.local]\nrequests_per_s = 1\nrequests_burst = 1\n\
         [admission.classes.gold]\nwall_ms_max = 2000\n"
    ))
    .await;
    let client = lb.client().await;
    let wrong = run(&client, JOB, &[("authorization", "Bearer pe_wrong")]).await;
    assert_eq!(refused(&wrong), (401, "unauthorized".to_owned()));
    assert_eq!(wrong.header("www-authenticate"), "Bearer");
    for _ in 0..3 {
        let long = r#"{"image":"busybox","limits":{"wall_ms":2001}}"#;
        let long = run(&client, long, &[("authorization", "bearer pe_right")]).await;
        assert_eq!(refused(&long), (400, "bad-request".to_owned()), "its rate is its own");
        assert_eq!(long.json()["pointer"], "/limits/wall_ms");
    }
    let two = [("authorization", "Bearer pe_right"), ("authorization", "Bearer pe_wrong")];
    assert_eq!(lb.census().jobs, 0);
    let mut request = http::Request::post("http://lb/api/v1/run").body(()).expect("a request");
    for (name, value) in two {
        let name = name.parse::<http::HeaderName>().expect("a name");
        request.headers_mut().append(name, value.parse().expect("a value"));
    }
    assert_eq!(client.send(request).await.status, 400);
}

#[tokio::test]
async fn a_refused_job_is_told_its_place_and_one_that_waited_too() {
    let mut lb = Lb::with("[admission.classes.local]\nqueue_jobs_max = 2\n").await;
    let client = lb.client().await;
    let mut waiting = Vec::new();
    for count in 1..=2 {
        waiting.push(post(&client, JOB, &[]).await);
        lb.until(|census| census.waiting == count).await;
    }
    let third = run(&client, JOB, &[]).await;
    assert_eq!(refused(&third), (429, "too-many-requests".to_owned()));
    assert_eq!(third.header("pe-queue-position"), "3");
    assert_eq!(third.header("pe-queue-wait-ms"), "", "nothing ended yet");
    let worker = lb.worker("w1").await;
    for (index, sent) in waiting.into_iter().enumerate() {
        worker.serve_one().await;
        let answer = sent.answer().await.expect("an answer");
        assert_eq!(answer.header("pe-queue-position"), (index + 1).to_string());
        assert!(answer.header("pe-queue-wait-ms").parse::<u64>().is_ok());
        assert!(answer.json()["phases"]["queue_us"].as_u64() > Some(0));
    }
}

#[tokio::test]
async fn a_deadline_that_is_no_whole_number_is_refused_and_one_that_cannot_be_met_at_once() {
    let mut lb = Lb::start().await;
    let client = lb.client().await;
    for bad in ["0", "-1", "NaN", "1e308", "1.5", "", "86400001", "99999999999999999999"] {
        let answer = run(&client, JOB, &[("pe-deadline-ms", bad)]).await;
        assert_eq!(refused(&answer), (400, "bad-request".to_owned()), "{bad}");
    }
    // One job ended, so it is known how long they take; one is leased and does not end.
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    let sent = post(&client, JOB, &[]).await;
    let lease = parked.lease().await.expect("the job");
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
    let parked = worker.park().await;
    let _running = post(&client, JOB, &[]).await;
    let _lease = parked.lease().await.expect("the job");
    let waits = post(&client, JOB, &[]).await;
    lb.until(|census| census.waiting == 1).await;
    let late = run(&client, JOB, &[("pe-deadline-ms", "1")]).await;
    let (status, problem) = refused(&late);
    // Refused at once, or a millisecond later if jobs take less than that here.
    assert_eq!(status, 503);
    assert!(["queue-too-long", "queue-timeout"].contains(&problem.as_str()), "{problem}");
    assert_eq!(late.header("pe-queue-position"), "2");
    assert!(late.header("pe-queue-wait-ms").parse::<u64>().is_ok());
    waits.hang_up();
}

#[tokio::test]
async fn a_deadline_that_is_none_is_refused_for_a_known_result_too() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    worker.serve_one_for(&lb).await;
    let client = lb.client().await;
    let known = r#"{"image":"busybox"}"#;
    assert_eq!(run(&client, known, &[("pe-deadline-ms", "1")]).await.json()["cache"], "hit");
    let answer = run(&client, known, &[("pe-deadline-ms", "86400001")]).await;
    assert_eq!(refused(&answer), (400, "bad-request".to_owned()));
}

/// The second client has a key, as both have the address of this machine.
#[tokio::test]
async fn a_client_that_floods_the_queue_does_not_hold_up_another() {
    let file = keys(&format!("other gold {}\n", Digest::of(b"pe_other")));
    let path = file.path.display();
    let toml = format!("[admission]\nkeys_file = \"{path}\"\n[admission.classes.gold]\n");
    let mut lb = Lb::with(&toml).await;
    let client = lb.client().await;
    let mut flood = Vec::new();
    for count in 1..=20 {
        flood.push(post(&client, JOB, &[]).await);
        lb.until(|census| census.waiting == count).await;
    }
    let job = r#"{"image":"busybox","args":["mine"]}"#;
    let other = post(&client, job, &[("authorization", "Bearer pe_other")]).await;
    lb.until(|census| census.waiting == 21).await;
    let worker = lb.worker("w1").await;
    let mut order = Vec::new();
    for _ in 0..3 {
        let parked = worker.park().await;
        let lease = parked.lease().await.expect("a job");
        order.push(lease.head.spec.args.concat());
        assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    }
    assert_eq!(order, ["sh", "mine", "sh"], "in its first turn");
    assert_eq!(other.answer().await.expect("an answer").header("pe-queue-position"), "2");
}

#[tokio::test]
async fn case_44_what_is_known_stays_free_when_the_budget_is_spent() {
    let toml = "[admission]\ncpu_window_s = 1000\n[admission.classes.local]\ncpu_s = 1\n";
    let lb = Lb::with(toml).await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let known = r#"{"image":"busybox","args":["known"]}"#;
    let sent = post(&client, known, &[]).await;
    worker.serve_one().await;
    let first = sent.answer().await.expect("an answer");
    assert_eq!(first.status, 200);
    assert_eq!(run_with_usage(&client, &worker, 5_000_000).await.status, 200);
    let unknown = r#"{"image":"busybox","args":["unknown"]}"#;
    assert_eq!(refused(&run(&client, unknown, &[]).await), (429, "budget-spent".to_owned()));
    for _ in 0..20 {
        let hit = run(&client, known, &[]).await;
        assert_eq!((hit.status.as_u16(), hit.json()["cache"].as_str()), (200, Some("hit")));
        assert_eq!(hit.header("pe-queue-position"), "", "it never was in the queue");
    }
    let path = format!("/api/v1/results/{}", first.header("pe-job"));
    assert_eq!(client.get(&path).await.status, 200);
}

#[tokio::test]
async fn who_joins_a_run_pays_nothing() {
    let toml = "[admission.classes.local]\nruns_per_minute = 1\nruns_burst = 1\n";
    let mut lb = Lb::with(toml).await;
    let client = lb.client().await;
    let job = r#"{"image":"busybox","args":["shared"]}"#;
    let first = post(&client, job, &[]).await;
    lb.until(|census| census.waiting == 1).await;
    let joined = post(&client, job, &[]).await;
    let other = run(&client, JOB, &[]).await;
    assert_eq!(refused(&other), (429, "too-many-requests".to_owned()), "its own run is one more");
    let worker = lb.worker("w1").await;
    worker.serve_one().await;
    for (sent, cache, position) in [(first, "miss", "1"), (joined, "joined", "")] {
        let answer = sent.answer().await.expect("an answer");
        assert_eq!(answer.json()["cache"], cache);
        assert_eq!(answer.header("pe-queue-position"), position);
    }
}

/// Sends so much of a body, and keeps the request open.
async fn upload(client: &Client, bytes: usize) -> Sent {
    let headers = [("content-type", JSON)];
    let mut sent = client.begin(Method::POST, "/api/v1/run", &headers, false).await;
    sent.body.send_data(vec![b' '; bytes].into(), false).expect("an open stream");
    sent
}

#[tokio::test]
async fn one_client_cannot_take_all_the_memory_for_bodies() {
    let file = keys(&format!("other gold {}\n", Digest::of(b"pe_other")));
    let path = file.path.display();
    let lb = Lb::with(&format!(
        "[memory]\nbodies_bytes_max = 134217728\n\
         [admission]\nkeys_file = \"{path}\"\n[admission.classes.gold]\n"
    ))
    .await;
    let greedy = lb.client().await;
    // Requests get half of 128 MiB, and one client no more than is free: 32 MiB.
    let mut uploads = Vec::new();
    for _ in 0..3 {
        uploads.push(upload(&greedy, 12 * 1024 * 1024).await);
    }
    let answers = uploads.into_iter().map(|sent| Box::pin(sent.answer()));
    let (first, _, rest) = futures_util::future::select_all(answers).await;
    let answer = first.expect("an answer");
    assert_eq!(refused(&answer), (429, "too-many-requests".to_owned()));
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("your share of the memory"), "{detail}");
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let other = post(&client, JOB, &[("authorization", "Bearer pe_other")]).await;
    worker.serve_one().await;
    assert_eq!(other.answer().await.expect("an answer").status, 200);
    let metrics = lb.operator().await.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body).expect("text");
    assert!(metrics.contains(r#"pe_lb_memory_refusals_total{limit="share"} 1"#), "{metrics}");
    drop(rest);
}

/// Changes the settings and has them read again.
async fn reload(lb: &Lb, toml: &str) {
    std::fs::write(lb.path("lb.toml"), toml).expect("a file");
    let operator = lb.operator().await;
    let headers = [("content-type", JSON)];
    let mut sent = operator.begin(Method::POST, "/admin/v1/reload", &headers, false).await;
    sent.body.send_data("{}".into(), true).expect("an open stream");
    let reloaded = sent.answer().await.expect("an answer");
    assert_eq!(reloaded.status, 200, "{}", reloaded.json());
}

#[tokio::test]
async fn a_key_is_revoked_and_a_limit_lifted_by_a_reload() {
    let file = keys(&format!("ci gold {}\n", Digest::of(b"pe_right")));
    let path = file.path.display();
    let with = |rate: u32| {
        format!(
            "[admission]\nkeys_file = \"{path}\"\n[admission.classes.gold]\n\
             requests_per_s = {rate}\nrequests_burst = {rate}\n"
        )
    };
    let lb = Lb::with(&with(1)).await;
    let client = lb.client().await;
    let ask = async || run(&client, "{", &[("authorization", "Bearer pe_right")]).await;
    assert_eq!(refused(&ask().await).0, 400);
    assert_eq!(refused(&ask().await).0, 429);
    reload(&lb, &with(1000)).await;
    assert_eq!(refused(&ask().await).0, 400);
    std::fs::write(&file.path, "").expect("a file");
    reload(&lb, &with(1000)).await;
    assert_eq!(refused(&ask().await), (401, "unauthorized".to_owned()));
}

#[tokio::test]
async fn a_client_that_leaves_pays_for_the_time_a_worker_had_its_job_and_not_for_waiting() {
    let toml = "[admission]\ncpu_window_s = 1000\n[admission.classes.local]\ncpu_s = 1\n";
    let mut lb = Lb::with(toml).await;
    let client = lb.client().await;
    let charged = async |lb: &Lb| {
        let metrics = lb.operator().await.get("/metrics").await;
        let metrics = String::from_utf8(metrics.body).expect("text");
        let mut lines = metrics.lines();
        let line = lines.find_map(|line| line.strip_prefix("pe_lb_cpu_charged_seconds_total "));
        line.expect("the metric").parse::<f64>().expect("a number")
    };
    for _ in 0..3 {
        let sent = post(&client, JOB, &[]).await;
        lb.until(|census| census.waiting == 1).await;
        sent.hang_up();
        lb.until(|census| census.jobs == 0).await;
    }
    assert_eq!(charged(&lb).await, 0.0);
    let worker = lb.worker("w1").await;
    let parked = worker.park().await;
    let sent = post(&client, JOB, &[]).await;
    let lease = parked.lease().await.expect("the job");
    sent.hang_up();
    assert!(lease.ended().await.is_err(), "the lease is reset");
    lb.until(|census| census.jobs == 0).await;
    assert!(charged(&lb).await > 0.0);
}
