//! The control socket against a scripted other end.

use super::*;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Talks to a peer that answers each line it gets with the next of `answers`.
fn peer(greeting: &'static [u8], answers: &'static [&'static [u8]]) -> Qmp {
    let (ours, theirs) = UnixStream::pair().expect("pair");
    tokio::task::spawn_local(async move {
        let (read, mut write) = theirs.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(greeting).await.expect("write");
        for answer in answers {
            if let Ok(Some(_)) = lines.next_line().await {
                let _ = write.write_all(answer).await;
            }
        }
        // Holds the socket open until the other end is gone.
        while let Ok(Some(_)) = lines.next_line().await {}
    });
    Qmp::new(ours)
}

async fn locally<F: Future>(test: F) -> F::Output {
    tokio::task::LocalSet::new().run_until(test).await
}

const GREETING: &[u8] = b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

#[tokio::test]
async fn events_between_answers_are_kept_for_later() {
    locally(async {
        let mut qmp = peer(
            GREETING,
            &[
                b"{\"return\": {}}\n",
                b"{\"event\": \"STOP\", \"data\": {}}\n{\"event\": \"X\"}\n{\"return\": 7}\n",
            ],
        );
        qmp.negotiate().await.expect("greeting");
        assert_eq!(qmp.ask("stop", json!({})).await.expect("answer"), json!(7));
        let event = qmp.event("X", |event| event.event == "X").await.expect("event");
        assert_eq!(event.data, Value::Null);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_what_was_refused_and_why() {
    locally(async {
        const NO: &[u8] =
            b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no \\u0007room\"}}\n";
        let mut qmp = peer(GREETING, &[b"{\"return\": {}}\n", NO, b"{\"return\": {}}\n"]);
        qmp.negotiate().await.expect("greeting");
        let both = [Command::new("object-add", json!({})), Command::new("device_add", json!({}))];
        let error = qmp.ask_all(&both).await.expect_err("refused");
        assert_eq!(error.to_string(), "object-add was refused: no .room");
    })
    .await;
}

#[tokio::test]
async fn a_line_without_end_is_not_collected_for_ever() {
    locally(async {
        let (ours, mut theirs) = UnixStream::pair().expect("pair");
        tokio::task::spawn_local(
            async move { while theirs.write_all(&[b' '; 4096]).await.is_ok() {} },
        );
        let mut qmp = Qmp::new(ours);
        assert!(matches!(qmp.negotiate().await, Err(VmError::Garbled)));
        assert!(qmp.received.len() < 4 * QMP_LINE_BYTES_MAX);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_json_is_refused_and_silence_has_an_end() {
    locally(async {
        let mut qmp = peer(b"hello\n", &[]);
        assert!(matches!(qmp.negotiate().await, Err(VmError::Garbled)));
    })
    .await;
    tokio::time::pause();
    locally(async {
        let mut qmp = peer(b"", &[]);
        assert!(matches!(qmp.negotiate().await, Err(VmError::Late(_))));
    })
    .await;
}

#[tokio::test]
async fn a_closed_socket_is_an_error() {
    locally(async {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        drop(theirs);
        assert!(matches!(Qmp::new(ours).negotiate().await, Err(VmError::Closed(_))));
    })
    .await;
}
