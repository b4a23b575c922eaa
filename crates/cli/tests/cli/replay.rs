//! `pe replay`.

use std::process::Command;

use pe_proto::archive::Kind;
use serde_json::{Value, json};

use crate::server::{Recorded, Scripted, exited, http, result};
use crate::{bare_pe, output, texts};

const ID: &str = "RBNvo1WzZ4oRRq0W9-hknp";

/// A job as results of the scripted server name it.
fn job() -> String {
    "ab".repeat(32)
}

fn state(job: Value) -> Value {
    json!({
        "v": 1, "image": "busybox:1", "files": {"b.txt": "two", "a.sh": {"text": "one", "executable": true}},
        "stdin": "in", "values": {}, "command": ["sh", "a.sh"], "outputs": ["*.o"],
        "limits": {"wall_ms": 7000}, "job": job,
    })
}

fn share(state: &Value) -> Vec<u8> {
    http("200 OK", "application/json", state.to_string().as_bytes())
}

/// The catalogue, with a form.
fn images() -> Vec<u8> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let catalogue = json!({"version": 2, "images": [{
        "name": "busybox", "tags": ["1"], "title": "BusyBox", "description": "",
        "platforms": [{"arch": "x86_64", "digest": digest,
            "pack": {"digest": digest, "bytes": 1, "prefix": ""},
            "config": {"entrypoint": [], "cmd": [], "env": [], "workdir": "", "user": ""}}],
        "playground": {
            "command": ["cat", "{number}", "{file}"], "env": [{"name": "LINES", "field": "lines"}],
            "fields": [
                {"name": "number", "label": "Numbers", "kind": "flag", "default": false, "args": ["-n"]},
                {"name": "file", "label": "File", "kind": "file", "types": [], "default": "b.txt", "args": ["{}"]},
                {"name": "lines", "label": "Lines", "kind": "number", "min": 1, "max": 9, "step": 1, "default": 5, "args": []},
            ],
        },
    }]});
    http("200 OK", "application/json", catalogue.to_string().as_bytes())
}

fn unknown() -> Vec<u8> {
    let problem = json!({
        "type": "urn:pe:problem:unknown-result", "title": "no", "status": 404, "detail": "no",
        "fault": "client", "retry": false,
    });
    http("404 Not Found", "application/problem+json", problem.to_string().as_bytes())
}

fn printed(stdout: &[u8], files: &[(Kind, &str, &[u8])]) -> Vec<u8> {
    let mut entries = files.to_vec();
    entries.push((Kind::File, "stderr", b""));
    entries.push((Kind::File, "stdout", stdout));
    result(exited(0), &entries)
}

fn replay(args: &[&str]) -> Command {
    let mut pe = bare_pe();
    pe.arg("replay").args(args);
    pe
}

fn paths(asked: &[Recorded]) -> Vec<&str> {
    asked.iter().map(|each| each.head.split(" HTTP").next().expect("a request")).collect()
}

#[test]
fn the_same_job_is_run_again_past_the_cache_and_found_the_same() {
    let server = Scripted::new();
    let link = format!("{}/s/{ID}", server.url());
    let answer = printed(b"hello\n", &[(Kind::File, "output/x", b"1")]);
    let asked = server.answer(vec![share(&state(job().into())), answer.clone(), images(), answer]);
    let done = output(&mut replay(&[&link]));
    let (status, stdout, stderr) = texts(&done);
    assert_eq!((status, stderr), (Some(0), ""));
    assert_eq!(stdout, "same: exited with 0, 6 bytes on stdout, 0 bytes on stderr, and x\n");
    let asked = asked.join().expect("served");
    let [looked, found, _, ran] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(looked.head.starts_with(&format!("GET /api/v1/shares/{ID} HTTP")), "{}", looked.head);
    assert!(found.head.starts_with(&format!("GET /api/v1/results/{} HTTP", job())));
    assert_eq!(found.header("accept"), Some("application/vnd.pe.v1"));
    let (config, entries) = ran.job();
    let expected = json!({
        "image": "busybox:1", "args": ["sh", "a.sh"], "env": {"LINES": "5"}, "outputs": ["*.o"],
        "limits": {"wall_ms": 7000}, "requires": {}, "cache": "off",
    });
    assert_eq!(serde_json::to_value(&config).expect("JSON"), expected);
    let names: Vec<_> =
        entries.iter().map(|(kind, path, data)| (*kind, path.as_str(), data.as_slice())).collect();
    let expected = [
        (Kind::Executable, "input/a.sh", b"one".as_slice()),
        (Kind::File, "input/b.txt", b"two"),
        (Kind::File, "stdin", b"in"),
    ];
    assert_eq!(names, expected);
}

