//! The time between question and answer: Ctrl-C, silence, the progress line.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pe_cli::client::{Client, ClientError, Patience};
use pe_cli::progress::LiveLine;
use pe_proto::archive::Kind;

use crate::pe;
use crate::server::{Scripted, exited, result};

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
fn a_server_that_falls_silent_is_given_up() {
    let server = Scripted::new();
    let address = server.url().parse().expect("a server");
    let short = Duration::from_millis(50);
    let patience = Patience { connect: Duration::from_secs(10), silence: short, get: short };
    let client = Client::new(address, patience);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (ran, got) = runtime.expect("a runtime").block_on(async {
        let mut line = LiveLine::on_stderr(true);
        let ran = client.run(vec![0; 4], Vec::new(), &mut line).await;
        (ran.map(drop), client.get("/", 1).await.map(drop))
    });
    assert!(matches!(ran, Err(ClientError::Silent { .. })), "{ran:?}");
    assert!(matches!(got, Err(ClientError::Silent { .. })), "{got:?}");
}
