//! `[cache]`: how much is remembered.

use serde::Deserialize;

use crate::cache::Sizes;
use crate::limits::{CACHE_MEMORY_MIB, CACHE_MEMORY_MIB_MAX};

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    is_on: Option<bool>,
    memory_mib: Option<usize>,
}

impl Raw {
    /// Checked; an error is a key and what is wrong with its value.
    pub(super) fn check(self) -> Result<Sizes, (&'static str, String)> {
        let mib = self.memory_mib.unwrap_or(CACHE_MEMORY_MIB);
        if !(1..=CACHE_MEMORY_MIB_MAX).contains(&mib) {
            let problem = format!("expected 1 to {CACHE_MEMORY_MIB_MAX}, got {mib}");
            return Err(("cache.memory_mib", problem));
        }
        Ok(Sizes { is_on: self.is_on.unwrap_or(true), memory_bytes: mib * 1024 * 1024 })
    }
}
