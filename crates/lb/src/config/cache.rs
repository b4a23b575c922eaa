//! `[cache]`: how much is remembered.

use std::path::PathBuf;

use serde::Deserialize;

use crate::cache::Sizes;
use crate::limits::{
    CACHE_DISK_MIB, CACHE_DISK_MIB_MAX, CACHE_DISK_MIB_MIN, CACHE_MEMORY_MIB, CACHE_MEMORY_MIB_MAX,
};

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    is_on: Option<bool>,
    memory_mib: Option<usize>,
    disk_dir: Option<PathBuf>,
    disk_mib: Option<u64>,
}

impl Raw {
    /// Checked; an error is a key and what is wrong with its value.
    pub(super) fn check(self) -> Result<Sizes, (&'static str, String)> {
        let mib = self.memory_mib.unwrap_or(CACHE_MEMORY_MIB);
        if !(1..=CACHE_MEMORY_MIB_MAX).contains(&mib) {
            let problem = format!("expected 1 to {CACHE_MEMORY_MIB_MAX}, got {mib}");
            return Err(("cache.memory_mib", problem));
        }
        let disk_mib = self.disk_mib.unwrap_or(CACHE_DISK_MIB);
        if !(CACHE_DISK_MIB_MIN..=CACHE_DISK_MIB_MAX).contains(&disk_mib) {
            let problem =
                format!("expected {CACHE_DISK_MIB_MIN} to {CACHE_DISK_MIB_MAX}, got {disk_mib}");
            return Err(("cache.disk_mib", problem));
        }
        if self.disk_mib.is_some() && self.disk_dir.is_none() {
            let problem = "says nothing without cache.disk_dir".to_owned();
            return Err(("cache.disk_mib", problem));
        }
        if self.disk_dir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
            return Err(("cache.disk_dir", "expected an absolute path".to_owned()));
        }
        Ok(Sizes {
            is_on: self.is_on.unwrap_or(true),
            memory_bytes: mib * 1024 * 1024,
            disk: self.disk_dir.map(|dir| (dir, disk_mib * 1024 * 1024)),
        })
    }
}
