//! `pe run` as it should go.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use pe_proto::api::CachePolicy;
use pe_proto::archive::Kind;
use serde_json::{Value, json};

use crate::server::{Scripted, exited, head, ran, result};
use crate::{bare_pe, output, pe, texts, tree};

fn all_bytes() -> Vec<u8> {
    (0..=255).collect()
}

#[test]
fn a_job_arrives_exactly_as_it_is_here() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::create_dir_all(dir.path().join("nested/deep/empty")).expect("directories");
    std::fs::write(path("nested/deep/日本 ü"), all_bytes()).expect("file");
    std::fs::write(path("nested/run.sh"), "#!/bin/sh\n").expect("file");
    std::fs::set_permissions(path("nested/run.sh"), std::fs::Permissions::from_mode(0o700))
        .expect("mode");
    std::fs::write(path("main.c"), "").expect("file");

    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "gcc:12", "--file", &path("main.c"), "--file", &path("nested")])
        .args(["--file", &format!("{}=x/y.c", path("main.c")), "--stdin", "-"])
        .args(["--env", "A=ü=1", "--env", "PASSED", "--cwd", "/tmp", "--wall", "2s"])
        .args(["--no-cache", "--", "sh", "-c", "echo \"$A\"", ""])
        .env("PASSED", "on")
        .stdin(Stdio::piped());
    let asked = server.answer(vec![result(exited(0), &[])]);
    let mut child = pe.spawn().expect("pe starts");
    child.stdin.take().expect("a pipe").write_all(&all_bytes()).expect("stdin");
    let done = child.wait_with_output().expect("ends");
    assert_eq!(texts(&done), (Some(0), "", ""));

    let asked = asked.join().expect("served");
    let [request] = asked.as_slice() else { panic!("{} requests", asked.len()) };
    assert!(request.head.starts_with("POST /api/v1/run HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("content-type"), Some("application/vnd.pe.v1"));
    assert_eq!(request.header("accept"), Some("application/vnd.pe.v1"));
    assert!(request.header("host").is_some_and(|host| host.starts_with("127.0.0.1:")));
    let (config, entries) = request.job();
    assert_eq!(config.image, "gcc:12");
    let words = ["sh", "-c", "echo \"$A\"", ""].map(str::to_owned).to_vec();
    assert_eq!(config.args, Some(words));
    assert_eq!(
        config.env.into_iter().collect::<Vec<_>>(),
        [("A".to_owned(), "ü=1".to_owned()), ("PASSED".to_owned(), "on".to_owned())]
    );
    assert_eq!(config.cwd.as_deref(), Some("/tmp"));
    assert_eq!((config.limits.wall_ms, config.cache), (Some(2000), CachePolicy::Off));
    let expected: [(Kind, &str, Vec<u8>); 6] = [
        (Kind::File, "input/main.c", vec![]),
        (Kind::Directory, "input/nested/deep/empty", vec![]),
        (Kind::File, "input/nested/deep/日本 ü", all_bytes()),
        (Kind::Executable, "input/nested/run.sh", b"#!/bin/sh\n".to_vec()),
        (Kind::File, "input/x/y.c", vec![]),
        (Kind::File, "stdin", all_bytes()),
    ];
    assert_eq!(entries, expected.map(|(kind, path, data)| (kind, path.to_owned(), data)));
}

#[test]
fn a_result_arrives_exactly_as_it_was_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("new/out");
    let mut reversed = all_bytes();
    reversed.reverse();
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x", "--out"]).arg(&out);
    let _asked = server.answer(vec![result(
        exited(42),
        &[
            (Kind::Executable, "output/a.out", &all_bytes()),
            (Kind::Directory, "output/d/empty", b""),
            (Kind::Symlink, "output/d/link", b"../a.out"),
            (Kind::File, "output/d/日本 ü", b""),
            (Kind::File, "stderr", &reversed),
            (Kind::File, "stdout", &all_bytes()),
        ],
    )]);
    let done = output(&mut pe);
    assert_eq!((done.status.code(), done.stdout, done.stderr), (Some(42), all_bytes(), reversed));
    assert_eq!(tree(dir.path()), ["new/out/a.out", "new/out/d/link", "new/out/d/日本 ü"]);
    assert_eq!(std::fs::read(out.join("d/link")).expect("through the link"), all_bytes());
    assert!(out.join("d/empty").is_dir());
    assert_eq!(
        std::fs::metadata(out.join("a.out")).expect("there").permissions().mode() & 0o100,
        0o100
    );
}

