//! Why a layer is not taken. Travels from the confined process to the one that started it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::caps::Cap;

/// Why a layer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LayerError {
    /// A cap was reached: a bomb, or an image that is too large for this place.
    #[error("more than {limit} {cap}")]
    Cap {
        /// Which.
        cap: Cap,
        /// Its value.
        limit: u64,
    },
    /// The layer's bytes are not a tar, or one that says what cannot be.
    #[error("not a good tar: {0}")]
    Tar(Cow<'static, str>),
    /// It cannot be decompressed.
    #[error("cannot be decompressed: {0}")]
    Packing(String),
    /// The bytes are not those that the image's config names.
    #[error("its diff_id is not the one in the image's config")]
    DiffId,
    /// An entry cannot be where it says, such as below a file.
    #[error("{what}: `{path}`")]
    Entry {
        /// What is wrong.
        what: String,
        /// With whatever is not UTF-8 replaced.
        path: String,
    },
    /// The disk, or something else of this host.
    #[error("while unpacking: {0}")]
    Host(String),
}

impl LayerError {
    pub(super) fn tar(what: &'static str) -> Self {
        Self::Tar(Cow::Borrowed(what))
    }

    pub(super) fn entry(what: impl Into<String>, path: &[u8]) -> Self {
        Self::Entry { what: what.into(), path: String::from_utf8_lossy(path).into_owned() }
    }
}

impl From<nix::Error> for LayerError {
    fn from(errno: nix::Error) -> Self {
        Self::Host(errno.desc().to_owned())
    }
}
