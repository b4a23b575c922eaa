//! Floods of HTTP/2 frames against the program itself, as anybody can send them: its memory stays
//! where it is, others are served meanwhile, and whoever floods loses the connection.

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;

use crate::client::Client;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /healthz` in HPACK: three indexed fields, a path and an authority as literals.
const GET: &[u8] = b"\x82\x86\x04\x08/healthz\x01\x02lb";
/// `POST /api/v1/run` as JSON.
const POST: &[u8] = b"\x83\x86\x04\x0b/api/v1/run\x01\x02lb\x0f\x10\x10application/json";

/// `GET /`.
const PAGE: &[u8] = b"\x82\x86\x84\x01\x02lb";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The program.
struct Process {
    child: Child,
    clients: SocketAddr,
    _log: Lines<BufReader<ChildStderr>>,
    _files: TempDir,
}

impl Process {
    async fn start() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let catalogue = files.path().join("catalogue.json");
        std::fs::write(&catalogue, r#"{"version":2,"images":[]}"#).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_pe-lb"))
            .args(["--listen", "127.0.0.1:0", "--listen-workers", "127.0.0.1:0"])
            .args(["--listen-admin", "none", "--log-json", "--catalogue"])
            .arg(&catalogue)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let line = log.next_line().await.expect("a pipe").expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let clients = line.pointer("/fields/clients").and_then(serde_json::Value::as_str);
        let clients = clients.expect("a field").parse().expect("an address");
        Self { child, clients, _log: log, _files: files }
    }

    /// Memory of it, in KiB.
    fn memory(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

/// An HTTP/2 connection after its settings.
async fn open(address: SocketAddr) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = TcpStream::connect(address).await.expect("a listener");
    let (read, mut write) = stream.into_split();
    write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("a socket");
    write.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("a socket");
    (read, write)
}

/// What a flood may add to the memory of the process, in KiB: allocators keep some of what passed.
const GROWTH_KIB: u64 = 24 * 1024;

/// Sends what `next` makes until the connection is lost, or a bound is reached; somebody else is
/// served all the while.
async fn check(name: &str, is_cut_off: bool, mut next: impl FnMut(u32) -> Vec<u8>) {
    let lb = Process::start().await;
    let other = Client::connect(lb.clients).await;
    assert_eq!(other.get("/healthz").await.status, 200);
    let before = lb.memory();
    let (mut read, mut write) = open(lb.clients).await;
    // What the server says is read and forgotten, so that it can always write.
    let mut reading = JoinSet::new();
    reading.spawn(async move { while matches!(read.read(&mut [0; 4096]).await, Ok(1..)) {} });
    let mut is_lost = false;
    for round in 0..400 {
        let batch: Vec<u8> = (0..256).flat_map(|step| next(round * 256 + step)).collect();
        if write.write_all(&batch).await.is_err() {
            is_lost = true;
            break;
        }
        if round % 20 == 0 {
            assert_eq!(other.get("/healthz").await.status, 200, "{name}");
        }
    }
    assert_eq!(other.get("/healthz").await.status, 200, "{name}");
    let after = lb.memory();
    assert!(after < before + GROWTH_KIB, "{name}: {before} KiB before, {after} KiB after");
    assert!(is_lost || !is_cut_off, "{name}: the connection bore it");
}

/// Ids of streams that a client opens.
fn stream(number: u32) -> u32 {
    number * 2 + 1
}

#[tokio::test]
async fn case_30_a_flood_of_pings_is_cut_off() {
    check("pings", true, |_| frame(PING, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn case_30_a_flood_of_settings_is_cut_off() {
    check("settings", true, |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])).await;
}

#[tokio::test]
async fn case_30_a_flood_of_priorities_and_window_updates_is_cut_off() {
    check("priorities", true, |step| frame(PRIORITY, 0, stream(step), &[0, 0, 0, 0, 1])).await;
    check("window updates", true, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await;
}

#[tokio::test]
async fn case_30_a_rapid_reset_is_cut_off() {
    check("rapid reset", true, |step| {
        let mut both = frame(HEADERS, END_HEADERS | END_STREAM, stream(step), GET);
        both.extend(frame(RST_STREAM, 0, stream(step), &[0, 0, 0, 8]));
        both
    })
    .await;
}

#[tokio::test]
async fn case_30_streams_that_the_server_is_made_to_reset_are_cut_off() {
    check("made you reset", true, |step| {
        let mut both = frame(HEADERS, END_HEADERS, stream(step), POST);
        // A window update of nothing is an error of the stream.
        both.extend(frame(WINDOW_UPDATE, 0, stream(step), &[0; 4]));
        both
    })
    .await;
}

#[tokio::test]
async fn case_30_a_header_block_that_never_ends_is_cut_off() {
    check("continuation", true, |step| match step {
        0 => frame(HEADERS, 0, 1, GET),
        _ => frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"),
    })
    .await;
}

#[tokio::test]
async fn case_30_a_flood_of_empty_and_tiny_data_is_cut_off() {
    for payload in [b"".as_slice(), b" "] {
        check("data", true, |step| match step {
            0 => frame(HEADERS, END_HEADERS, 1, POST),
            _ => frame(DATA, 0, 1, payload),
        })
        .await;
    }
}

#[tokio::test]
async fn case_30_headers_that_unpack_to_much_more_than_they_are_cost_no_memory() {
    // A field of 4,000 bytes goes into the table once, and is then named by a byte each time.
    let mut first = GET.to_vec();
    first.extend(b"\x40\x01a\x7f\xa1\x1e");
    first.extend(vec![b'x'; 4000]);
    let named = [GET, &vec![0xbe; 2000]].concat();
    check("hpack bomb", false, |step| match step {
        0 => frame(HEADERS, END_HEADERS | END_STREAM, 1, &first),
        _ => frame(HEADERS, END_HEADERS | END_STREAM, stream(step), &named),
    })
    .await;
}

#[tokio::test]
async fn case_31_many_answers_that_nobody_reads_cost_a_bounded_buffer() {
    let lb = Process::start().await;
    let other = Client::connect(lb.clients).await;
    assert_eq!(other.get("/healthz").await.status, 200);
    let before = lb.memory();
    // Windows as large as they get, and a socket that nobody reads: whatever can be buffered is.
    let mut connections = Vec::new();
    for _ in 0..8 {
        let (read, mut write) = open(lb.clients).await;
        let window = frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        let whole = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
        write.write_all(&[window, whole].concat()).await.expect("a socket");
        for number in 0..120 {
            let request = frame(HEADERS, END_HEADERS | END_STREAM, stream(number), PAGE);
            write.write_all(&request).await.expect("a socket");
        }
        connections.push((read, write));
    }
    for _ in 0..20 {
        assert_eq!(other.get("/healthz").await.status, 200);
    }
    let after = lb.memory();
    assert!(after < before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
}
