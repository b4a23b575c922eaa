//! A web server of packs that can break off, stop, and lie.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use pe_proto::Digest;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::PacksUrl;

pub(super) struct Web {
    url: PacksUrl,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    packs: HashMap<String, Vec<u8>>,
    ways: Mutex<Ways>,
    held: Notify,
}

#[derive(Default)]
struct Ways {
    /// What was asked for, and from where.
    ranges: Vec<(Digest, Option<u64>)>,
    /// The parts that were given.
    given: Vec<Range<u64>>,
    /// The next answers end after so many bytes.
    cut: VecDeque<usize>,
    /// The next answer stops after so many bytes.
    hold: Option<usize>,
    is_lying: bool,
    /// It knows of no parts, and gives all.
    is_simple: bool,
}

impl Web {
    pub(super) async fn start(packs: &[&[u8]]) -> Self {
        let named = |bytes: &&[u8]| (Digest::of(bytes).hex(), bytes.to_vec());
        let packs = packs.iter().map(named).collect();
        let shared = Arc::new(Shared { packs, ..Shared::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let url = format!("http://{at}/some/where").parse().expect("an address");
        let mut task = JoinSet::new();
        let mine = Arc::clone(&shared);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(Arc::clone(&mine), stream));
            }
        });
        Self { url, shared, _task: task }
    }

    pub(super) fn url(&self) -> PacksUrl {
        self.url.clone()
    }

    pub(super) fn ranges(&self) -> Vec<(Digest, Option<u64>)> {
        self.shared.ways.lock().expect("lock").ranges.clone()
    }

    /// The parts that were given, of whatever packs.
    pub(super) fn given(&self) -> Vec<Range<u64>> {
        self.shared.ways.lock().expect("lock").given.clone()
    }

    /// One more answer ends early.
    pub(super) fn cut_after(&self, bytes: usize) {
        self.shared.ways.lock().expect("lock").cut.push_back(bytes);
    }

    pub(super) fn know_no_parts(&self) {
        self.shared.ways.lock().expect("lock").is_simple = true;
    }

    pub(super) fn hold_after(&self, bytes: usize) {
        self.shared.ways.lock().expect("lock").hold = Some(bytes);
    }

    pub(super) async fn until_held(&self) {
        self.shared.held.notified().await;
    }

    pub(super) fn lie(&self, is_lying: bool) {
        self.shared.ways.lock().expect("lock").is_lying = is_lying;
    }
}

/// Answers one request.
async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let (mut path, mut from, mut until) = (String::new(), None, None);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_ascii_lowercase();
        assert!(!line.starts_with("authorization"), "the token is for the LB alone");
        if let Some(asked) = line.strip_prefix("get ") {
            path = asked.split(' ').next().expect("a path").to_owned();
        } else if let Some(range) = line.strip_prefix("range: bytes=") {
            let (first, last) = range.split_once('-').expect("one range");
            from = Some(first.parse::<u64>().expect("a number"));
            until = (!last.is_empty()).then(|| last.parse::<u64>().expect("a number") + 1);
        } else if line.is_empty() {
            break;
        }
    }
    let name = path.strip_prefix("/some/where/packs/").and_then(|it| it.strip_suffix(".erofs"));
    let mut stream = stream.into_inner();
    let Some(bytes) = name.and_then(|name| shared.packs.get(name)) else {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    let length = bytes.len() as u64;
    let (cut, hold, is_lying, part) = {
        let mut ways = shared.ways.lock().expect("lock");
        ways.ranges.push((name.and_then(|it| it.parse().ok()).expect("a digest"), from));
        if ways.is_simple {
            (from, until) = (None, None);
        }
        let part = from.unwrap_or(0)..until.unwrap_or(length);
        assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
        ways.given.push(part.clone());
        (ways.cut.pop_front(), ways.hold.take(), ways.is_lying, part)
    };
    let last = part.end - 1;
    let small = |at: u64| usize::try_from(at).expect("small");
    let mut part = bytes[small(part.start)..small(part.end)].to_vec();
    if is_lying {
        let last = part.len() - 1;
        part[last] ^= 1;
    }
    let len = part.len();
    let head = match from {
        None => format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n"),
        Some(from) => format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {len}\r\n\
             content-range: bytes {from}-{last}/{length}\r\n\r\n"
        ),
    };
    let sent = cut.or(hold).unwrap_or(len).min(len);
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&part[..sent]).await;
    if hold.is_some() {
        shared.held.notify_one();
        std::future::pending::<()>().await;
    }
}
