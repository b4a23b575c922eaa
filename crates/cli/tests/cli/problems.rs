//! What goes wrong, and what `pe` says then.

use std::io::Write as _;
use std::net::Shutdown;

use serde_json::{Value, json};

use crate::server::{Scripted, exited, head, http, ran, result};
use crate::{bare_pe, output, pe, texts, tree};

fn check_answer(answer: Vec<u8>, status: i32, messages: &[&str]) {
    let server = Scripted::new();
    let url = server.url();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x"]);
    let _asked = server.answer(vec![answer]);
    let done = output(&mut pe);
    let (code, stdout, stderr) = texts(&done);
    assert_eq!((code, stdout), (Some(status), ""), "{stderr}");
    let stderr = stderr.replace(&url, "SERVER");
    for message in messages {
        assert!(stderr.contains(message), "{stderr}");
    }
    assert!(stderr.lines().all(|line| line.starts_with("pe: ")), "{stderr}");
}

#[test]
fn a_problem_is_said_plainly_with_the_next_step() {
    let problem = json!({
        "type": "urn:pe:problem:unknown-image", "title": "unknown image", "status": 404,
        "detail": "there is no image `x` here", "fault": "client", "retry": false,
        "pointer": "/image",
    });
    check_answer(
        http("404 Not Found", "application/problem+json", problem.to_string().as_bytes()),
        125,
        &["pe: unknown image: there is no image `x` here (field /image)\n", "`pe images` lists"],
    );
}

#[test]
fn a_problem_is_json_where_json_is_asked_for() {
    let problem = json!({
        "type": "urn:pe:problem:draining", "title": "draining", "status": 503,
        "detail": "the server is shutting down", "fault": "capacity", "retry": true,
    });
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x", "--json"]);
    let body = problem.to_string();
    let answer = http("503 Busy", "application/problem+json", body.as_bytes());
    let _asked = server.answer(vec![answer]);
    let done = output(&mut pe);
    let (status, stdout, stderr) = texts(&done);
    assert_eq!(status, Some(125));
    assert_eq!(serde_json::from_str::<Value>(stdout).expect("json"), problem);
    assert!(stderr.starts_with("pe: draining: the server is shutting down\n"), "{stderr}");
}

#[test]
fn a_server_of_another_kind_is_noticed() {
    check_answer(
        http("404 Not Found", "text/html", b"\n<h1>\x1b[31mNot here</h1>\n"),
        125,
        &["SERVER answered 404 Not Found, but not as", "it said: <h1>\\u{1b}[31mNot here</h1>\n"],
    );
    check_answer(
        http("200 OK", "text/html", b"hello"),
        125,
        &["SERVER answered 200 OK, but not as a Program Explorer server does. Is --server right?"],
    );
    check_answer(
        http("500 Oops", "application/problem+json", b"{}"),
        125,
        &["SERVER answered 500 Internal Server Error, but not as"],
    );
}

#[test]
fn what_is_not_http_is_said_to_be_broken() {
    check_answer(b"SSH-2.0-OpenSSH\r\n".to_vec(), 125, &["the connection to SERVER broke before"]);
    check_answer(Vec::new(), 125, &["the connection to SERVER broke before it answered"]);
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer() {
    let whole = result(exited(0), &[]);
    let cut = whole[..whole.len() - 3].to_vec();
    check_answer(cut, 125, &["the connection to SERVER broke while it answered"]);
    check_answer(
        ran(&head(exited(0)), b"PEARCH\0\x01"),
        125,
        &["the answer of SERVER cannot be read: it is cut off. Nothing of it was kept\n"],
    );
}

#[test]
fn no_server_at_all_says_how_to_get_one() {
    let server = Scripted::new();
    let mut run = pe("run", &server);
    let mut images = pe("images", &server);
    run.args(["--image", "x"]);
    drop(server);
    for pe in [&mut run, &mut images] {
        let done = output(pe);
        let (status, _, stderr) = texts(&done);
        assert_eq!(status, Some(125));
        for words in
            ["no server answers at http://127.0.0.1:", "`make demo`", "--server URL", "PE_SERVER"]
        {
            assert!(stderr.contains(words), "{stderr}");
        }
    }
}

#[test]
fn a_server_that_does_not_speak_tls_is_not_asked_in_clear_text() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = format!("https://{}", listener.local_addr().expect("an address"));
    let heard = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().expect("pe");
        let mut first = [0; 5];
        stream.read_exact(&mut first).expect("a hello");
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        first
    });
    let mut pe = bare_pe();
    pe.args(["images", "--server", &server]);
    let done = output(&mut pe);
    let (status, _, stderr) = texts(&done);
    assert_eq!(status, Some(125), "{stderr}");
    assert!(stderr.contains(&server), "{stderr}");
    // The first byte of a TLS record that shakes hands.
    assert_eq!(heard.join().expect("a server").first(), Some(&0x16));
}

#[test]
fn mistakes_found_here_are_never_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let big = dir.path().join("big.bin");
    std::fs::File::create(&big).expect("file").set_len(17 << 20).expect("sparse");
    std::fs::write(dir.path().join("file"), "").expect("file");
    let path = |name: &str| dir.path().join(name).display().to_string();
    for (args, message) in [
        (vec!["--file", &path("big.bin")], "big.bin` (17.0 MiB) does not fit: all input of a job"),
        (vec!["--file", &path("gone.c")], "gone.c`: No such file"),
        (vec!["--file", &format!("{}=../x", path("file"))], "cannot be a path below /input"),
        (
            vec!["--file", &path("file"), "--file", &format!("{}=file", path("big.bin"))],
            "does not fit",
        ),
        (vec!["--stdin", &path("big.bin")], "big.bin` (16.0 MiB) does not fit"),
        (vec!["--env", "PE_TEST_NOT_SET"], "--env PE_TEST_NOT_SET=value"),
        (vec!["--cwd", "here"], "--cwd: expected an absolute path"),
        (vec!["--out", &path("file")], "file` cannot be used"),
        (vec!["--wall", "0s"], "expected from 1.0 ms to "),
    ] {
        let server = Scripted::new();
        let mut pe = pe("run", &server);
        pe.args(["--image", "x"]).args(&args);
        let done = output(&mut pe);
        let (status, stdout, stderr) = texts(&done);
        assert_eq!((status, stdout), (Some(2), ""), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{stderr}");
        server.assert_unasked();
    }
    assert_eq!(tree(dir.path()), ["big.bin", "file"]);
}

#[test]
fn a_refusal_during_a_large_upload_is_heard() {
    let dir = tempfile::tempdir().expect("a directory");
    let big = dir.path().join("big.bin");
    std::fs::write(&big, vec![7; 15 << 20]).expect("file");
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x", "--file"]).arg(&big);
    let problem = json!({
        "type": "urn:pe:problem:queue-full", "title": "queue full", "status": 503,
        "detail": "too many jobs wait", "fault": "capacity", "retry": true,
    });
    let answer =
        http("503 Service Unavailable", "application/problem+json", problem.to_string().as_bytes());
    let serving = std::thread::spawn(move || {
        let (_, stream) = server.accept_head();
        let mut stream = stream.into_inner();
        stream.write_all(&answer).expect("answered");
        stream.shutdown(Shutdown::Write).expect("shut down");
        // What is not read would make the system reset the connection and lose the answer.
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop).unwrap_or_default();
    });
    let done = output(&mut pe);
    serving.join().expect("served");
    let (status, _, stderr) = texts(&done);
    assert_eq!(status, Some(125));
    assert!(stderr.contains("pe: queue full: too many jobs wait\n"), "{stderr}");
}
