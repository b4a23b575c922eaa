//! `[memory]`: what bodies in flight may take.

use serde::Deserialize;

use crate::limits::{BODIES_BYTES_MAX, BODIES_BYTES_MIN};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Memory {
    bodies_bytes_max: Option<usize>,
}

impl Memory {
    /// All bodies together; or why not.
    pub(super) fn check(&self) -> Result<usize, String> {
        match self.bodies_bytes_max.unwrap_or(BODIES_BYTES_MAX) {
            given if given >= BODIES_BYTES_MIN => Ok(given),
            given => Err(format!("expected at least {BODIES_BYTES_MIN}, got {given}")),
        }
    }
}
