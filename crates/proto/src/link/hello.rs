//! Hello and welcome (`protocol.md 6.1`).

use bincode::{Decode, Encode};

use crate::codec::Message;
use crate::limits::{CONFIG_BYTES_MAX, LABEL_BYTES_MAX, OFFERED_IMAGES_MAX};
use crate::link::SessionId;
use crate::{Arch, Digest};

/// Who a worker is and what it offers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Its name, as shown in results.
    pub worker: String,
    /// Architecture of its guests.
    pub arch: Arch,
    /// CPU model of the host.
    pub cpu: String,
    /// VMM and accelerator.
    pub vmm: String,
    /// Kernel release of its guests.
    pub kernel: String,
    /// VMs it may run at a time; it never holds more ready requests than this.
    pub slots: u32,
    /// `name=value` labels, for routing.
    pub labels: Vec<String>,
    /// Images it can run.
    pub images: Vec<Digest>,
    /// The deployment it works for, empty if there is but one. Another than the LB's is refused:
    /// where two run side by side, a worker never serves the wrong one.
    pub deployment: String,
}

impl Hello {
    /// Whether every text and list is within its bound.
    pub fn is_bounded(&self) -> bool {
        let texts = [&self.worker, &self.cpu, &self.vmm, &self.kernel, &self.deployment];
        !self.worker.is_empty()
            && texts.into_iter().all(|text| text.len() <= LABEL_BYTES_MAX)
            && self.labels.len() <= 64
            && self.labels.iter().all(|label| label.len() <= LABEL_BYTES_MAX)
            && self.images.len() <= OFFERED_IMAGES_MAX
            && self.slots <= 4096
    }
}

impl Message for Hello {
    const MAGIC: [u8; 4] = *b"PELH";
    const VERSION: u16 = 2;
    const BYTES_MAX: usize = CONFIG_BYTES_MAX;
}

/// The LB's terms.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// To be shown with every later request on this connection.
    pub session: SessionId,
    /// A ready request is answered within this time, in milliseconds; a worker that waits
    /// noticeably longer may take the connection for dead.
    pub poll_ms: u64,
    /// The LB's deployment. A worker of another one leaves: its LB may be older than the check.
    pub deployment: String,
}

impl Message for Welcome {
    const MAGIC: [u8; 4] = *b"PELW";
    const VERSION: u16 = 2;
    const BYTES_MAX: usize = 1024;
}
