//! What is known of an image before its layers are read, and the border to where it comes from.

use std::collections::BTreeMap;
use std::io::Read;

use pe_proto::catalogue::ImageConfig;
use pe_proto::{Arch, Digest};

use crate::source::SourceError;

/// How a layer's tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// `tar+gzip`.
    Gzip,
    /// `tar+zstd`.
    Zstd,
}

/// A layer as it is stored: its digest and length are those of the packed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Of the bytes as they are stored.
    pub digest: Digest,
    /// Their length.
    pub bytes: u64,
    /// How they are packed.
    pub packing: Packing,
}

/// An image on one architecture, as its manifest and config tell. Both are checked: they are
/// within the limits, of the kinds they say they are, and have the digests they are named by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciImage {
    /// Digest of the manifest: what the image is called by.
    pub manifest: Digest,
    /// What it runs on.
    pub arch: Arch,
    /// How a program of it starts.
    pub config: ImageConfig,
    /// The config's labels.
    pub labels: BTreeMap<String, String>,
    /// Digests of the layers' tars, unpacked, the lowest first: as many as there are layers.
    pub diff_ids: Vec<Digest>,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// Where an image comes from.
pub trait Source: Sync {
    /// The image for an architecture.
    fn image(&self, arch: Arch) -> Result<OciImage, SourceError>;

    /// Bytes of a layer as they are stored. The reader gives no more than the layer's length;
    /// reading to the end checks length and digest, and fails with
    /// [`std::io::ErrorKind::InvalidData`] if they differ.
    fn open(&self, layer: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError>;
}
