//! The time between question and answer: Ctrl-C, silence, the progress line.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pe_cli::client::{Client, ClientError, Patience};
use pe_cli::progress::LiveLine;
use pe_proto::archive::Kind;
use pe_proto::digest::JobDigester;
use pe_proto::{Arch, Digest, JobLimits, JobSpec};
use serde_json::{Value, json};

use crate::pe;
use crate::server::{Scripted, exited, http, result};

#[test]
fn ctrl_c_drops_the_connection_and_exits_with_130() {
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x"]);
    let child = pe.spawn().expect("pe starts");
    let (_, mut stream) = server.accept();
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("sent");
    assert_eq!(stream.read(&mut [0; 16]).expect("closed in order"), 0);
    let done = child.wait_with_output().expect("ends");
    assert_eq!((done.status.code(), done.stderr), (Some(130), b"pe: cancelled\n".to_vec()));
}

#[test]
fn ctrl_c_ends_the_reading_of_standard_input_too() {
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    // Its own first words say that it reads; a terminal is needed for it to say so.
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    pe.args(["--image", "x", "-i"]).stdin(Stdio::from(terminal.slave));
    let mut child = pe.spawn().expect("pe starts");
    let mut stderr = child.stderr.take().expect("a pipe");
    let mut said = [0; 47];
    stderr.read_exact(&mut said).expect("words");
    assert_eq!(&said, b"pe: reading standard input; end it with Ctrl-D\n");
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGINT).expect("sent");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    server.assert_unasked();
}

#[test]
fn the_progress_line_is_on_a_terminal_and_gone_before_the_output() {
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    pe.args(["--image", "x"]).stderr(Stdio::from(terminal.slave));
    let child = pe.spawn().expect("pe starts");
    drop(pe);
    let (_, mut stream) = server.accept();
    let mut terminal = std::fs::File::from(terminal.master);
    let mut seen = Vec::new();
    let mut piece = [0; 1024];
    // Nothing is answered before the line was seen, so nothing here depends on time.
    while !String::from_utf8_lossy(&seen).contains("pe: waiting (") {
        let read = terminal.read(&mut piece).expect("the line");
        seen.extend_from_slice(&piece[..read]);
    }
    let answer = result(exited(0), &[(Kind::File, "stderr", b"words\n")]);
    stream.write_all(&answer).expect("answered");
    assert!(child.wait_with_output().expect("ends").status.success());
    // A terminal whose other end is closed ends with an error, not with an end of file.
    while let Ok(read @ 1..) = terminal.read(&mut piece) {
        seen.extend_from_slice(&piece[..read]);
    }
    let seen = String::from_utf8(seen).expect("text");
    assert!(seen.ends_with("\r\u{1b}[Kwords\r\n"), "{seen:?}");
}

#[test]
fn the_progress_line_tells_how_much_of_the_image_is_there() {
    let server = Scripted::new();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("main.c");
    std::fs::write(&file, "int main;").expect("a file");
    let mut pe = pe("run", &server);
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    pe.args(["--image", "tool", "--env", "A=job", "--file"]).arg(&file).arg("--").arg("x");
    let child = pe.stderr(Stdio::from(terminal.slave)).spawn().expect("pe starts");
    drop(pe);
    let (asked, mut stream) = server.accept();
    let config = json!({"entrypoint": ["/tool"], "cmd": ["y"], "env": ["A=image", "B=image"],
        "workdir": "w", "user": "7"});
    let digest = Digest([7; 32]);
    let platform = json!({"arch": "x86_64", "digest": digest, "config": config,
        "pack": {"digest": digest, "bytes": 2_097_152, "prefix": ""}});
    let catalogue = json!({"version": 2, "images": [{"name": "tool", "tags": ["latest"],
        "title": "", "description": "", "platforms": [platform]}]});
    let answer = |value: &Value| http("200 OK", "application/json", value.to_string().as_bytes());
    let (listed, mut images) = server.accept();
    assert!(listed.head.starts_with("GET /api/v1/images "), "{}", listed.head);
    images.write_all(&answer(&catalogue)).expect("answered");
    drop(images);

    // It asks for the job that the server has: by the digest over what was sent.
    let texts = |items: &[&str]| items.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let spec = JobSpec {
        image: digest,
        arch: Arch::X86_64,
        args: texts(&["/tool", "x"]),
        env: texts(&["A=job", "B=image", pe_proto::merge::PATH_DEFAULT]),
        cwd: "/w".to_owned(),
        user: "7".to_owned(),
        outputs: Vec::new(),
        limits: JobLimits::default(),
    };
    let mut digester = JobDigester::new(&spec);
    let (length, rest) = asked.body.split_first_chunk().expect("a length");
    let length = usize::try_from(u32::from_le_bytes(*length)).expect("small");
    digester.update(&rest[length..]);
    let job = digester.finish().hex();
    let mut terminal = std::fs::File::from(terminal.master);
    for (told, line) in [
        (json!({"state": "queued", "position": 2}), "pe: waiting, place 2 in line ("),
        (
            json!({"state": "fetching", "percent": 41, "bytes": 1, "bytes_total": 2_097_152}),
            "pe: fetching the image, 41 % of 2.0 MiB (",
        ),
        (json!({"state": "running", "for_ms": 5}), "pe: running ("),
    ] {
        let (asked, mut progress) = server.accept();
        let first = asked.head.lines().next().expect("a line");
        assert_eq!(first, format!("GET /api/v1/progress/{job} HTTP/1.1"));
        progress.write_all(&answer(&told)).expect("answered");
        drop(progress);
        until_drawn(&mut terminal, line);
    }
    stream.write_all(&result(exited(0), &[])).expect("answered");
    assert!(child.wait_with_output().expect("ends").status.success());
}

/// Reads a terminal until this is on it.
fn until_drawn(terminal: &mut std::fs::File, line: &str) {
    let mut seen = Vec::new();
    let mut piece = [0; 1024];
    while !String::from_utf8_lossy(&seen).contains(line) {
        let read = terminal.read(&mut piece).expect("the line");
        seen.extend(piece.iter().take(read));
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let server = Scripted::new();
    let address = server.url().parse().expect("a server");
    let short = Duration::from_millis(50);
    let patience = Patience { connect: Duration::from_secs(10), silence: short, get: short };
    let client = Client::new(address, patience);
    let config = serde_json::from_str(r#"{"image":"x"}"#).expect("a config");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (ran, got) = runtime.expect("a runtime").block_on(async {
        let mut line = LiveLine::on_stderr(true);
        let ran = client.run(&config, vec![0; 4], Vec::new(), &mut line).await;
        (ran.map(drop), client.get("/", 1).await.map(drop))
    });
    assert!(matches!(ran, Err(ClientError::Silent { .. })), "{ran:?}");
    assert!(matches!(got, Err(ClientError::Silent { .. })), "{got:?}");
}
