//! What operators ask, over real sockets.

use http::Method;
use pe_lb::server::Drained;
use serde_json::Value;

use crate::client::{Answer, Client, JSON};
use crate::lb::Lb;
use crate::worker::{exited, result};

pub(crate) async fn change(operator: &Client, path: &str, json: &str) -> Answer {
    let headers = [("content-type", JSON)];
    let mut sent = operator.begin(Method::POST, path, &headers, false).await;
    sent.body.send_data(json.to_owned().into(), true).expect("an open stream");
    sent.answer().await.expect("an answer")
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|name| name.as_str().expect("text")).collect()
}

#[tokio::test]
async fn the_status_counts_and_tells_what_was_set_and_no_secret() {
    let lb = Lb::with_token("[queue]\njobs_max = 7\n", Some("0123456789abcdef")).await;
    let operator = lb.operator().await;
    let status = operator.get("/admin/v1/status").await.json();
    assert_eq!(status["counts"]["workers"], 0);
    assert_eq!(status["is_draining"], false);
    assert_eq!(status["config"]["queue.jobs_max"], "7");
    assert!(!status.to_string().contains("0123456789abcdef"), "{status}");
}

#[tokio::test]
async fn an_operator_may_ask_for_the_drain() {
    let lb = Lb::start().await;
    let asked = change(&lb.operator().await, "/admin/v1/drain", "{}").await;
    assert_eq!(asked.json()["changed"], 1);
    assert_eq!(lb.ended_by_itself().await, Drained::Wholly);
}

#[tokio::test]
async fn nothing_of_it_can_be_reached_by_clients_or_workers() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let workers = Client::connect(lb.workers).await;
    for path in [
        "/metrics",
        "/admin/v1/status",
        "/admin/v1/workers",
        "/admin/v1/queue",
        "/admin/v1/leases",
        "/admin/v1/flights",
        "/admin/v1/bans",
        "/admin/v1/drain",
        "/admin/v1/drain-worker",
        "/admin/v1/purge",
        "/admin/v1/ban",
        "/admin/v1/unban",
        "/admin/v1/reload",
    ] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
        assert_eq!(change(&client, path, "{}").await.status, 404, "{path}");
        assert_eq!(change(&workers, path, "{}").await.status, 404, "{path}");
    }
    assert_eq!(lb.census().jobs, 0);
    assert_eq!(client.get("/healthz").await.status, 200);
    // Nor the other way round: jobs do not come in by the back door.
    assert_eq!(change(&lb.operator().await, "/api/v1/run", "{}").await.status, 404);
}

