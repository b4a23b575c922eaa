//! Results of untrusted workers, and second workers that confirm them or do not.

use std::time::Duration;

use h2::Reason;
use pe_lb::server::Drained;
use pe_proto::Outcome;
use serde_json::Value;

use crate::admin::change;
use crate::client::{Client, JSON};
use crate::lb::{Lb, busybox};
use crate::trust::{metrics, reload, workers};
use crate::worker::{Lease, Parked, ScriptedWorker, exited, result};

/// Three owners; the last one's worker is trusted.
fn fleet() -> String {
    workers(&[
        ("ann-1", "token of ann's first", "owner = \"ann\""),
        ("ann-2", "token of ann's second", "owner = \"ann\""),
        ("bob-1", "token of bob's worker", "owner = \"bob\""),
        ("ours", "token of our own worker", "trusted = true"),
    ])
}

async fn dial(lb: &Lb, name: &str) -> ScriptedWorker {
    let token = match name {
        "ann-1" => "token of ann's first",
        "ann-2" => "token of ann's second",
        "bob-1" => "token of bob's worker",
        _ => "token of our own worker",
    };
    let mut worker = ScriptedWorker::silent(lb.workers, name).await.with_token(token);
    assert_eq!(worker.hello(&[busybox()]).await, 200);
    worker
}

/// Parks some slots, and waits until all that are parked are so many.
async fn park(lb: &mut Lb, worker: &ScriptedWorker, count: usize, all: usize) -> Vec<Parked> {
    let mut parked = Vec::new();
    for _ in 0..count {
        parked.push(worker.park().await);
    }
    lb.until(|census| census.parked == all).await;
    parked
}

fn job(number: u32) -> String {
    format!(r#"{{"image":"busybox","args":["{number}"]}}"#)
}

async fn say(worker: &ScriptedWorker, lease: &Lease, stdout: &[u8]) {
    let done = worker.done(lease.head.lease, exited(0), &result(stdout, &[])).await;
    assert_eq!(done, 204);
}

/// A client's job that this worker gets, as its slot is the latest; its lease and the answer.
async fn run(
    lb: &mut Lb,
    client: &Client,
    worker: &ScriptedWorker,
    job: &str,
    stdout: &[u8],
) -> (Lease, Value) {
    let before = lb.census().parked;
    let parked = worker.park().await;
    lb.until(|census| census.parked == before + 1).await;
    let sent = client.post(JSON, "*/*", job.to_owned()).await;
    let held = parked.lease().await.expect("the job");
    say(worker, &held, stdout).await;
    let answer = sent.answer().await.expect("an answer").json();
    assert_eq!(answer.get("cache").and_then(Value::as_str), Some("miss"));
    (held, answer)
}

async fn holds(lb: &Lb, series: &str) {
    let metrics = metrics(lb).await;
    assert!(metrics.lines().any(|line| line == series), "{series}\n{metrics}");
}

#[tokio::test]
async fn case_35_a_result_that_two_owners_agree_on_is_a_hit_for_the_third_who_asks() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (ann, bob) = (dial(&lb, "ann-1").await, dial(&lb, "bob-1").await);
    let client = lb.client().await;
    let mut slots = park(&mut lb, &bob, 2, 2).await;
    let (first, _) = run(&mut lb, &client, &ann, &job(1), b"true").await;
    let second = slots.pop().expect("a slot").lease().await.expect("the job, of nobody");
    assert_ne!(
        second.head.request_id, first.head.request_id,
        "it is not told that this was run before"
    );
    assert!(lb.census().waiting == 0 && lb.census().parked == 1);
    say(&bob, &second, b"true").await;
    lb.settled().await;
    let hit = client.run_json(&job(1)).await.json();
    assert_eq!((hit["stdout"].as_str(), hit["cache"].as_str()), (Some("true"), Some("hit")));
    assert_eq!(hit["ran_on"]["worker"], "bob-1", "what is kept is what the second one said");
    holds(&lb, "pe_lb_confirmations_total{verdict=\"agreed\"} 1").await;
    holds(&lb, "pe_lb_cache_not_kept_total{reason=\"untrusted\"} 1").await;
}

