//! What can be changed (`protocol.md 9.2`).

use serde::{Deserialize, Serialize};

/// No more jobs for a worker, or jobs again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainWorker {
    /// Its name; all visits under it are meant.
    pub worker: String,
    /// `false` takes the wish back.
    pub draining: bool,
}

/// No more jobs for a worker that is not believed, or jobs again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineWorker {
    /// Its name; all visits under it are meant.
    pub worker: String,
    /// `false` takes the wish back, and forgives.
    pub quarantined: bool,
}

/// Forget a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Job digest, 64 hexadecimal digits.
    pub job: String,
}

/// Refuse all that a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// An address, a network (`192.0.2.0/24`), or the name of a key.
    pub client: String,
    /// For how long.
    pub seconds: u64,
    /// Why: for whoever lists bans.
    #[serde(default)]
    pub reason: String,
}

/// Take a ban back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unban {
    /// As it was given, or as [`Bans`] has it.
    pub client: String,
}

/// Whoever is banned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bans {
    /// By client.
    pub bans: Vec<Ban>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// An address, a network, or the name of a key.
    pub client: String,
    /// How long it holds.
    pub left_ms: u64,
    /// Why.
    pub reason: String,
}

/// A change was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// How many things it was made to; 0 if there was nothing to do.
    pub changed: u64,
    /// What was done, for people.
    pub detail: String,
}

/// Settings were read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Keys whose new values hold now.
    pub applied: Vec<String>,
    /// Keys whose new values hold after a restart.
    pub needs_restart: Vec<String>,
}