#[tokio::test]
async fn what_operators_may_not_do_is_a_problem() {
    let lb = Lb::start().await;
    let operator = lb.operator().await;
    let check = async |method: Method, path: &str, headers: &[(&str, &str)], kind: &str| {
        let answer = operator.request(method, path, headers).await;
        assert_eq!(answer.problem(), kind, "{path} {headers:?}");
    };
    let page = [("origin", "http://localhost:8082")];
    check(Method::GET, "/admin/v1/status", &page, "forbidden").await;
    check(Method::POST, "/admin/v1/status", &[("content-type", JSON)], "method-not-allowed").await;
    check(Method::GET, "/admin/v1/drain", &[], "method-not-allowed").await;
    check(Method::POST, "/admin/v1/drain", &[], "unsupported-media-type").await;
    check(Method::OPTIONS, "/admin/v1/drain", &[], "method-not-allowed").await;
    check(Method::GET, "/admin/v1/nothing", &[], "not-found").await;
    let unknown = change(&operator, "/admin/v1/drain", r#"{"now":true}"#).await;
    assert_eq!(unknown.problem(), "bad-request");
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    let large = change(&operator, "/admin/v1/reload", &large).await;
    assert_eq!(large.problem(), "too-large");
    assert_eq!(operator.get("/admin/v1/status").await.json()["is_draining"], false);
}

#[tokio::test]
async fn settings_are_read_again_and_a_bad_one_changes_nothing() {
    let lb = Lb::with("wall_ms_max = 1000\n[queue]\njobs_max = 7\n").await;
    let operator = lb.operator().await;
    let client = lb.client().await;
    let write = |toml: &str| std::fs::write(lb.path("lb.toml"), toml).expect("a file");
    let is_granted = async |wall_ms: u64| {
        let json = format!(r#"{{"image":"nope","limits":{{"wall_ms":{wall_ms}}}}}"#);
        let json = json.replace("nope", "busybox");
        let sent = client.post(JSON, "*/*", json).await;
        let answer = tokio::select! {
            biased;
            answer = sent.response => Some(answer.expect("an answer").status()),
            () = async {
                let mut census = lb.counts();
                census.wait_for(|census| census.jobs > 0).await.expect("it runs");
            } => None,
        };
        answer.is_none()
    };
    assert!(!is_granted(2000).await);

    write("wall_ms_max = 2000\n[queue]\njobs_max = 8\n[times]\nidle_ms = 0\n");
    let bad = change(&operator, "/admin/v1/reload", "{}").await;
    assert_eq!(bad.problem(), "bad-request");
    let detail = bad.json()["detail"].as_str().expect("text").to_owned();
    assert!(detail.contains("lb.toml: times.idle_ms"), "{detail}");
    assert!(!is_granted(2000).await);

    write("wall_ms_max = 2000\n[queue]\njobs_max = 8\n");
    let reloaded = change(&operator, "/admin/v1/reload", "{}").await.json();
    assert_eq!(names(&reloaded["applied"]), ["wall_ms_max"]);
    assert_eq!(names(&reloaded["needs_restart"]), ["queue.jobs_max"]);
    assert!(is_granted(2000).await);

    // What needs a restart is told until there was one; what holds is not told again.
    let again = change(&operator, "/admin/v1/reload", "{}").await.json();
    assert_eq!(names(&again["applied"]), [""; 0]);
    assert_eq!(names(&again["needs_restart"]), ["queue.jobs_max"]);
    let metrics = String::from_utf8(operator.get("/metrics").await.body).expect("text");
    assert!(metrics.contains("pe_lb_reloads_total{result=\"applied\"} 2"), "{metrics}");
    assert!(metrics.contains("pe_lb_reloads_total{result=\"refused\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_catalogue_that_changed_is_served_after_a_reload() {
    let lb = Lb::start().await;
    let (operator, client) = (lb.operator().await, lb.client().await);
    let before = client.get("/api/v1/images").await;
    std::fs::write(lb.path("catalogue.json"), r#"{"version":2,"images":[]}"#).expect("a file");
    let reloaded = change(&operator, "/admin/v1/reload", "{}").await.json();
    assert_eq!(names(&reloaded["applied"]), ["catalogue"]);
    let after = client.get("/api/v1/images").await;
    assert_eq!(after.json()["images"], serde_json::json!([]));
    assert_ne!(before.header("etag"), after.header("etag"));
    assert_eq!(client.run_json(r#"{"image":"busybox"}"#).await.problem(), "unknown-image");
}

#[tokio::test]
async fn a_token_is_asked_for_everywhere_but_for_probes_and_can_be_replaced() {
    let files = tempfile::tempdir().expect("a directory");
    let token = files.path().join("admin.token");
    std::fs::write(&token, "0123456789abcdef\n").expect("a file");
    let lb = Lb::with(&format!("[admin]\ntoken_file = {token:?}\n")).await;
    let operator = lb.operator().await;
    let ask = async |path: &str, token: &str| {
        let value = format!("Bearer {token}");
        let headers = [("authorization", value.as_str())];
        operator.request(Method::GET, path, &headers).await.status.as_u16()
    };
    for path in ["/admin/v1/status", "/metrics"] {
        assert_eq!(ask(path, "0123456789abcdeF").await, 401);
        assert_eq!(operator.get(path).await.problem(), "unauthorized");
        assert_eq!(ask(path, "0123456789abcdef").await, 200);
    }
    assert_eq!(operator.get("/healthz").await.status, 200);
    std::fs::write(&token, "another-token-of-16\n").expect("a file");
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).expect("a signal");
    // The signal is taken by a task of its own; ask until it was.
    while ask("/admin/v1/status", "another-token-of-16").await != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask("/admin/v1/status", "0123456789abcdef").await, 401);
}

#[tokio::test]
async fn flights_are_seen_and_a_result_is_forgotten() {
    let mut lb = Lb::start().await;
    let (operator, client) = (lb.operator().await, lb.client().await);
    let job = r#"{"image":"busybox"}"#;
    let sent = client.post(JSON, "*/*", job).await;
    lb.until(|census| census.jobs == 1).await;
    let flights = operator.get("/admin/v1/flights").await.json();
    assert_eq!((&flights["flights"][0]["clients"], &flights["more"]), (&1.into(), &0.into()));
    lb.worker("w1").await.serve_one().await;
    let digest = sent.answer().await.expect("an answer").json()["job"].clone();
    assert_eq!(flights["flights"][0]["job"], digest);
    let purge = serde_json::json!({ "job": digest }).to_string();
    let purged = change(&operator, "/admin/v1/purge", &purge).await.json();
    assert!(purged["changed"].as_u64().is_some_and(|changed| changed >= 1), "{purged}");
    let path = format!("/api/v1/results/{}", digest.as_str().expect("text"));
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(change(&operator, "/admin/v1/purge", &purge).await.json()["changed"], 0);
    let bad = change(&operator, "/admin/v1/purge", r#"{"job":"ab"}"#).await;
    assert_eq!((bad.problem().as_str(), &bad.json()["pointer"]), ("bad-request", &"/job".into()));
}

#[tokio::test]
async fn a_purge_wins_over_a_run_that_is_under_way() {
    let lb = Lb::start().await;
    let (operator, client) = (lb.operator().await, lb.client().await);
    let worker = lb.worker("w1").await;
    let job = r#"{"image":"busybox"}"#;
    let parked = worker.park().await;
    let first = client.post(JSON, "*/*", job).await;
    let lease = parked.lease().await.expect("the job");
    let flights = operator.get("/admin/v1/flights").await.json();
    let digest = flights["flights"][0]["job"].clone();
    let purge = serde_json::json!({ "job": digest }).to_string();
    change(&operator, "/admin/v1/purge", &purge).await;
    // Who asks now wants a run that began after the purge, and does not share the old one.
    let parked = worker.park().await;
    let second = client.post(JSON, "*/*", job).await;
    let newer = parked.lease().await.expect("the same job again");
    // The old run is answered to who waits for it, and known to nobody else.
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"old", &[])).await, 204);
    assert_eq!(first.answer().await.expect("an answer").json()["stdout"], "old");
    let path = format!("/api/v1/results/{}", digest.as_str().expect("text"));
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(worker.done(newer.head.lease, exited(0), &result(b"new", &[])).await, 204);
    assert_eq!(second.answer().await.expect("an answer").json()["stdout"], "new");
    assert_eq!(client.get(&path).await.json()["stdout"], "new");
    let metrics = String::from_utf8(operator.get("/metrics").await.body).expect("text");
    assert!(metrics.contains("pe_lb_cache_not_kept_total{reason=\"purged\"} 1"), "{metrics}");
}

#[tokio::test]
async fn who_is_not_let_in_gets_no_known_result_and_is_counted_once() {
    let mut lb = Lb::start().await;
    let (operator, client) = (lb.operator().await, lb.client().await);
    let sent = client.post(JSON, "*/*", r#"{"image":"busybox"}"#).await;
    lb.until(|census| census.jobs == 1).await;
    lb.worker("w1").await.serve_one().await;
    let digest = sent.answer().await.expect("an answer").json()["job"].clone();
    let path = format!("/api/v1/results/{}", digest.as_str().expect("text"));
    assert_eq!(client.get(&path).await.status, 200);
    let guess = [("authorization", "Bearer nobody-has-this-key")];
    let unknown = client.request(http::Method::GET, &path, &guess).await;
    assert_eq!(unknown.problem(), "unauthorized");
    let ban = r#"{"client":"127.0.0.1","seconds":600}"#;
    assert_eq!(change(&operator, "/admin/v1/ban", ban).await.json()["changed"], 1);
    let banned = client.get(&path).await;
    assert_eq!(banned.problem(), "forbidden");
    assert!(banned.headers.contains_key("x-request-id"), "{banned:?}");
    let metrics = String::from_utf8(operator.get("/metrics").await.body).expect("text");
    for line in ["denied_total{limit=\"unknown-key\"} 1", "denied_total{limit=\"banned\"} 1"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_client_is_banned_for_a_while_and_forgiven() {
    let lb = Lb::start().await;
    let (operator, client) = (lb.operator().await, lb.client().await);
    let ban = r#"{"client":"127.0.0.0/8","seconds":600,"reason":"tests"}"#;
    assert_eq!(change(&operator, "/admin/v1/ban", ban).await.json()["changed"], 1);
    assert_eq!(client.run_json(r#"{"image":"busybox"}"#).await.problem(), "forbidden");
    let bans = operator.get("/admin/v1/bans").await.json();
    assert_eq!(
        (&bans["bans"][0]["client"], &bans["bans"][0]["reason"]),
        (&"127.0.0.0/8".into(), &"tests".into())
    );
    let unban = r#"{"client":"127.0.0.0/8"}"#;
    assert_eq!(change(&operator, "/admin/v1/unban", unban).await.json()["changed"], 1);
    assert_eq!(change(&operator, "/admin/v1/unban", unban).await.json()["changed"], 0);
    assert_eq!(client.run_json(r#"{"image":"nope"}"#).await.problem(), "unknown-image");
    let bad = change(&operator, "/admin/v1/ban", r#"{"client":"?","seconds":600}"#).await;
    assert_eq!(
        (bad.problem().as_str(), &bad.json()["pointer"]),
        ("bad-request", &"/client".into())
    );
}

#[tokio::test]
async fn workers_jobs_and_leases_are_seen_and_a_worker_is_drained() {
    let mut lb = Lb::start().await;
    let (operator, client) = (lb.operator().await, lb.client().await);
    let worker = lb.worker("attic").await;
    let parked = worker.park().await;
    lb.until(|census| census.parked == 1).await;
    let workers = operator.get("/admin/v1/workers").await.json();
    let attic = &workers["workers"][0];
    assert_eq!(
        (&attic["name"], &attic["parked"], &attic["slots"]),
        (&"attic".into(), &1.into(), &16.into())
    );
    assert_eq!((&attic["is_draining"], &attic["is_quarantined"]), (&false.into(), &false.into()));

    let first = client.post(JSON, "*/*", r#"{"image":"busybox","args":["1"]}"#).await;
    let lease = parked.lease().await.expect("the job");
    let _second = client.post(JSON, "*/*", r#"{"image":"busybox","args":["2"]}"#).await;
    lb.until(|census| census.waiting == 1).await;
    let queue = operator.get("/admin/v1/queue").await.json();
    assert_eq!((&queue["jobs"][0]["client"], &queue["more"]), (&"127.0.0.1".into(), &0.into()));
    let leases = operator.get("/admin/v1/leases").await.json();
    assert_eq!(
        (&leases["leases"][0]["worker"], leases["leases"].as_array().map(Vec::len)),
        (&"attic".into(), Some(1))
    );
    assert_eq!(leases["leases"][0]["request_id"], lease.head.request_id);
    let metrics = String::from_utf8(operator.get("/metrics").await.body).expect("text");
    assert!(
        metrics.contains("pe_lb_worker_slots{state=\"leased\",worker=\"attic\"} 1"),
        "{metrics}"
    );

    let drain = r#"{"worker":"attic","draining":true}"#;
    let drained = change(&operator, "/admin/v1/drain-worker", drain).await.json();
    assert_eq!(drained["changed"], 1, "{drained}");
    // Its slots stay parked, and the job that could have one waits.
    let held = worker.park().await;
    let census = lb.until(|census| census.parked == 1).await;
    assert_eq!(census.waiting, 1);
    let workers = operator.get("/admin/v1/workers").await.json();
    assert_eq!(workers["workers"][0]["is_draining"], true);
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"", &[])).await, 204);
    assert_eq!(first.answer().await.expect("an answer").status, 200);
    let undo = r#"{"worker":"attic","draining":false}"#;
    change(&operator, "/admin/v1/drain-worker", undo).await;
    assert!(held.lease().await.is_some(), "the second job");

    let unknown = r#"{"worker":"cellar","draining":true}"#;
    let unknown = change(&operator, "/admin/v1/drain-worker", unknown).await;
    assert_eq!(
        (unknown.problem().as_str(), &unknown.json()["pointer"]),
        ("not-found", &"/worker".into())
    );
    let quarantine = r#"{"worker":"attic","quarantined":true}"#;
    change(&operator, "/admin/v1/quarantine-worker", quarantine).await;
    let workers = operator.get("/admin/v1/workers").await.json();
    assert_eq!(workers["workers"][0]["is_quarantined"], true);
}
