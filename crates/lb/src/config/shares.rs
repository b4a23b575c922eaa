//! `[shares]`: how many states of the page are kept for others to see.

use std::path::PathBuf;

use serde::Deserialize;

use crate::limits::{
    SHARES_DISK_MIB, SHARES_DISK_MIB_MAX, SHARES_DISK_MIB_MIN, SHARES_MEMORY_MIB,
    SHARES_MEMORY_MIB_MAX,
};

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    memory_mib: Option<usize>,
    disk_dir: Option<PathBuf>,
    disk_mib: Option<u64>,
}

/// How large the store of shares is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareSizes {
    /// Bytes of entries in memory.
    pub memory_bytes: usize,
    /// Where shares are kept beyond the process, if anywhere, and how many bytes of them.
    pub disk: Option<(PathBuf, u64)>,
}

impl Raw {
    /// Checked; an error is a key and what is wrong with its value.
    pub(super) fn check(self) -> Result<ShareSizes, (&'static str, String)> {
        let mib = self.memory_mib.unwrap_or(SHARES_MEMORY_MIB);
        if !(1..=SHARES_MEMORY_MIB_MAX).contains(&mib) {
            let problem = format!("expected 1 to {SHARES_MEMORY_MIB_MAX}, got {mib}");
            return Err(("shares.memory_mib", problem));
        }
        let disk_mib = self.disk_mib.unwrap_or(SHARES_DISK_MIB);
        if !(SHARES_DISK_MIB_MIN..=SHARES_DISK_MIB_MAX).contains(&disk_mib) {
            let problem =
                format!("expected {SHARES_DISK_MIB_MIN} to {SHARES_DISK_MIB_MAX}, got {disk_mib}");
            return Err(("shares.disk_mib", problem));
        }
        if self.disk_mib.is_some() && self.disk_dir.is_none() {
            return Err(("shares.disk_mib", "says nothing without shares.disk_dir".to_owned()));
        }
        if self.disk_dir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
            return Err(("shares.disk_dir", "expected an absolute path".to_owned()));
        }
        Ok(ShareSizes {
            memory_bytes: mib * 1024 * 1024,
            disk: self.disk_dir.map(|dir| (dir, disk_mib * 1024 * 1024)),
        })
    }
}
