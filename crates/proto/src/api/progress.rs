//! How far a job is that has no answer yet (`protocol.md 8.10`).

use serde::{Deserialize, Serialize};

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Progress {
    /// It waits for a slot.
    Queued {
        /// 1 is next; 0 is not known yet.
        position: u64,
        /// How long that will take, if it can be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait_ms: Option<u64>,
    },
    /// It waits for its image, which a worker fetches.
    Fetching {
        /// Of a hundred.
        percent: u8,
        /// Bytes that the worker has which has the most.
        bytes: u64,
        /// Bytes of the image's pack.
        bytes_total: u64,
    },
    /// A worker has it.
    Running {
        /// For so long.
        for_ms: u64,
    },
}

impl Progress {
    /// Of an image of which so much is there.
    pub fn fetching(bytes: u64, bytes_total: u64) -> Self {
        let percent = u128::from(bytes) * 100 / u128::from(bytes_total.max(1));
        let percent = u8::try_from(percent.min(100)).unwrap_or(100);
        Self::Fetching { percent, bytes, bytes_total }
    }
}
