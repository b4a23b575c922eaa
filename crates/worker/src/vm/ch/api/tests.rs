//! The control socket against a scripted other end.

use std::io::{Read as _, Write as _};

use super::*;

/// A pair that met where there is nothing else.
fn met() -> (StdUnixStream, OwnedFd) {
    let dir = tempfile::tempdir().expect("tempdir");
    pair(dir.path()).expect("pair")
}

/// Talks to a peer that answers each request with the next of `answers`, and returns what it got.
fn peer(answers: &'static [&'static str]) -> (StdUnixStream, std::thread::JoinHandle<Vec<String>>) {
    let (stream, listener) = met();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = UnixListener::from(listener).accept().expect("accept");
        let mut got = Vec::new();
        for answer in answers {
            let mut bytes = vec![0; 4096];
            let read = stream.read(&mut bytes).expect("read");
            got.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
            if stream.write_all(answer.as_bytes()).is_err() {
                break;
            }
        }
        // Holds the socket open until the other end is gone.
        let _ = stream.read_to_end(&mut Vec::new());
        got
    });
    (stream, served)
}

const DONE: &str =
    "HTTP/1.1 204 \r\nServer: Cloud Hypervisor API\r\nConnection: keep-alive\r\n\r\n";
const PONG: &str = "HTTP/1.1 200 \r\nContent-Type: application/json\r\n\
                    Content-Length: 17\r\n\r\n{\"version\":\"54\"}\n";

#[tokio::test]
async fn calls_share_one_connection() {
    let (stream, served) = peer(&[PONG, DONE, DONE]);
    let mut api = Api::over(stream, Duration::ZERO).await.expect("connection");
    api.ping().await.expect("ping");
    api.pause().await.expect("pause");
    api.snapshot("file:///run/z".to_owned()).await.expect("snapshot");
    drop(api);
    // The connection ends once the runtime has a moment for it.
    let served = tokio::task::spawn_blocking(move || served.join());
    let got = served.await.expect("joined").expect("served");
    assert!(got[0].starts_with("GET /api/v1/vmm.ping HTTP/1.1\r\n"), "{}", got[0]);
    assert!(got[1].starts_with("PUT /api/v1/vm.pause HTTP/1.1\r\n"), "{}", got[1]);
    assert!(got[2].ends_with("\r\n\r\n{\"destination_url\":\"file:///run/z\"}"), "{}", got[2]);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let refusal = "HTTP/1.1 500 \r\nContent-Length: 18\r\n\r\n[\"no\u{1b}\",\"such\",\"x\"]";
    let (stream, _served) = peer(Box::leak(Box::new([refusal])));
    let mut api = Api::over(stream, Duration::ZERO).await.expect("connection");
    match api.resume().await {
        Err(VmError::Refused { command, reason }) => {
            assert_eq!(
                (command.as_str(), reason.as_str()),
                ("vm.resume", "[\"no.\",\"such\",\"x\"]")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let endless =
        format!("HTTP/1.1 200 \r\nContent-Length: 9999999\r\n\r\n{}", "x".repeat(200_000));
    let (stream, _served) = peer(vec![&*endless.leak()].leak());
    let mut api = Api::over(stream, Duration::ZERO).await.expect("connection");
    assert!(matches!(api.ping().await, Err(VmError::Garbled)));
}

#[tokio::test]
async fn what_is_not_http_is_not_taken_for_an_answer() {
    let (stream, _served) = peer(&["pe:done\n\n\n"]);
    let mut api = Api::over(stream, Duration::ZERO).await.expect("connection");
    assert!(matches!(api.ping().await, Err(VmError::Garbled)));
}

#[tokio::test]
async fn a_vmm_that_is_gone_is_told_from_one_that_is_slow() {
    let (stream, listener) = met();
    let mut api = Api::over(stream, Duration::ZERO).await.expect("connection");
    let asked = api.call(Method::GET, "vmm.ping", None, Duration::from_millis(20)).await;
    assert!(matches!(asked, Err(VmError::Late(_))), "{asked:?}");
    drop(listener);
    let asked = api.ping().await;
    assert!(matches!(asked, Err(VmError::Closed(_))), "{asked:?}");
}

/// A socket's own path may be of 107 bytes at most.
#[test]
fn nobody_else_can_connect_however_long_the_path_is_where_they_met() {
    let dir = tempfile::tempdir().expect("tempdir");
    let deep = dir.path().join("d".repeat(200));
    std::fs::create_dir(&deep).expect("dir");
    let (_stream, listener) = pair(&deep).expect("pair");
    assert_eq!(std::fs::read_dir(&deep).expect("dir").count(), 0, "it has no name any more");
    UnixListener::from(listener).accept().expect("who met it waits there");
}
