//! A web server of packs that can break off, stop, and lie.

use std::collections::HashMap;
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
    /// The next answer ends after so many bytes.
    cut: Option<usize>,
    /// The next answer stops after so many bytes.
    hold: Option<usize>,
    is_lying: bool,
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

    pub(super) fn cut_after(&self, bytes: usize) {
        self.shared.ways.lock().expect("lock").cut = Some(bytes);
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
    let (mut path, mut from) = (String::new(), None);
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
            from = Some(range.trim_end_matches('-').parse().expect("a number"));
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
    let (cut, hold, is_lying) = {
        let mut ways = shared.ways.lock().expect("lock");
        ways.ranges.push((name.and_then(|it| it.parse().ok()).expect("a digest"), from));
        (ways.cut.take(), ways.hold.take(), ways.is_lying)
    };
    let mut part = bytes[usize::try_from(from.unwrap_or(0)).expect("small")..].to_vec();
    if is_lying {
        let last = part.len() - 1;
        part[last] ^= 1;
    }
    let length = part.len();
    let head = match from {
        None => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"),
        Some(from) => format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {length}\r\n\
             content-range: bytes {from}-{}/{}\r\n\r\n",
            bytes.len() - 1,
            bytes.len()
        ),
    };
    let sent = cut.or(hold).unwrap_or(length).min(length);
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&part[..sent]).await;
    if hold.is_some() {
        shared.held.notify_one();
        std::future::pending::<()>().await;
    }
}
