//! Every bound of the load balancer that is not a setting, with its reason; and the defaults of
//! those that are (`config.rs`).

use std::time::Duration;

use pe_proto::limits::{CONFIG_BYTES_MAX, INPUT_BYTES_MAX, RESULT_BYTES_MAX};

// ---- The queue and the leases (defaults of `Terms`). ----

/// Jobs that wait for their first lease. At the 10 s a job may take, 256 jobs keep a small fleet
/// (16 slots) busy for longer than anybody waits; more would only be refused later, not served.
pub const QUEUE_JOBS_MAX: usize = 256;

/// How long a job may wait for a lease. With a job's default 10 s and the relay it stays under
/// the 60 s at which common proxies give up on an answer.
pub const QUEUE_WAIT: Duration = Duration::from_secs(20);

/// How often a job whose worker was lost is leased again: three workers lost in a row is no
/// accident, and perhaps the job is what kills them.
pub const RELEASES_MAX: u8 = 2;

/// How often a job that a worker itself reported as lost is leased again: a VM that died once may
/// be bad luck, twice on different workers is the job.
pub const REPORTS_MAX: u8 = 1;

/// What a worker gets beyond a job's wall clock until its result must begin: receiving, attach,
/// unpack and pack under emulation take seconds, and the worker's own clock (45 s in emulation)
/// must end first, with time left to bring back what there is.
pub const LEASE_GRACE: Duration = Duration::from_secs(60);

/// How long a worker that left is counted on to return: several rounds of its reconnect back-off.
pub const WORKER_GRACE: Duration = Duration::from_secs(30);

/// Of a hundred leases so many may be hedged in the long run (default): what a fleet of a few
/// bad links needs, and too little to double the load of one that is slow as a whole.
pub const HEDGE_PERCENT: u8 = 5;

/// Hedges at once beyond that: the parked slots of a worker or two whose link just died.
pub const HEDGE_BURST: u8 = 8;

/// How long a sign of life is waited for from a worker that never gave one: a long link at its
/// first job.
pub const HEDGE_WAIT_FIRST: Duration = Duration::from_secs(1);

/// Least wait for a sign of life: a worker that stops for a moment is not yet dead, and a VM is
/// dear.
pub const HEDGE_WAIT_MIN: Duration = Duration::from_millis(100);

/// Most wait for a sign of life: above it there would be nothing left to win before the link's
/// own PINGs show it to be dead.
pub const HEDGE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Of a hundred results of untrusted workers that could be kept, for how many another worker is
/// asked (default). Results that are asked for again and again are confirmed soon at any rate, as
/// each run is another chance and so is each run that another owner's worker happens to get; for
/// those asked for once a second run is wasted.
pub const CONFIRM_PERCENT: u8 = 10;

/// Runs at a time that confirm results (default): what a fleet that is busy now and then spares.
pub const CONFIRM_RUNS_MAX: usize = 4;

/// The most that it may be set to.
pub const CONFIRM_RUNS_MOST: usize = 64;

/// Results that are being confirmed, or wait for a slot to spare.
pub const CONFIRM_ASKED_MAX: usize = 128;

/// Bytes of their jobs: an eighth of the least memory for bodies.
pub const CONFIRM_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a slot to spare is waited for: some lulls of a busy minute.
pub const CONFIRM_WAIT: Duration = Duration::from_secs(30);

/// Between two looks for one.
pub const CONFIRM_PAUSE: Duration = Duration::from_millis(250);

/// So often a job's confirmation may come to nothing before it is left alone: by chance that
/// happens once, to a program that never ends the same way each time.
pub const CONFIRM_VAIN_MAX: u8 = 3;

/// After this time what was said of a job, and that it was in vain, is forgotten.
pub const CONFIRM_FORGET: Duration = Duration::from_secs(6 * 3600);

/// Jobs of which it is remembered what was said, a few hundred bytes each.
pub const CONFIRM_CASES_MAX: usize = 8192;

/// Workers whose strikes are remembered: several times the connections there may be.
pub const STRUCK_WORKERS_MAX: usize = 4 * WORKER_CONNECTIONS_MAX;

/// Slots of one worker, as the protocol has it.
pub const WORKER_SLOTS_MAX: u32 = 4096;

/// Workers with a token of their own: all of them are compared at each hello.
pub const WORKER_ENTRIES_MAX: usize = 4096;

