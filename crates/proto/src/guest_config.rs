//! What the worker tells guest init beside the archive (`protocol.md 4.3`).

use bincode::{Decode, Encode};

use crate::JobSpec;
use crate::codec::Message;
use crate::limits::CONFIG_BYTES_MAX;

/// The guest's share of a job. Only what a guest may know: nothing of the client, the worker or
/// other jobs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct GuestConfig {
    /// Request id, for correlation of logs from client to guest.
    pub request_id: String,
    /// What to run.
    pub spec: JobSpec,
    /// Fresh randomness. A restored guest shares its kernel's random state with every other one
    /// of its zygote until this is mixed in, which happens before anything of the user's runs.
    pub entropy: [u8; 64],
    /// Current time, microseconds since 1970. A restored guest's clock is that of its zygote.
    pub time_unix_us: u64,
    /// Host name inside the container.
    pub hostname: String,
    /// Volume uuid in the superblock of the pack that holds the image: how the guest tells the
    /// pack's device from others.
    pub pack_uuid: [u8; 16],
    /// Directory in the pack that is the image's root; empty when the pack holds one image.
    pub pack_prefix: String,
}

impl Message for GuestConfig {
    const MAGIC: [u8; 4] = *b"PEGC";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = 2 * CONFIG_BYTES_MAX;
}
