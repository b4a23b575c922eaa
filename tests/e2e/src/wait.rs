//! Waiting for something outside this process that nobody tells us about.

use std::time::{Duration, Instant};

use crate::circumstances::scaled;

/// Looks every few milliseconds until `look` finds something. The limit is longer where the suite
/// was told that everything is slow.
///
/// # Errors
/// Nothing was found within `limit`; the message names `what`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let limit = scaled(limit);
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        anyhow::ensure!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