/// Connections of one worker at a time: the one it has, one that is dead and not yet known to
/// be, and a doctor's visit or two.
pub const WORKER_VISITS_MAX: usize = 4;

/// The strikes that bring a quarantine, by the weights in `core/trust/ledger.rs`.
pub const STRIKES_MAX: f64 = 10.0;

/// In this time strikes lose half their weight.
pub const STRIKES_HALF_LIFE: Duration = Duration::from_secs(600);

/// The first quarantine: long enough to be seen, short enough for an accident.
pub const QUARANTINE_MIN: Duration = Duration::from_secs(60);

/// The longest quarantine; who earns it again and again is at work a few minutes a day.
pub const QUARANTINE_MAX: Duration = Duration::from_secs(6 * 3600);

/// So long after its last quarantine a worker's next one is short again.
pub const QUARANTINE_FORGET: Duration = Duration::from_secs(24 * 3600);

/// What a wrong token costs who shows it, so that guessing is slow.
pub const WRONG_TOKEN_DELAY: Duration = Duration::from_secs(2);

/// Connections that wait for that; beyond it they are ended without an answer.
pub const WRONG_TOKENS_MAX: usize = 64;

/// A result whose lease ended this recently crossed with word of that: reset and result may both
/// wait behind megabytes on a slow link.
pub const LATE_RESULT_GRACE: Duration = Duration::from_secs(30);

/// The most wall clock that a job may ask for, in milliseconds (default): what a person waits,
/// and what a proxy in front bears.
pub const WALL_MS_GRANTED: u64 = 60_000;

/// A parked request is answered within this time, under every common middlebox clock.
pub const POLL: Duration = Duration::from_secs(50);

/// Jobs at a time, waiting, leased and being answered.
pub const JOBS_MAX: usize = 16 * 1024;

/// Parked slots and leases at a time: the target is 10,000 parked, and leases come on top.
pub const SLOTS_MAX: usize = 32 * 1024;

/// Messages on their way to the driver. Every slot, job and worker holds one place for the word
/// that it is gone, so that word never waits and is never lost; the rest are requests in flight.
pub const DRIVER_MESSAGES_MAX: usize = JOBS_MAX + SLOTS_MAX + 4 * 1024;

/// Images of which it is remembered that a worker offered them and left.
pub const OFFERS_REMEMBERED_MAX: usize = 16 * 1024;

// ---- What clients may send. ----

/// The largest archive of a job; it is far below what any `usize` holds.
#[expect(clippy::cast_possible_truncation, reason = "checked by an assertion below")]
pub const INPUT_BYTES: usize = INPUT_BYTES_MAX as usize;

/// A job as JSON: the largest archive in base64, and a config beside it.
pub const JSON_BYTES_MAX: usize = INPUT_BYTES / 3 * 4 + 2 * CONFIG_BYTES_MAX;

/// A job in the binary form.
pub const BINARY_BYTES_MAX: usize = 4 + CONFIG_BYTES_MAX + INPUT_BYTES;

/// All bodies in flight together (default): of requests, half of it at most, and of results. A
/// small fleet's jobs and their results fit in it many times over.
pub const BODIES_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The least that it may be set to: one client alone, with all requests there may be beside it,
/// can have the largest request and the largest result.
pub const BODIES_BYTES_MIN: usize = 128 * 1024 * 1024;

/// Time between two pieces of a request's body.
pub const BODY_IDLE: Duration = Duration::from_secs(10);

/// Time for a whole request body: 16 MiB at about 1 Mbit/s.
pub const BODY_TIME: Duration = Duration::from_secs(120);

/// What is received of a request after it was refused, so that a client that only listens when it
/// has spoken hears why: nothing is kept of it, and then the stream is reset.
pub const DISCARD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// See [`DISCARD_BYTES_MAX`].
pub const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Time until a result that must be collected finds room.
pub const RESULT_ROOM_WAIT: Duration = Duration::from_secs(10);

/// The same while its own client has its share. Its worker waits all the while with the result of
/// somebody who does not read: short, or a few such clients have every worker waiting.
pub const RESULT_SHARE_WAIT: Duration = Duration::from_millis(250);

/// Threads for work that must not hold others up: large results made into JSON or packed, files of
/// the cache. Each may have a few copies of a result in hand, which nobody accounts for.
pub const BLOCKING_THREADS_MAX: usize = 8;

