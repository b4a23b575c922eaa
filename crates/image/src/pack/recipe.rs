//! What a pack is made of, as a hash.

use pe_proto::Digest;

use super::Wanted;
use crate::confined::Owners;

/// Changes whenever the same images would give another pack: policies of flattening, the layout.
const FORM: &str = "pe-pack 2";

/// What a pack is made of.
#[derive(Debug)]
pub(super) struct Recipe {
    hash: Digest,
}

impl Recipe {
    pub(super) fn new(images: &[Wanted<'_>], owners: Owners) -> Self {
        let mut text = format!("{FORM}\n{}\n", owners.are_kept());
        for (prefix, image, _) in images {
            text.push_str(&format!("{} {prefix}\n", image.manifest));
        }
        Self { hash: Digest::of(text.as_bytes()) }
    }

    /// A name for it.
    pub(super) fn name(&self) -> String {
        self.hash.hex()
    }

    /// The volume's uuid.
    pub(super) fn uuid(&self) -> [u8; 16] {
        self.hash.0.first_chunk().copied().unwrap_or_default()
    }
}
