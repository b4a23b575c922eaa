//! `pe admin` against a scripted load balancer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Recorded, Scripted, http};
use crate::{bare_pe, output, texts};

fn operator(server: &Scripted, args: &[&str]) -> Command {
    let mut pe = bare_pe();
    pe.args(["admin", "--admin", &server.url()]).args(args);
    pe
}

fn answered(args: &[&str], answer: &[u8]) -> (std::process::Output, Recorded) {
    let server = Scripted::new();
    let mut pe = operator(&server, args);
    let asked = server.answer(vec![answer.to_vec()]);
    let done = output(&mut pe);
    (done, asked.join().expect("served").remove(0))
}

fn ok(json: &Value) -> Vec<u8> {
    http("200 OK", "application/json", json.to_string().as_bytes())
}

#[test]
fn what_is_looked_at_is_a_table_or_the_answer_as_it_came() {
    let lease = json!({"lease": "01", "request_id": "r-1", "worker": "attic", "age_ms": 1500,
        "is_hedge": false, "new": true});
    let answer = ok(&json!({"leases": [lease], "more": 0}));
    let (done, asked) = answered(&["leases"], &answer);
    assert!(asked.head.starts_with("GET /admin/v1/leases HTTP/1.1\r\n"), "{}", asked.head);
    let table = "LEASE  REQUEST  WORKER  SINCE\n01     r-1      attic   1.5 s\n";
    assert_eq!(texts(&done), (Some(0), table, ""));
    let (done, _) = answered(&["leases", "--json"], &answer);
    let json: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(json["leases"][0]["new"], true);
}

#[test]
fn changes_are_sent_as_the_protocol_says() {
    let done = ok(&json!({"changed": 1, "detail": "so be it"}));
    let check = |args: &[&str], path: &str, body: Value| {
        let (output, asked) = answered(args, &done);
        assert_eq!(texts(&output), (Some(0), "so be it\n", ""), "{args:?}");
        assert!(asked.head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{}", asked.head);
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(serde_json::from_slice::<Value>(&asked.body).expect("JSON"), body, "{args:?}");
    };
    let worker = |draining: bool| json!({"worker": "attic", "draining": draining});
    check(&["drain", "attic"], "/admin/v1/drain-worker", worker(true));
    check(&["drain", "attic", "--undo"], "/admin/v1/drain-worker", worker(false));
    check(&["drain", "--lb"], "/admin/v1/drain", json!({}));
    let worker = json!({"worker": "attic", "quarantined": true});
    check(&["quarantine", "attic"], "/admin/v1/quarantine-worker", worker);
    check(&["purge", "ab"], "/admin/v1/purge", json!({"job": "ab"}));
    let ban = json!({"client": "192.0.2.0/24", "seconds": 7200, "reason": "mines"});
    check(&["ban", "192.0.2.0/24", "--for", "2h", "--reason", "mines"], "/admin/v1/ban", ban);
    check(&["unban", "key:docs"], "/admin/v1/unban", json!({"client": "key:docs"}));
}

#[test]
fn a_reload_says_what_holds_and_what_does_not() {
    let answer = json!({"applied": ["catalogue"], "needs_restart": ["queue.jobs_max"]});
    let (done, _) = answered(&["reload"], &ok(&answer));
    let told = "Holds now: catalogue\nChanged, but needs a restart: queue.jobs_max\n";
    assert_eq!(texts(&done), (Some(0), told, ""));
}

#[test]
fn a_refusal_says_what_to_do_next() {
    let problem = |status: u16, kind: &str, detail: &str| {
        let problem = json!({"type": format!("urn:pe:problem:{kind}"), "title": "t",
            "status": status, "detail": detail, "fault": "client", "retry": false});
        http("401 Unauthorized", "application/problem+json", problem.to_string().as_bytes())
    };
    let (done, _) = answered(&["status"], &problem(401, "unauthorized", "expected a token"));
    let (status, stdout, stderr) = texts(&done);
    assert_eq!((status, stdout), (Some(125), ""));
    assert!(stderr.contains("expected a token") && stderr.contains("--token-file"), "{stderr}");
    let (done, _) = answered(&["status"], &http("404 Not Found", "text/html", b"<html>"));
    assert!(texts(&done).2.contains("--listen-admin"), "{}", texts(&done).2);

    let mut nobody = bare_pe();
    nobody.args(["admin", "--admin", "unix:/no/such/socket", "status"]);
    let done = output(&mut nobody);
    let (status, _, stderr) = texts(&done);
    assert_eq!(status, Some(125));
    assert!(stderr.contains("unix:/no/such/socket") && stderr.contains("PE_ADMIN"), "{stderr}");
}

#[test]
fn the_token_is_shown_and_never_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef\n").expect("a file");
    let file = token.to_str().expect("text");
    let status = http("500 Oops", "text/plain", b"");
    let (done, asked) = answered(&["status", "--token-file", file], &status);
    assert_eq!(asked.header("authorization"), Some("Bearer 0123456789abcdef"));
    assert!(!texts(&done).2.contains("0123456789abcdef"));
    std::fs::write(&token, "two words\n").expect("a file");
    let server = Scripted::new();
    let done = output(&mut operator(&server, &["status", "--token-file", file]));
    assert_eq!(done.status.code(), Some(2));
    server.assert_unasked();
}

#[test]
fn a_socket_of_this_machine_is_asked_like_a_port() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("admin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).expect("a request"), 0, "{head}");
        }
        let answer = ok(&json!({"bans": []}));
        stream.into_inner().write_all(&answer).expect("a reader");
        head
    });
    let mut pe = bare_pe();
    pe.args(["admin", "bans", "--admin", &format!("unix:{}", path.display())]);
    assert_eq!(texts(&output(&mut pe)), (Some(0), "Nobody is banned.\n", ""));
    let head = served.join().expect("served");
    assert!(head.contains("host: localhost\r\n"), "{head}");
}