/// How much of a result in the binary form is checked before any of it is sent. Smaller results
/// are checked whole, so that a worker lost while it sends them is never seen by the client.
pub const RELAY_HELD_BYTES: usize = 64 * 1024;

/// Length of an `x-request-id` that is taken over.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// A job as an HTML form: the largest archive, a config, and the heads of many parts.
pub const MULTIPART_BYTES_MAX: usize = BINARY_BYTES_MAX + 2 * 1024 * 1024;

/// Names told to a client that asked for an unknown image.
pub const NEAR_NAMES_MAX: usize = 3;

/// Kinds of jobs of which it is remembered how long they took lately. Those that run are never
/// forgotten, and there are no more of them than leases.
pub const PACES_MAX: usize = 4096;

/// Leases that must have ended since one was lost, of kinds that are under way, before a job is
/// refused by the estimate made of them: one or two may be exceptions, and after a loss fewer are
/// under way than slots will be there. Until then the queue's own clock decides.
pub const PACE_ENDS_MIN: u64 = 3;

// ---- Admission (defaults of `[admission]`; `core/admission.rs`). ----

/// Requests of an anonymous client in a second, and at once: a page with a few hundred pictures
/// from the cache, and a script that reads results as fast as a person's line brings them.
pub const REQUESTS_PER_S: u32 = 50;
/// See [`REQUESTS_PER_S`].
pub const REQUESTS_BURST: u32 = 400;

/// Jobs that are really run for an anonymous client in a minute, and at once: a person who edits
/// and runs, and a page of examples that are all run when it opens.
pub const RUNS_PER_MINUTE: u32 = 60;
/// See [`RUNS_PER_MINUTE`].
pub const RUNS_BURST: u32 = 30;

/// The time in which a budget of CPU time comes back whole.
pub const CPU_WINDOW: Duration = Duration::from_secs(600);

/// CPU time of an anonymous client in [`CPU_WINDOW`], in seconds: half a core for ever is more
/// than anybody needs who reads what comes out.
pub const CLIENT_CPU_S: u32 = 300;

/// The same of all anonymous clients of a network: a school's lab behind one address range.
pub const NETWORK_CPU_S: u32 = 1200;

/// The same of an image: 16 cores, which is a small fleet whole.
pub const IMAGE_CPU_S: u32 = 9600;

/// What a job is taken to use until it is known; most use less.
pub const CPU_RESERVE: Duration = Duration::from_secs(1);

/// Jobs of an anonymous client that may wait: an eighth of the queue.
pub const CLIENT_QUEUE_JOBS_MAX: usize = 32;

/// Clients of whom it is remembered what they used, for each limit: about 64 bytes each.
pub const CLIENTS_MAX: usize = 64 * 1024;

/// How often clients who owe nothing are forgotten.
pub const IDLE_CLIENTS_SWEPT: Duration = Duration::from_secs(60);

/// Numbers of a limit that can be set: far above what means anything, far from overflow.
pub const LIMIT_MAX: u32 = 1_000_000;

/// Classes of callers; each request looks through them.
pub const CLASSES_MAX: usize = 32;

/// API keys in a file.
pub const API_KEYS_MAX: usize = 64 * 1024;

/// An API key as it is shown; ours have 67 bytes.
pub const API_KEY_BYTES_MAX: usize = 256;

/// Name of a key or a class.
pub const NAME_BYTES_MAX: usize = 64;

/// Bans at a time.
pub const BANS_MAX: usize = 4096;

/// The longest ban; addresses change hands.
pub const BAN_TIME_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// What is noted about a ban.
pub const BAN_REASON_CHARS_MAX: usize = 200;

/// The longest deadline that a client can give; it only ever shortens what is granted.
pub const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);
// ---- The cache, and flights. ----

/// Memory for entries of the cache (default), in MiB: some ten thousand results of the usual few
/// KiB in both forms, or a dozen of the largest there are.
pub const CACHE_MEMORY_MIB: usize = 256;

/// The most that may be set: what the shares of memory can count.
pub const CACHE_MEMORY_MIB_MAX: usize = 1024 * 1024;

/// Results on disk (default), in MiB, if there is a directory for them.
pub const CACHE_DISK_MIB: u64 = 4 * 1024;

/// The least that may be set: room for a few of the largest results.
pub const CACHE_DISK_MIB_MIN: u64 = 128;

/// The most that may be set, so that its bytes are a number: 1 EiB.
pub const CACHE_DISK_MIB_MAX: u64 = 1024 * 1024 * 1024 * 1024;

