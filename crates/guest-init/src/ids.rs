//! Ids of the container and what they are outside of it.
//!
//! Ids 0 to 65535 of the image and the container are 100000 to 165535 outside, where they own
//! nothing and may do nothing: root in the container is nobody in the VM.

use nix::unistd::{Gid, Uid};

use crate::limits::FIRST_ID;

/// A user of the container as it is outside of it.
pub fn outside_uid(id: u32) -> Uid {
    Uid::from_raw(FIRST_ID.saturating_add(id))
}

/// A group of the container as it is outside of it.
pub fn outside_gid(id: u32) -> Gid {
    Gid::from_raw(FIRST_ID.saturating_add(id))
}