#[test]
fn a_result_in_small_chunks_is_the_same_result() {
    let body = crate::server::binary(
        &head(exited(0)),
        &crate::server::archive(&[(Kind::File, "stdout", &all_bytes())]),
    );
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.pe.v1\r\n\
        transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    for piece in body.chunks(3) {
        answer.extend(format!("{:x}\r\n", piece.len()).bytes());
        answer.extend([piece, b"\r\n"].concat());
    }
    answer.extend(b"0\r\n\r\n");
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x"]);
    let _asked = server.answer(vec![answer]);
    let done = output(&mut pe);
    assert_eq!((done.status.code(), done.stdout), (Some(0), all_bytes()));
}

#[test]
fn every_outcome_has_its_exit_status_and_its_words() {
    let check = |outcome: Value, status: i32, words: &str| {
        let server = Scripted::new();
        let mut pe = pe("run", &server);
        // The words are there with `--quiet` too: without them the status would be a riddle.
        pe.args(["--image", "x", "--quiet"]);
        let _asked = server.answer(vec![result(outcome, &[(Kind::File, "stdout", b"so far\n")])]);
        let done = output(&mut pe);
        assert_eq!(texts(&done), (Some(status), "so far\n", words));
    };
    check(exited(0), 0, "");
    check(exited(255), 255, "");
    check(
        json!({"kind": "signaled", "signal": 6}),
        134,
        "pe: the program was ended by signal 6 (SIGABRT: it aborted)\n",
    );
    check(
        json!({"kind": "timed_out", "clock": "guest"}),
        124,
        "pe: timed out after 10.0 s; what it printed until then is above. More time: --wall\n",
    );
    check(
        json!({"kind": "out_of_memory"}),
        137,
        "pe: out of memory (it used 1.0 MiB); what it printed until then is above\n",
    );
    check(
        json!({"kind": "refused", "fault": "image", "reason": "`foo` was not found"}),
        127,
        "pe: the program was not started: `foo` was not found (the image is at fault)\n",
    );
    check(
        json!({"kind": "refused", "fault": "us", "reason": "no pack"}),
        125,
        "pe: the program was not started: no pack (a fault of the server; it may work when tried \
         again)\n",
    );
    check(
        json!({"kind": "lost", "fault": "us", "reason": "it was killed"}),
        125,
        "pe: the machine was lost: it was killed; what it printed until then is above (a fault \
         of the server; it may work when tried again)\n",
    );
}

#[test]
fn notes_and_timings_come_after_what_the_program_printed() {
    let mut head = head(exited(0));
    head["truncated"] = json!(["stdout"]);
    head["notes"] = json!(["`pipe` is a fifo and was left out"]);
    let archive = crate::server::archive(&[
        (Kind::File, "output/a.out", b"12"),
        (Kind::File, "stderr", b"err\n"),
        (Kind::File, "stdout", b"out"),
    ]);
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x", "--timings"]);
    let _asked = server.answer(vec![ran(&head, &archive)]);
    let done = output(&mut pe);
    let (status, stdout, stderr) = texts(&done);
    assert_eq!((status, stdout), (Some(0), "out"));
    let expected = "err\n\
        pe: stdout was cut at 1.0 MiB; --stdout-bytes allows up to 4.0 MiB\n\
        pe: `pipe` is a fifo and was left out\n\
        pe: 1 file came back (a.out; 2 bytes); --out DIR keeps it\n";
    let table = stderr.strip_prefix(expected).unwrap_or_else(|| panic!("{stderr}"));
    assert!(table.starts_with("  queue         0.0 ms"), "{table}");
    assert!(table.ends_with("ran on w1 (x86_64, a cpu, kernel 6.1, qemu-tcg)\n"), "{table}");
}

