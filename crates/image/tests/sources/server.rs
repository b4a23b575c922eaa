//! A registry of a few lines on loopback that does what its test says, honest or not, and remembers
//! what it was asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::made::{MANIFEST, Made};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    head: Vec<String>,
}

impl Asked {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}:");
        let line = self.head.iter().find(|line| line.to_ascii_lowercase().starts_with(&prefix))?;
        line.get(prefix.len()..).map(str::trim)
    }
}

/// What to answer: bytes as they are, then the end of the connection.
pub(crate) type Behaviour = dyn Fn(&Asked) -> Vec<u8> + Send + Sync;

/// A server; dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(behave: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (connections, asked) =
            (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<Asked>>>::default());
        let is_over = Arc::<AtomicBool>::default();
        let thread = std::thread::spawn({
            let (connections, asked) = (Arc::clone(&connections), Arc::clone(&asked));
            let (is_over, behave): (_, Arc<Behaviour>) = (Arc::clone(&is_over), Arc::new(behave));
            move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (asked, behave) = (Arc::clone(&asked), Arc::clone(&behave));
                    std::thread::spawn(move || serve(&stream, &asked, &*behave));
                }
            }
        });
        Self { address, connections, asked, is_over, thread: Some(thread) }
    }

    /// An honest registry with one image, by any tag, with these bytes as the root.
    pub(crate) fn of(made: Made) -> Self {
        Self::start(move |asked| honest(&made, asked))
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(stream: &TcpStream, asked: &Mutex<Vec<Asked>>, behave: &Behaviour) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let head = lines.take_while(|line| !line.is_empty()).collect();
    let request = Asked { path, head };
    asked.lock().expect("no panic").push(request.clone());
    // A client that has heard enough closes the connection.
    let _ = (&*stream).write_all(&behave(&request));
}

/// A whole answer.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut bytes = head(status, headers);
    bytes.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The beginning of an answer, without the empty line.
pub(crate) fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} whatever\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.into_bytes()
}

/// What an honest registry answers: manifests and blobs, with ranges.
pub(crate) fn honest(made: &Made, asked: &Asked) -> Vec<u8> {
    if asked.path.contains("/manifests/") {
        return manifest(made, asked);
    }
    let digest = asked.path.rsplit('/').next().unwrap_or_default();
    let blob = digest.parse().ok().and_then(|digest| made.blobs.get(&digest));
    let Some(blob) = blob else { return answer(404, &[], b"{}") };
    let from = asked
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        None => answer(200, &[], blob),
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
            answer(206, &[("content-range", &range)], &blob[from..])
        }
    }
}

fn manifest(made: &Made, asked: &Asked) -> Vec<u8> {
    let wanted = asked.path.rsplit('/').next().unwrap_or_default();
    let bytes = match wanted.parse() {
        Ok(digest) => made.blobs.get(&digest),
        Err(_) => None,
    };
    let bytes = bytes.unwrap_or(&made.manifest);
    let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let kind = document.get("mediaType").and_then(|kind| kind.as_str()).unwrap_or(MANIFEST);
    answer(200, &[("content-type", kind)], bytes)
}
