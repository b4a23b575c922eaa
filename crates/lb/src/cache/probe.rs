//! Whether the cache remembers: an entry of its own is written and read back.
//!
//! A cache that is silently off costs runs, not answers, so nobody would notice for months. The
//! entry has the name of no job: it is hashed from a text that no job's encoding begins with.

use std::sync::Arc;

use pe_proto::Digest;

use super::Cache;
use super::representation::{Key, Representation};
use crate::core::form::{Encoding, Form};

/// What is wrong with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forgetful {
    /// It is off.
    #[error("the cache is off")]
    Off,
    /// What was written to memory was not there.
    #[error("memory does not keep what is written to it")]
    Memory,
    /// What was written to disk was not there.
    #[error("the disk does not keep what is written to it")]
    Disk,
}

impl Cache {
    /// Writes an entry to each tier and reads it back.
    ///
    /// # Errors
    /// What did not keep it.
    pub async fn probe(&self) -> Result<(), Forgetful> {
        let memory = self.memory.as_ref().ok_or(Forgetful::Off)?;
        let digest = Digest::of(b"the load balancer's probe of its cache");
        let key = Key { digest, form: Form::Binary, encoding: Encoding::Identity };
        let _turn = self.turns.take(digest).await;
        // New bytes each time, so that what is read back is what was written now.
        let body = getrandom::u64().unwrap_or_default().to_le_bytes().to_vec();
        let made = Arc::new(Representation::new(key, body, &memory.rooms()));
        memory.insert(Arc::clone(&made));
        let found = memory.whole(&key);
        memory.remove(digest);
        if found.is_none_or(|found| found.body != made.body) {
            return Err(Forgetful::Memory);
        }
        if let Some(disk) = &self.disk {
            disk.store(digest, made.body.clone());
            disk.flush().await;
            let found = disk.load(digest).await;
            disk.remove(digest).await;
            if found.is_none_or(|found| found != made.body) {
                return Err(Forgetful::Disk);
            }
        }
        Ok(())
    }
}
