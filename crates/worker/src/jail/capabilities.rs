//! What root's power comes in, given up. Nothing here allocates: a child does it before its exec.

use std::io;

pub(super) use rustix::thread::CapabilitySet;
use rustix::thread::{
    CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};

/// Takes all capabilities but these from what the calling thread can ever have.
pub(super) fn bound(kept: CapabilitySet) {
    for one in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        if !kept.contains(one) {
            // Beyond the kernel's last capability this fails, which is as good as dropped.
            let _ = remove_capability_from_bounding_set(one);
        }
    }
}

/// Drops all capabilities of the calling thread but these, as far as it has them; none of them is
/// inheritable, or ambient.
pub(super) fn keep(kept: CapabilitySet) -> io::Result<()> {
    let permitted = capabilities(None)?.permitted & kept;
    let inheritable = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable })?)
}