/// A result in the binary form: the largest archive, and a head with all its texts at their
/// bounds, which JSON may write as six bytes each.
pub const CACHED_BYTES_MAX: u64 = RESULT_BYTES_MAX + 1024 * 1024;

/// Results read from disk at a time: more would not make a disk faster.
pub const DISK_READS_MAX: usize = 16;

/// Results that wait to be written. They are held in memory, as entries mostly are anyway.
pub const DISK_WRITES_WAITING_MAX: usize = 64;

/// Entries that were thrown out while clients still read them, beyond the memory for entries.
/// Many times the largest entry, so that slow readers of old results keep out new ones only when
/// there are many.
pub const CACHE_LEAVING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What an entry costs beside its bytes: headers, names, its places in tables and lists.
pub const CACHE_ENTRY_OVERHEAD_BYTES: usize = 2 * 1024;

/// From this size on, results are hashed, packed and turned into JSON where that does not hold up
/// others: it takes about as long as handing the work over.
pub const APART_BYTES_MIN: usize = 128 * 1024;

/// Results below this size are sent as they are: they fit in a packet or two anyway.
pub const PACK_BYTES_MIN: usize = 1024;

/// What is packed once is packed as well as can be up to this size: a second or two of work for all
/// that a page has. Larger files (pictures, models) get little smaller by it.
pub const PACK_HARD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Who may wait for one run. A link that goes round is asked for by many at once; beyond this,
/// the answer is to come back when the result is known.
pub const FLIGHT_SEATS_MAX: usize = 4096;

// ---- The page (`[web]`). ----

/// Files of the page: a build has some dozens.
pub const WEB_FILES_MAX: usize = 1024;

/// Bytes of them together, which are in memory, and packed beside it: the page has a few MiB with
/// all its viewers.
pub const WEB_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Folders in folders.
pub const WEB_DEPTH_MAX: usize = 8;

// ---- Shares (`[shares]`). ----

/// The state of the page as JSON: a few source files and what was chosen. Larger inputs are for jobs.
pub const SHARE_BYTES_MAX: usize = 256 * 1024;

/// Memory for shares (default), in MiB: ten thousand of the usual 2 KiB, with what an entry costs.
pub const SHARES_MEMORY_MIB: usize = 48;

/// The most that may be set.
pub const SHARES_MEMORY_MIB_MAX: usize = CACHE_MEMORY_MIB_MAX;

/// Shares on disk (default), in MiB, if there is a directory for them.
pub const SHARES_DISK_MIB: u64 = 256;

/// The least that may be set: room for many of the largest.
pub const SHARES_DISK_MIB_MIN: u64 = 16;

/// The most that may be set. A small file is 4 KiB to a disk and its name some hundred bytes in
/// memory: this many MiB of them are a few million.
pub const SHARES_DISK_MIB_MAX: u64 = 16 * 1024;

/// A file takes whole blocks of a disk, however short it is; this bounds their number, too.
pub const DISK_BLOCK_BYTES: u32 = 4096;

/// What a share is counted for at least, in KiB.
pub const SHARE_KIB_MIN: u32 = 4;

/// New shares of an anonymous client in a minute, and at once, in KiB: a person who shares each
/// step of a session, and a class that is told to. Who wants to push out all others' shares with
/// his own needs an hour and a half for it, alone.
pub const SHARE_KIB_PER_MINUTE: u32 = 512;
/// See [`SHARE_KIB_PER_MINUTE`].
pub const SHARE_KIB_BURST: u32 = 2048;

// ---- Connections. ----

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

// ---- Workers. ----

/// Shortest token of workers: 16 random characters are beyond guessing.
pub const TOKEN_BYTES_MIN: usize = 16;

/// A connection to the workers' listener that says no hello in this time is closed.
pub const HELLO_TIME: Duration = Duration::from_secs(30);

/// Time for the frame at the head of a request on the worker link.
pub const FRAME_TIME: Duration = Duration::from_secs(30);

/// Time between two pieces of a result. The worker has all of it when it begins.
pub const RESULT_IDLE: Duration = Duration::from_secs(20);

/// Time for a whole result, slow clients included.
pub const RESULT_TIME: Duration = Duration::from_secs(300);

/// What a worker must send of a result in a second, on the whole, while it is waited for: a
/// quarter of a thin uplink. One that trickles keeps a client, its connection and memory.
pub const RESULT_BYTES_PER_SECOND_MIN: u64 = 32 * 1024;

