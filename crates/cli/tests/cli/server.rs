//! The scripted server, and answers for it to give.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use pe_proto::api::RunConfig;
use pe_proto::archive::{Bounds, Encoder, Kind, Role, for_each_entry};
use serde_json::{Value, json};

/// So that a defect fails a test instead of hanging it.
const READ_WAIT_MAX: Duration = Duration::from_secs(60);

/// A server that was not started to answer yet.
pub(crate) struct Scripted {
    listener: TcpListener,
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Request line and headers, as they came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("an address"))
    }

    /// Answers one connection after the other, each with the next answer.
    pub(crate) fn answer(self, answers: Vec<Vec<u8>>) -> JoinHandle<Vec<Recorded>> {
        std::thread::spawn(move || {
            let one = |answer: Vec<u8>| {
                let (recorded, mut stream) = self.accept();
                // A client that refuses the answer may be gone before all of it is written.
                let _ = stream.write_all(&answer);
                recorded
            };
            answers.into_iter().map(one).collect()
        })
    }

    /// Reads one whole request; the connection is the caller's.
    pub(crate) fn accept(&self) -> (Recorded, TcpStream) {
        let (mut recorded, mut stream) = self.accept_head();
        let length = recorded.header("content-length").unwrap_or("0");
        recorded.body = vec![0; length.parse().expect("a number")];
        stream.read_exact(&mut recorded.body).expect("a body");
        assert!(stream.buffer().is_empty(), "bytes after the request");
        (recorded, stream.into_inner())
    }

    /// Reads a request up to its body.
    pub(crate) fn accept_head(&self) -> (Recorded, BufReader<TcpStream>) {
        let (stream, _) = self.listener.accept().expect("a connection");
        stream.set_read_timeout(Some(READ_WAIT_MAX)).expect("a timeout");
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = stream.read_line(&mut head).expect("a request");
            assert_ne!(read, 0, "the request is cut off");
        }
        (Recorded { head, body: Vec::new() }, stream)
    }

    /// Nobody connected so far.
    pub(crate) fn assert_unasked(&self) {
        self.listener.set_nonblocking(true).expect("nonblocking");
        let kind = self.listener.accept().expect_err("nobody connects").kind();
        assert_eq!(kind, std::io::ErrorKind::WouldBlock);
    }
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Config and entries of a request in the binary form.
    pub(crate) fn job(&self) -> (RunConfig, Vec<(Kind, String, Vec<u8>)>) {
        let (len, rest) = self.body.split_first_chunk().expect("a length");
        let len = usize::try_from(u32::from_le_bytes(*len)).expect("small");
        let (json, archive) = rest.split_at(len);
        let mut entries = Vec::new();
        for_each_entry(archive, Bounds::of(Role::Job), |kind, path, data| {
            entries.push((kind, path.to_owned(), data.to_vec()));
        })
        .expect("a good archive");
        (serde_json::from_slice(json).expect("a config"), entries)
    }
}

/// A whole HTTP answer.
pub(crate) fn http(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// An answer of `POST /api/v1/run` with this outcome and these entries.
pub(crate) fn result(outcome: Value, entries: &[(Kind, &str, &[u8])]) -> Vec<u8> {
    ran(&head(outcome), &archive(entries))
}

/// The same, of a head and an archive that may be bad.
pub(crate) fn ran(head: &Value, archive: &[u8]) -> Vec<u8> {
    http("200 OK", "application/vnd.pe.v1", &binary(head, archive))
}

/// The binary form.
pub(crate) fn binary(head: &Value, archive: &[u8]) -> Vec<u8> {
    let json = serde_json::to_vec(head).expect("json");
    let len = u32::try_from(json.len()).expect("short").to_le_bytes();
    [&len, json.as_slice(), archive].concat()
}

/// A good archive.
pub(crate) fn archive(entries: &[(Kind, &str, &[u8])]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (kind, path, data) in entries {
        encoder.push(*kind, path, data).expect("a good entry");
    }
    encoder.finish()
}

/// The head of an answer.
pub(crate) fn head(outcome: Value) -> Value {
    json!({
        "job": "ab".repeat(32), "request_id": "r-1", "cache": "miss", "outcome": outcome,
        "truncated": [], "notes": [],
        "usage": {"wall_us": 1, "user_us": 1, "system_us": 1, "max_rss_bytes": 1_048_576,
                  "oom_kills": 0},
        "phases": {"queue_us": 1, "transfer_us": 2, "attach_us": 3, "mount_us": 4,
                   "unpack_us": 5, "start_us": 6, "run_us": 7, "collect_us": 8, "stop_us": 9,
                   "total_us": 12_345},
        "limits": {"wall_ms": 10_000, "output_bytes": 2_097_152, "stdout_bytes": 1_048_576,
                   "stderr_bytes": 1_048_576},
        "image": format!("sha256:{}", "cd".repeat(32)),
        "ran_on": {"arch": "x86_64", "kernel": "6.1", "cpu": "a cpu", "worker": "w1",
                   "vmm": "qemu-tcg"},
    })
}

pub(crate) fn exited(code: u8) -> Value {
    json!({"kind": "exited", "code": code})
}