#[tokio::test]
async fn case_35_two_workers_of_one_owner_are_one_voice_and_another_owner_is_waited_for() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (one, two) = (dial(&lb, "ann-1").await, dial(&lb, "ann-2").await);
    let client = lb.client().await;
    let _idle = park(&mut lb, &two, 2, 2).await;
    run(&mut lb, &client, &one, &job(1), b"lie").await;
    // What is asked again is run again, and still is one owner's word.
    run(&mut lb, &client, &two, &job(1), b"lie").await;
    let bob = dial(&lb, "bob-1").await;
    let asked = bob.park().await.lease().await.expect("the job, of nobody");
    holds(&lb, "pe_lb_confirm_runs_total 1").await;
    holds(&lb, "pe_lb_cache_fills_total 0").await;
    say(&bob, &asked, b"lie").await;
    lb.settled().await;
    assert_eq!(client.run_json(&job(1)).await.json()["cache"], "hit");
}

#[tokio::test]
async fn case_35_what_another_owner_says_in_a_clients_own_run_confirms_it_too() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (ann, bob) = (dial(&lb, "ann-1").await, dial(&lb, "bob-1").await);
    let client = lb.client().await;
    // No slot is to spare, ever.
    run(&mut lb, &client, &ann, &job(1), b"true").await;
    run(&mut lb, &client, &bob, &job(1), b"true").await;
    // Who waits for a slot to spare learns that none is needed any more.
    lb.settled().await;
    assert_eq!(client.run_json(&job(1)).await.json()["cache"], "hit");
    holds(&lb, "pe_lb_confirm_runs_total 0").await;
}

#[tokio::test]
async fn case_35_a_liar_is_never_a_hit_and_is_struck_when_trusted_runs_agree_on_something_else() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (liar, ours) = (dial(&lb, "ann-1").await, dial(&lb, "ours").await);
    let client = lb.client().await;
    let mut slots = park(&mut lb, &ours, 3, 3).await;
    for number in 0..6 {
        run(&mut lb, &client, &liar, &job(number), b"lie").await;
        for _ in 0..2 {
            let asked = slots.pop().expect("a slot").lease().await.expect("the job, of nobody");
            say(&ours, &asked, b"truth").await;
        }
        lb.settled().await;
        slots.extend(park(&mut lb, &ours, 2, 3).await);
    }
    holds(&lb, "pe_lb_confirmations_total{verdict=\"contradicted\"} 6").await;
    holds(&lb, "pe_lb_worker_strikes_total{fault=\"contradicted\"} 6").await;
    holds(&lb, "pe_lb_cache_fills_total 0").await;
    lb.until(|census| census.quarantined == 1).await;
    run(&mut lb, &client, &ours, &job(0), b"truth").await;
    let hit = client.run_json(&job(0)).await.json();
    assert_eq!((hit["stdout"].as_str(), hit["cache"].as_str()), (Some("truth"), Some("hit")));
}

#[tokio::test]
async fn case_35_a_program_that_never_ends_the_same_way_strikes_nobody_and_is_left_alone() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (ann, ours) = (dial(&lb, "ann-1").await, dial(&lb, "ours").await);
    let client = lb.client().await;
    let mut slots = park(&mut lb, &ours, 3, 3).await;
    for round in 0..4_u8 {
        run(&mut lb, &client, &ann, &job(1), &[b'a', round]).await;
        if round == 3 {
            break;
        }
        for other in [b'b', b'c'] {
            let asked = slots.pop().expect("a slot").lease().await.expect("the job, of nobody");
            say(&ours, &asked, &[other, round]).await;
        }
        lb.settled().await;
        slots.extend(park(&mut lb, &ours, 2, 3).await);
    }
    lb.settled().await;
    holds(&lb, "pe_lb_confirmations_total{verdict=\"disputed\"} 3").await;
    holds(&lb, "pe_lb_confirm_runs_total 6").await;
    holds(&lb, "pe_lb_worker_strikes_total{fault=\"contradicted\"} 0").await;
    assert_eq!(lb.census().parked, 3, "nobody is asked a fourth time");
}

#[tokio::test]
async fn case_35_when_two_untrusted_workers_differ_nobody_is_believed_and_both_are_counted() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (ann, bob) = (dial(&lb, "ann-1").await, dial(&lb, "bob-1").await);
    let client = lb.client().await;
    let mut slots = park(&mut lb, &bob, 2, 2).await;
    run(&mut lb, &client, &ann, &job(1), b"one").await;
    let asked = slots.pop().expect("a slot").lease().await.expect("the job, of nobody");
    say(&bob, &asked, b"other").await;
    lb.settled().await;
    holds(&lb, "pe_lb_confirmations_total{verdict=\"disputed\"} 1").await;
    holds(&lb, "pe_lb_worker_strikes_total{fault=\"disputed\"} 2").await;
    holds(&lb, "pe_lb_cache_fills_total 0").await;
}

