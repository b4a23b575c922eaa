//! Lines as a reader of the file finds them.

use std::net::Ipv4Addr;

use http::StatusCode;
use serde_json::Value;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// For documentation (RFC 5737).
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn counter() -> IntCounter {
    IntCounter::new("dropped", "dropped").unwrap()
}

fn request(path: &str) -> Request<()> {
    Request::builder()
        .uri(path)
        .header("user-agent", "agent \u{22}quoted\u{22}".repeat(40))
        .header("authorization", "Bearer secret-token")
        .header("cookie", "secret-cookie")
        .body(())
        .unwrap()
}

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_request_leaves_one_line_with_what_is_known_of_it_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let log = AccessLog::open(Destination::File(path.clone()), counter()).unwrap();
    let note = log.note(CLIENT, "id-1", &request("/a?key=secret-query")).unwrap();
    let other = note.clone();
    note.received(7);
    note.digest("abc");
    note.job(JobNote {
        cache: Some("miss"),
        outcome: Some("exited"),
        worker: Some("w\n1".to_owned()),
        queue_us: 1,
        run_us: 2,
    });
    note.answered(StatusCode::OK);
    drop(note);
    log.flush(PATIENCE).await;
    assert_eq!(lines(&path).len(), 0, "its answer is not over");
    other.gave(9);
    other.finished();
    drop(other);
    log.flush(PATIENCE).await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let [line] = lines(&path).try_into().unwrap();
    for (name, value) in [
        ("request_id", "id-1".into()),
        ("client", "192.0.2.1".into()),
        ("path", "/a".into()),
        ("status", 200.into()),
        ("bytes_in", 7.into()),
        ("bytes_out", 9.into()),
        ("whole", true.into()),
        ("job", "abc".into()),
        ("cache", "miss".into()),
        ("outcome", "exited".into()),
        ("worker", Value::from("w\n1")),
        ("run_us", 2.into()),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    assert_eq!(line["user_agent"].as_str().unwrap().len(), ACCESS_USER_AGENT_CHARS);
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
}

#[tokio::test]
async fn a_log_that_was_renamed_goes_on_in_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let log = AccessLog::open(Destination::File(path.clone()), counter()).unwrap();
    let leave = || drop(log.note(CLIENT, "id", &request("/")));
    leave();
    log.flush(PATIENCE).await;
    std::fs::rename(&path, &old).unwrap();
    leave();
    log.rotate();
    leave();
    log.flush(PATIENCE).await;
    assert_eq!((lines(&old).len(), lines(&path).len()), (2, 1));
    log.reopen(Destination::Off);
    assert!(log.note(CLIENT, "id", &request("/")).is_none());
    log.reopen(Destination::File(dir.path().join("no/such/dir")));
    log.flush(PATIENCE).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_drops_lines_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Both ends are open, so that neither open nor write fails: they hang.
    let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let dropped = counter();
    let log = AccessLog::open(Destination::File(path), dropped.clone()).unwrap();
    while dropped.get() < 100 {
        drop(log.note(CLIENT, "id", &request("/")));
    }
    log.flush(Duration::from_millis(1)).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_no_log() {
    let nowhere = Destination::File("/no/such/directory/access.log".into());
    assert!(AccessLog::open(nowhere, counter()).is_err());
}
