//! Bounds of connections: seats, clocks, HTTP/1.1 and HTTP/2, TLS.

use std::time::Duration;

/// Client connections (default). A file descriptor and, when idle, about 20 KiB each.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Connections of one client (an IPv4 address, or an IPv6 network of 64 bits) (default). A crowd
/// behind one address of a provider has some hundred; one client must not have all.
pub const CONNECTIONS_PER_CLIENT_MAX: usize = 1024;

/// Connections that were asked to leave for others and have not gone, beyond those with a seat.
pub const CONNECTIONS_LEAVING_MAX: usize = 512;

/// How long one that was asked to leave may take: a GOAWAY and its answer.
pub const LEAVING_TIME: Duration = Duration::from_secs(2);

/// Connections that are being told that there is no room; more are closed without a word.
pub const TURNED_AWAY_MAX: usize = 256;

/// How long telling them may take.
pub const TURNED_AWAY_TIME: Duration = Duration::from_secs(5);

/// When a client that found no room may come again.
pub const TURNED_AWAY_RETRY: Duration = Duration::from_secs(5);

/// TLS handshakes at a time (default). Each costs about 20 KiB and half a millisecond; when there
/// are more, the oldest is given up: a client that means it needs two round trips.
pub const HANDSHAKES_MAX: usize = 1024;

/// Time for a TLS handshake.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Time for the header of the PROXY protocol: the proxy has it when it connects.
pub const PROXY_HEADER_TIME: Duration = Duration::from_secs(5);

/// Bytes of that header: addresses, and extensions that proxies add and nobody here reads.
pub const PROXY_HEADER_BYTES_MAX: usize = 2048;

/// Proxies between a client and us that a header may name.
pub const HOPS_MAX: usize = 16;

/// How long a job may wait for an image that a worker fetches: some hundred megabytes over a home's
/// line. Whoever cannot wait so long says so (`pe-deadline-ms`).
pub const FETCH_WAIT: Duration = Duration::from_secs(120);

/// Packs that one worker's connection fetches at a time. It fetches one or two.
pub const PACK_TRANSFERS_PER_WORKER: usize = 2;

/// Packs being sent at a time, to all workers: each has a thread reading for it now and then, and
/// holds [`PACK_PIECE_BYTES`] and what its stream's buffer takes.
pub const PACK_TRANSFERS_MAX: usize = 32;

/// Read of a pack at a time.
pub const PACK_PIECE_BYTES: usize = 128 * 1024;

/// A worker that takes nothing of a pack for so long loses its place among the transfers.
pub const PACK_STALL: Duration = Duration::from_secs(60);

/// Worker connections; each may carry thousands of slots.
pub const WORKER_CONNECTIONS_MAX: usize = 1024;

/// Time for the head of an HTTP/1 request, idle time before it included.
pub const HEADER_TIME: Duration = Duration::from_secs(30);

/// Head of a request; generous for cookies of a front, far below what hurts.
pub const HEADER_BYTES_MAX: u32 = 32 * 1024;

/// Headers of an HTTP/1 request.
pub const HEADERS_MAX: usize = 64;

/// Read buffer of an HTTP/1 connection; must hold a head.
pub const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// Requests at a time on a client's HTTP/2 connection. A CDN multiplexes many clients.
pub const CLIENT_STREAMS_MAX: u32 = 128;

/// Requests at a time on a worker's connection: its slots parked, leased and answering.
pub const WORKER_STREAMS_MAX: u32 = 16 * 1024;

/// Streams reset by a client before they were accepted, and streams reset by us for its errors,
/// until the connection is ended (rapid reset, CVE-2023-44487; MadeYouReset, CVE-2025-8671).
pub const RESETS_MAX: usize = 64;

/// Streams that a client resets at once and per second: a page that is left resets what it has
/// open, twice over, and a CDN passes on what its clients do; a rapid reset is thousands a second.
pub const RESETS_BURST: u32 = 2 * CLIENT_STREAMS_MAX;
/// See [`RESETS_BURST`].
pub const RESETS_PER_SECOND: u32 = 64;

/// PING, SETTINGS, WINDOW_UPDATE and other frames that ask for nothing, at once and per second,
/// beyond those that requests and moved bytes earn: what libraries send to measure a link is tens
/// a second.
pub const CONTROL_BURST: u32 = 1024;
/// See [`CONTROL_BURST`].
pub const CONTROL_PER_SECOND: u32 = 128;

/// HPACK table for a client's headers: the protocol's default, and enough for what repeats.
pub const HEADER_TABLE_BYTES: u32 = 4096;

/// Payload of a frame: the protocol's least. Larger frames only cost larger buffers.
pub const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// The same on a worker's connection: a worker that gives up resets all its streams at once.
pub const WORKER_RESETS_MAX: usize = WORKER_STREAMS_MAX as usize;

/// Receive window of a stream: what a client may send before anybody reads.
pub const STREAM_WINDOW_BYTES: u32 = 128 * 1024;

/// Receive window of a connection, all streams together.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same for workers, whose results are megabytes and whose links may be long.
pub const WORKER_STREAM_WINDOW_BYTES: u32 = 512 * 1024;

/// See [`WORKER_STREAM_WINDOW_BYTES`]. Results whose clients are slow take up the window of their
/// worker's connection; it is large so that a few of them do not hold up the others.
pub const WORKER_CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;

/// Bytes of an answer that HTTP/2 may hold for a stream whose peer does not read.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes that a connection may have written before they are sent. A turn's answers go out together,
/// and sixteen small ones are worth it; much more would only be copied.
pub const OUTBOX_BYTES: usize = 64 * 1024;

/// Largest piece of an answer given to the connection at a time; bounds the same for HTTP/1.
pub const PIECE_BYTES: usize = 32 * 1024;

/// HTTP/2 PING when nothing was heard, and how long its answer may take: how a dead peer is told
/// from a quiet one.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// See [`PING_INTERVAL`].
pub const PING_TIME: Duration = Duration::from_secs(10);

/// A connection without a request for this long is closed.
pub const IDLE: Duration = Duration::from_secs(75);

/// A client that takes nothing of its answer for this long loses its connection.
pub const WRITE_STALL: Duration = Duration::from_secs(30);

/// Bytes per second that a client must take of what it is owed, on average over [`WRITE_STALL`]
/// (default): slower than any link that somebody waits at.
pub const READ_RATE_MIN: u64 = 256;

/// How often a connection is looked at for the three above.
pub const VITALS_INTERVAL: Duration = Duration::from_secs(5);

/// How often connections are counted by their state.
pub const ATTENDANCE_INTERVAL: Duration = Duration::from_secs(5);

/// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`. All clients of
/// a process that was restarted may come at once.
pub const BACKLOG: u32 = 4096;

/// Pause of a listener after an error of `accept`, such as too many open files.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
