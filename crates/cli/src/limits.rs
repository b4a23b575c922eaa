//! Every bound of the client that is not one of the formats, with its reason.

use std::time::Duration;

/// Until a TCP connection stands. Longer than a lost SYN on a bad link, shorter than patience.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Beyond the job's own wall clock, how long nothing may move on the connection: a place in the
/// queue, a VM booted under emulation, and the job run a second time after a lost worker.
pub const SILENCE_MAX: Duration = Duration::from_secs(300);

/// A `GET` from first to last byte. All of them are answered from the server's memory.
pub const GET_WAIT_MAX: Duration = Duration::from_secs(20);

/// An API key; servers make keys of less than a hundred bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// Body of a problem. One is a few hundred bytes.
pub const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// The oldest answer of a registry that is taken for new; a year is for ever.
pub const MAX_AGE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A share, as servers keep it.
pub const SHARE_BYTES_MAX: usize = 256 * 1024;

/// A state of the page as JSON: the largest archive of a job in base64, and the rest beside it.
pub const STATE_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Differences that `pe replay` tells: whoever has more has seen enough.
pub const DIFFERENCES_MAX: usize = 100;

/// A file of labels: twice what it may be as JSON, for its comments.
pub const LABELS_BYTES_MAX: u64 = 512 * 1024;

/// Catalogue: thousands of images.
pub const CATALOGUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A question of an operator from first to last byte: the longest is a reload, which reads files.
pub const ADMIN_WAIT_MAX: Duration = Duration::from_secs(30);

/// What an operator is told: a thousand rows.
pub const ADMIN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest ban: a year. For ever is a firewall's.
pub const BAN_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Piece of an upload; what the progress line moves by, and what one write is.
pub const UPLOAD_PIECE_BYTES: usize = 64 * 1024;

/// How often the progress line is drawn, and silence looked for.
pub const TICK: Duration = Duration::from_millis(200);

/// Until it is asked how far a job is, and the first pause between two such questions.
pub const FOLLOW_FIRST: Duration = Duration::from_secs(1);

/// The longest pause between two of them: each counts as a request of whoever waits.
pub const FOLLOW_MAX: Duration = Duration::from_secs(5);

/// Pause between two questions of `pe wait-ready`.
pub const READY_POLL: Duration = Duration::from_millis(500);

/// The longest that `pe wait-ready` can be told to wait.
pub const READY_WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Names listed in one message; the rest is counted.
pub const NAMES_SHOWN_MAX: usize = 5;

/// The longest wall clock that can be asked for. Only keeps sums of durations far from overflow:
/// what is granted is the server's to say.
pub const WALL_ASKED_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
