//! `pe images`, `pe wait-ready`, `pe version`.

use serde_json::{Value, json};

use crate::server::{Scripted, http};
use crate::{bare_pe, output, pe, texts};

#[test]
fn images_are_a_table_or_json() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let catalogue = json!({"version": 2, "images": [{
        "name": "gcc", "tags": ["12"], "title": "GNU C", "description": "A compiler.",
        "platforms": [{"arch": "x86_64", "digest": digest,
            "pack": {"digest": digest, "bytes": 1_048_576, "prefix": ""},
            "config": {"entrypoint": [], "cmd": [], "env": [], "workdir": "", "user": ""}}],
        "playground": null,
    }]});
    let answer = http("200 OK", "application/json", catalogue.to_string().as_bytes());
    let ask = |args: &[&str]| {
        let server = Scripted::new();
        let mut pe = pe("images", &server);
        pe.args(args);
        let asked = server.answer(vec![answer.clone()]);
        let done = output(&mut pe);
        let asked = asked.join().expect("served");
        assert!(asked.first().expect("one").head.starts_with("GET /api/v1/images HTTP/1.1\r\n"));
        assert!(done.status.success());
        String::from_utf8(done.stdout).expect("text")
    };
    let table = "\
IMAGE  TAGS  ARCH    SIZE     WHAT IT IS
gcc    12    x86_64  1.0 MiB  GNU C
";
    assert_eq!(ask(&[]), table);
    assert_eq!(serde_json::from_str::<Value>(&ask(&["--json"])).expect("json"), catalogue);
}

#[test]
fn a_catalogue_that_cannot_be_read_is_said_plainly() {
    let server = Scripted::new();
    let mut pe = pe("images", &server);
    let _asked = server.answer(vec![http("200 OK", "application/json", b"{\"version\": 2}")]);
    let done = output(&mut pe);
    let (status, stdout, stderr) = texts(&done);
    assert_eq!((status, stdout), (Some(125), ""));
    assert!(stderr.starts_with("pe: the catalogue of the server cannot be read: "), "{stderr}");
}

#[test]
fn wait_ready_says_why_it_waits_and_ends_when_it_need_not() {
    let problem = json!({
        "type": "urn:pe:problem:no-worker", "title": "no worker", "status": 503,
        "detail": "no worker has said hello yet", "fault": "capacity", "retry": true,
    });
    let report =
        br#"{"ready":false,"archs":{"x86_64":{"ready":false,"reason":"no answer in 15 s"}}}"#;
    let server = Scripted::new();
    let url = server.url();
    let mut pe = pe("wait-ready", &server);
    let asked = server.answer(vec![
        http("503 Service Unavailable", "application/problem+json", problem.to_string().as_bytes()),
        http("503 Service Unavailable", "text/plain", b"the first job is running\n"),
        http("503 Service Unavailable", "application/json", report),
        http("200 OK", "text/plain", b"ready\n"),
    ]);
    let done = output(&mut pe);
    let (status, stdout, stderr) = texts(&done);
    assert_eq!((status, stdout), (Some(0), ""));
    let stderr = stderr.replace(&url, "SERVER");
    let lines: Vec<&str> = stderr.lines().collect();
    let [first, second, third, ready] = lines.as_slice() else { panic!("{stderr}") };
    assert_eq!(*first, "pe: waiting for SERVER: no worker has said hello yet");
    assert_eq!(*second, "pe: waiting for SERVER: the first job is running");
    assert_eq!(*third, "pe: waiting for SERVER: no answer in 15 s");
    assert!(ready.starts_with("pe: SERVER is ready, after "), "{ready}");
    for request in asked.join().expect("served") {
        assert!(request.head.starts_with("GET /readyz HTTP/1.1\r\n"), "{}", request.head);
    }
}

#[test]
fn wait_ready_gives_up_with_the_last_reason() {
    let server = Scripted::new();
    let mut pe = pe("wait-ready", &server);
    pe.args(["--timeout", "0s", "--quiet"]);
    drop(server);
    let done = output(&mut pe);
    let (status, _, stderr) = texts(&done);
    assert_eq!(status, Some(1));
    assert!(stderr.contains(" is not ready after 0 ms: "), "{stderr}");
}

#[test]
fn the_version_is_printed_either_way() {
    let version = format!("pe {}\n", env!("CARGO_PKG_VERSION"));
    for arg in ["version", "--version"] {
        assert_eq!(texts(&output(bare_pe().arg(arg))), (Some(0), version.as_str(), ""));
    }
}