#[test]
fn json_is_the_whole_answer() {
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x", "--json"]);
    let _asked = server.answer(vec![result(
        exited(3),
        &[
            (Kind::File, "output/b", &[0xff]),
            (Kind::File, "stderr", b""),
            (Kind::File, "stdout", "grüße".as_bytes()),
        ],
    )]);
    let done = output(&mut pe);
    let (status, stdout, stderr) = texts(&done);
    assert_eq!((status, stderr), (Some(3), ""));
    let json: Value = serde_json::from_str(stdout).expect("json");
    assert_eq!(json["outcome"], exited(3));
    assert_eq!(json["stdout"], "grüße");
    assert_eq!(json["files"]["b"]["base64"], "/w==");
    assert_eq!(json["phases"]["total_us"], 12_345);
}

#[test]
fn standard_input_is_left_alone_unless_asked_for() {
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    // Never written to and never closed before the end: reading it would hang.
    pe.args(["--image", "x"]).stdin(Stdio::piped());
    let asked = server.answer(vec![result(exited(0), &[])]);
    let mut child = pe.spawn().expect("pe starts");
    let held = child.stdin.take();
    assert!(child.wait().expect("ends").success());
    drop(held);
    let asked = asked.join().expect("served");
    assert!(asked.first().expect("one request").job().1.is_empty());
}

#[test]
fn the_server_comes_from_the_environment_too_and_may_have_a_path() {
    let server = Scripted::new();
    let mut pe = bare_pe();
    pe.args(["run", "--image", "x"]).env("PE_SERVER", format!("{}/some/where/", server.url()));
    let asked = server.answer(vec![result(exited(0), &[])]);
    assert!(output(&mut pe).status.success());
    let asked = asked.join().expect("served");
    let request = asked.first().expect("one request");
    assert!(request.head.starts_with("POST /some/where/api/v1/run HTTP/1.1\r\n"));
}

#[test]
fn a_reader_that_goes_away_costs_neither_files_nor_status() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x", "--out"]).arg(dir.path());
    let flood = vec![b'x'; 1 << 20];
    let entries: &[(Kind, &str, &[u8])] =
        &[(Kind::File, "output/a", b"a"), (Kind::File, "stdout", &flood)];
    let answer = result(exited(7), entries);
    let mut child = pe.spawn().expect("pe starts");
    drop(child.stdout.take());
    let _asked = server.answer(vec![answer]);
    let done = child.wait_with_output().expect("ends");
    assert_eq!((done.status.code(), done.stderr), (Some(7), Vec::new()));
    assert_eq!(tree(dir.path()), ["a"]);
}

#[test]
fn a_job_can_be_repeated_into_the_same_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |data: &[u8], force: &[&str]| {
        let server = Scripted::new();
        let mut pe = pe("run", &server);
        pe.args(["--image", "x", "--out"]).arg(dir.path()).args(force);
        let _asked = server.answer(vec![result(exited(0), &[(Kind::File, "output/a", data)])]);
        let done = output(&mut pe);
        (done.status.code(), String::from_utf8(done.stderr).expect("text"))
    };
    assert_eq!(run(b"1", &[]), (Some(0), String::new()));
    assert_eq!(run(b"1", &[]), (Some(0), String::new()));
    let (status, stderr) = run(b"2", &[]);
    assert_eq!(status, Some(125));
    assert!(
        stderr.ends_with("/a`: it exists with other content; --force replaces it\n"),
        "{stderr}"
    );
    assert_eq!(std::fs::read(dir.path().join("a")).expect("there"), b"1");
    assert_eq!(run(b"2", &["--force"]), (Some(0), String::new()));
    assert_eq!(std::fs::read(dir.path().join("a")).expect("there"), b"2");
}

#[test]
fn a_key_is_shown_to_the_server_and_never_to_anybody_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("key");
    std::fs::write(&path, "pe_secret\n").expect("a file");
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x", "--timings", "--key-file"]).arg(&path);
    let asked = server.answer(vec![result(exited(0), &[])]);
    let done = output(&mut pe);
    let (status, stdout, stderr) = texts(&done);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(!stdout.contains("pe_secret") && !stderr.contains("pe_secret"), "{stderr}");
    let asked = asked.join().expect("no panic");
    assert_eq!(asked[0].header("authorization"), Some("Bearer pe_secret"));
}