#[tokio::test]
async fn a_run_that_confirms_gives_way_to_clients_and_is_made_when_nobody_waits() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (ann, bob) = (dial(&lb, "ann-1").await, dial(&lb, "bob-1").await);
    let (first, second, third) = (lb.client().await, lb.client().await, lb.client().await);
    let mut slots = park(&mut lb, &bob, 2, 2).await;
    run(&mut lb, &first, &ann, &job(1), b"true").await;
    let spare = slots.pop().expect("a slot").lease().await.expect("the job, of nobody");
    // The next client finds a slot; one more would have to wait.
    let sent = second.post(JSON, "*/*", job(2)).await;
    let held = slots.pop().expect("a slot").lease().await.expect("a client's job");
    assert_eq!(held.head.spec.args.last().map(String::as_str), Some("2"));
    let waits = third.post(JSON, "*/*", job(3)).await;
    assert_eq!(spare.ended().await, Err(Some(Reason::CANCEL)));
    assert_eq!(lb.census().waiting, 1);
    // What comes free is the client's.
    let next = bob.park().await.lease().await.expect("a client's job");
    assert_eq!(next.head.spec.args.last().map(String::as_str), Some("3"));
    holds(&lb, "pe_lb_confirm_displaced_total 1").await;
    let (_idle, spare) = (bob.park().await, bob.park().await);
    let spare = spare.lease().await.expect("the job, of nobody");
    assert_eq!(spare.head.spec.args.last().map(String::as_str), Some("1"));
    say(&bob, &spare, b"true").await;
    for lease in [held, next] {
        // Nothing that would have to be confirmed.
        let done = bob.done(lease.head.lease, Outcome::OutOfMemory, &result(b"", &[])).await;
        assert_eq!(done, 204);
    }
    assert_eq!(sent.answer().await.expect("an answer").status, 200);
    assert_eq!(waits.answer().await.expect("an answer").status, 200);
    lb.settled().await;
    assert_eq!(first.run_json(&job(1)).await.json()["cache"], "hit");
}

#[tokio::test]
async fn a_result_that_waits_to_be_confirmed_holds_up_no_drain_and_a_purge_makes_it_nothing() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (ann, bob) = (dial(&lb, "ann-1").await, dial(&lb, "bob-1").await);
    let client = lb.client().await;
    let mut slots = park(&mut lb, &bob, 2, 2).await;
    let (_, answer) = run(&mut lb, &client, &ann, &job(1), b"true").await;
    let spare = slots.pop().expect("a slot").lease().await.expect("the job, of nobody");
    let purge = serde_json::json!({ "job": answer["job"] }).to_string();
    change(&lb.operator().await, "/admin/v1/purge", &purge).await;
    say(&bob, &spare, b"true").await;
    lb.settled().await;
    holds(&lb, "pe_lb_cache_fills_total 0").await;
    // This one nobody confirms.
    run(&mut lb, &client, &ann, &job(2), b"true").await;
    let ended = tokio::time::timeout(Duration::from_secs(10), lb.ended()).await;
    assert_eq!(ended.expect("in time"), Drained::Wholly);
}

/// Confirms so many of a hundred from now on.
async fn percent(lb: &Lb, percent: u8) {
    let path = lb.path("lb.toml");
    let toml = std::fs::read_to_string(&path).expect("settings");
    let before = toml.lines().find(|line| line.starts_with("confirm_percent")).expect("a line");
    let after = format!("confirm_percent = {percent}");
    std::fs::write(path, toml.replace(before, &after)).expect("a file");
    reload(lb).await;
}

#[tokio::test]
async fn how_much_is_confirmed_is_what_the_settings_say_after_a_reload() {
    let mut lb = Lb::confirming(&fleet()).await;
    let (ann, bob) = (dial(&lb, "ann-1").await, dial(&lb, "bob-1").await);
    let client = lb.client().await;
    let mut slots = park(&mut lb, &bob, 3, 3).await;
    percent(&lb, 0).await;
    run(&mut lb, &client, &ann, &job(1), b"true").await;
    lb.settled().await;
    holds(&lb, "pe_lb_confirm_runs_total 0").await;
    percent(&lb, 100).await;
    run(&mut lb, &client, &ann, &job(2), b"true").await;
    let asked = slots.pop().expect("a slot").lease().await.expect("the job, of nobody");
    assert_eq!(asked.head.spec.args.last().map(String::as_str), Some("2"));
    say(&bob, &asked, b"true").await;
    lb.settled().await;
    holds(&lb, "pe_lb_confirm_runs_total 1").await;
    assert_eq!(client.run_json(&job(2)).await.json()["cache"], "hit");
}