#[test]
fn every_difference_is_told_and_the_status_says_that_there_is_one() {
    let server = Scripted::new();
    let link = format!("{}/embed/s/{ID}", server.url());
    let then =
        printed(b"one\ntwo\n", &[(Kind::File, "output/a", b"1"), (Kind::File, "output/b", b"2")]);
    let entries = [
        (Kind::Executable, "output/a", b"1".as_slice()),
        (Kind::File, "output/c", b"3"),
        (Kind::File, "stderr", b"oh \x1b[31mno\n"),
        (Kind::File, "stdout", b"one\ntwice\n"),
    ];
    let now = result(exited(3), &entries);
    let asked = server.answer(vec![share(&state(job().into())), then, images(), now]);
    let done = output(&mut replay(&[&link]));
    let (status, stdout, stderr) = texts(&done);
    assert_eq!((status, stderr), (Some(1), ""));
    let expected = "\
outcome: exited with 0 then, exited with 3 now
stdout: differs from byte 7 on (line 2); 8 bytes then, 10 bytes now
  then: o
  now:  ice
stderr: differs from byte 1 on (line 1); 0 bytes then, 11 bytes now
  then: (its end)
  now:  oh \\u{1b}[31mno
files/a: a file then, an executable file now
files/b: was there then, and is not now
files/c: was not there then, and is now
";
    assert_eq!(stdout, expected);
    asked.join().expect("served");
}

#[test]
fn another_server_may_run_it_and_the_answer_may_be_json() {
    let (home, there) = (Scripted::new(), Scripted::new());
    let (link, server) = (format!("{}/s/{ID}", home.url()), there.url());
    let home = home.answer(vec![share(&state(job().into())), printed(b"a", &[])]);
    let there = there.answer(vec![images(), printed(b"b", &[])]);
    let done = output(&mut replay(&["--json", "--server", &server, &link]));
    let (status, stdout, _) = texts(&done);
    assert_eq!(status, Some(1));
    let told: Value = serde_json::from_str(stdout).expect("JSON");
    assert_eq!(told["same"], false);
    assert_eq!(told["differences"][0]["what"], "stdout");
    assert_eq!(told["then"]["job"], job());
    home.join().expect("served");
    let there = there.join().expect("served");
    assert_eq!(paths(&there), ["GET /api/v1/images", "POST /api/v1/run"]);
}

#[test]
fn a_state_without_a_result_is_compared_with_what_is_known_of_its_job() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("state.json");
    std::fs::write(&file, state(Value::Null).to_string()).expect("a file");
    let server = Scripted::new();
    let url = server.url();
    let asked = server.answer(vec![images(), printed(b"a", &[]), printed(b"a", &[])]);
    let done = output(&mut replay(&["--server", &url, file.to_str().expect("text")]));
    assert_eq!(texts(&done).0, Some(0), "{done:?}");
    let asked = asked.join().expect("served");
    assert_eq!(
        paths(&asked),
        ["GET /api/v1/images", "POST /api/v1/run", &format!("GET /api/v1/results/{}", job())]
    );
}

/// What the page had from the image's form, words and variables.
#[test]
fn a_state_without_a_command_has_what_the_form_of_its_image_makes_of_its_values() {
    let state_with = |values: Value| {
        let mut state = state(job().into());
        state["command"] = Value::Null;
        state["values"] = values;
        share(&state)
    };
    let answer = || printed(b"a", &[]);
    let server = Scripted::new();
    let link = format!("{}/s/{ID}", server.url());
    let state = state_with(json!({"number": "true", "lines": ""}));
    let asked = server.answer(vec![state, answer(), images(), answer()]);
    let done = output(&mut replay(&[&link]));
    assert_eq!(texts(&done).0, Some(0), "{done:?}");
    let asked = asked.join().expect("served");
    let (config, _) = asked.last().expect("a run").job();
    assert_eq!(config.args.as_deref(), Some(["cat", "-n", "b.txt"].map(str::to_owned).as_slice()));
    assert!(config.env.is_empty());

    let server = Scripted::new();
    let link = format!("{}/s/{ID}", server.url());
    let asked = server.answer(vec![state_with(json!({"colour": "red"})), answer(), images()]);
    let done = output(&mut replay(&[&link]));
    let (status, _, stderr) = texts(&done);
    assert_eq!(status, Some(2), "{stderr}");
    assert!(stderr.contains("the form of the image does not take its values"), "{stderr}");
    asked.join().expect("served");
}

#[test]
fn nothing_to_compare_with_is_no_success() {
    let server = Scripted::new();
    let link = format!("{}/s/{ID}", server.url());
    let gone = "cd".repeat(32);
    let asked = server.answer(vec![
        share(&state(gone.into())),
        unknown(),
        images(),
        printed(b"a", &[]),
        unknown(),
    ]);
    let done = output(&mut replay(&[&link]));
    let (status, stdout, stderr) = texts(&done);
    assert_eq!((status, stdout), (Some(125), ""));
    assert!(stderr.contains("it is another job now than in the link"), "{stderr}");
    assert!(stderr.contains("nothing to compare; it exited with 0 now"), "{stderr}");
    asked.join().expect("served");
}

#[test]
fn a_link_that_is_none_is_refused_before_anything_is_run() {
    let server = Scripted::new();
    for link in ["http://127.0.0.1:1/", "#s=____", "/nowhere/state.json", "http://127.0.0.1:1/s/x"]
    {
        let done = output(&mut replay(&["--server", &server.url(), link]));
        let (status, stdout, stderr) = texts(&done);
        assert_eq!((status, stdout), (Some(2), ""), "{link}: {stderr}");
    }
    server.assert_unasked();
    for bad in [
        json!({"v": 2, "image": "x"}),
        json!({"v": 1, "image": "x", "command": ["true"], "files": {"../etc/passwd": "x"}}),
        json!({"v": 1, "image": "x", "command": ["true"], "stdin": {"base64": "?"}}),
        json!([]),
    ] {
        let server = Scripted::new();
        let link = format!("{}/s/{ID}", server.url());
        let asked = server.answer(vec![share(&bad)]);
        let done = output(&mut replay(&[&link]));
        assert_eq!(texts(&done).0, Some(2), "{bad}: {done:?}");
        asked.join().expect("served");
    }
}
