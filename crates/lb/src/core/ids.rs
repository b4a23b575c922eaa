//! The names by which the core knows things.

use pe_proto::{Arch, Digest};

/// One VM's worth of capacity, offered once: a parked ready request and, after it was leased, the
/// lease's stream. Never used again, so an id says which offer is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u64);

/// A job, from its submission until its answer is over. Later jobs have larger ids: the id is
/// also the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// A worker's visit, from hello until its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

/// Whom the queue is fair to; the shell decides what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(pub [u8; 16]);

/// In whose name spare runs are made; it is no address.
pub const NOBODY: ClientKey = ClientKey(*b"nobody: to spare");

/// What a slot must offer to run a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fit {
    /// Architecture of the guest.
    pub arch: Arch,
    /// Digest of the image.
    pub image: Digest,
}

/// Whose a worker is: a digest of the owner's name, so that it is small and has no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerKey(pub [u8; 16]);