/// Frames of large messages that are read at a time on a worker's connection, beyond one for
/// each of its slots.
pub const LARGE_FRAMES_SPARE: usize = 8;

// ---- Health. ----

/// A worker that did a job this recently is proof enough (default).
pub const CANARY_FRESH: Duration = Duration::from_secs(30);

/// How long a failed canary is remembered before another is sent.
pub const CANARY_FAILED_FRESH: Duration = Duration::from_secs(3);

/// Time for a canary: a job that does nothing, in a queue and under emulation.
pub const CANARY_TIME: Duration = Duration::from_secs(15);

/// Readiness checks that wait for one canary.
pub const CANARY_WAITERS_MAX: usize = 64;

/// Jobs in flight get this long when the load balancer shuts down (default).
pub const DRAIN: Duration = Duration::from_secs(40);

// ---- Operators. ----

/// Lines of the access log that wait to be written: a few seconds of the fastest traffic that one
/// machine has, some 10 MiB at the worst. What comes on top is dropped and counted.
pub const ACCESS_LINES_MAX: usize = 16 * 1024;

/// What is gathered before it is written to the access log at once.
pub const ACCESS_BUFFER_BYTES: usize = 64 * 1024;

/// How much of a path is in the access log: all of ours are far shorter.
pub const ACCESS_PATH_CHARS: usize = 256;

/// How much of a user agent is in the access log.
pub const ACCESS_USER_AGENT_CHARS: usize = 128;

/// How long the end of the process waits for the access log.
pub const ACCESS_FLUSH: Duration = Duration::from_secs(2);

/// Connections of operators and scrapers.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// The body of a change asked for by an operator.
pub const ADMIN_BODY_BYTES_MAX: usize = 64 * 1024;

/// Time for it.
pub const ADMIN_BODY_TIME: Duration = Duration::from_secs(10);

/// Rows of a list of jobs that are shown; the rest is counted.
pub const ADMIN_ROWS_MAX: usize = 1000;

/// Host names that operators may ask under.
pub const ADMIN_HOSTS_MAX: usize = 32;

/// Workers that have metrics of their own; the others share one name. At ten series each they
/// are a few hundred, which every Prometheus bears.
pub const WORKERS_MEASURED_MAX: usize = 64;

/// The largest file whose content is compared when settings are read again.
pub const COMPARED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// At the begin of a drain, requests that were on their way are served as ever for this long
/// (default): a client that had connected, or had not heard of the GOAWAY yet, must not notice that
/// another process takes over.
pub const SETTLE: Duration = Duration::from_secs(1);

const _: () = assert!(INPUT_BYTES as u64 == INPUT_BYTES_MAX);
const _: () = assert!(SEND_BUFFER_BYTES >= PIECE_BYTES);
const _: () = assert!(HTTP1_BUFFER_BYTES >= HEADER_BYTES_MAX as usize);
const _: () = assert!(CACHED_BYTES_MAX <= CACHE_DISK_MIB_MIN * 1024 * 1024);
const _: () = assert!(SHARE_BYTES_MAX as u64 <= CACHED_BYTES_MAX);
const _: () = assert!(SHARE_BYTES_MAX as u64 <= SHARES_DISK_MIB_MIN * 1024 * 1024 / 16);
const _: () = assert!(SHARE_BYTES_MAX <= SHARE_KIB_BURST as usize * 1024);
const _: () = assert!(BODIES_BYTES_MIN <= BODIES_BYTES_MAX);
const _: () = assert!(8 * CONFIRM_BYTES_MAX <= BODIES_BYTES_MIN as u64);
const _: () = assert!(CONFIRM_RUNS_MOST <= CONFIRM_ASKED_MAX);
const _: () = assert!(4 * JSON_BYTES_MAX <= BODIES_BYTES_MIN);
const _: () = assert!(4 * BINARY_BYTES_MAX <= BODIES_BYTES_MIN);
const _: () = assert!(4 * MULTIPART_BYTES_MAX <= BODIES_BYTES_MIN);
const _: () = assert!(4 * RESULT_BYTES_MAX <= BODIES_BYTES_MIN as u64);
const _: () = assert!(DRIVER_MESSAGES_MAX > JOBS_MAX + SLOTS_MAX + 2 * WORKER_CONNECTIONS_MAX);
