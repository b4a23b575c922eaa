//! What callers of one kind may have.

use std::num::NonZeroU8;

use super::limiter::Rate;

/// A class of callers. What is `None` is not limited for each of them; the queue, the memory for
/// bodies and the connections are bounded for all together whatever their class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name in settings and keys.
    pub name: String,
    /// Requests, answered from the cache or not.
    pub requests: Option<Rate>,
    /// Jobs that are really run.
    pub runs: Option<Rate>,
    /// New shares; a cell is a KiB.
    pub shares: Option<Rate>,
    /// CPU time of runs; a cell is a millisecond.
    pub cpu: Option<Rate>,
    /// The most wall clock that a job may ask for, in milliseconds, if less than all may.
    pub wall_ms_max: Option<u64>,
    /// Jobs of one caller that may wait at a time.
    pub queued_max: usize,
    /// Jobs of one caller that go before it is the next one's turn.
    pub priority: NonZeroU8,
}

impl Default for Class {
    fn default() -> Self {
        Self {
            name: String::new(),
            requests: None,
            runs: None,
            shares: None,
            cpu: None,
            wall_ms_max: None,
            queued_max: usize::MAX,
            priority: NonZeroU8::MIN,
        }
    }
}
