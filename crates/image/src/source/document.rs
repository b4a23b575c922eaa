//! Manifests and indexes: bytes to checked types (OCI image-spec, manifest.md and image-index.md,
//! and Docker's forms of both).
//!
//! One struct has the fields of both kinds, so that a document that is both is seen and refused:
//! two programs that each pick a kind by what they look for would run different images under one
//! digest (CVE-2021-41190). What a document says it is, what the descriptor or the registry said,
//! and what is in it must all agree.

use std::fmt;

use pe_proto::Digest;
use serde::{Deserialize, Deserializer};

use crate::limits::{
    CONFIG_BYTES_MAX, IMAGE_BYTES_MAX, INDEX_ENTRIES_MAX, LAYER_BYTES_MAX, LAYERS_MAX,
    MANIFEST_BYTES_MAX,
};
use crate::oci::{Descriptor, Packing};

use super::counted::List;
use super::{SourceError, verify};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What a registry is asked for.
pub(super) const ACCEPTED: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX];

/// Which document of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `index.json` of a layout.
    LayoutIndex,
    /// `manifest.json` of what `docker save` writes.
    DockerIndex,
    /// A manifest or an index.
    Manifest,
    /// An image's config.
    Config,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LayoutIndex => "index.json",
            Self::DockerIndex => "manifest.json",
            Self::Manifest => "the manifest",
            Self::Config => "the config",
        })
    }
}

/// What is wrong with a document.
#[derive(Debug, thiserror::Error)]
pub enum BadDocument {
    /// Not JSON, or not of this shape.
    #[error("cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Fields of both kinds.
    #[error("is both an index and an image, which programs would read as different images")]
    Both,
    /// Fields of none.
    #[error("is neither an index nor an image")]
    Neither,
    /// Schema 1 of Docker, or of a time to come.
    #[error(
        "is of schema version {0}, and only 2 is read; push the image again with a tool of today"
    )]
    Schema(u64),
    /// A media type that is not one of ours, or not of this kind.
    #[error("has the media type `{got}`, and must have {wanted}")]
    MediaType {
        /// Printable, and cut.
        got: String,
        /// In words.
        wanted: &'static str,
    },
    /// It says that it is another thing than who sent us to it said.
    #[error("says it is `{says}`, and {who} says `{other}`")]
    Disagree {
        /// What it says.
        says: String,
        /// The registry or the descriptor.
        who: &'static str,
        /// What that says.
        other: String,
    },
    /// Not the bytes that were named.
    #[error("{0}")]
    Bytes(#[from] verify::Mismatch),
    /// A digest that is not one of SHA-256.
    #[error("names a blob by `{0}`, and only `sha256:` with 64 small hexadecimal digits is read")]
    Digest(String),
    /// A layer that is to be had elsewhere.
    #[error(
        "has a layer (number {0}) that is to be loaded from other places: those are never asked"
    )]
    Foreign(usize),
    /// What only an image without a file system lacks.
    #[error("{0}")]
    Content(#[from] super::config::BadConfig),
}

/// A manifest or an index.
#[derive(Debug)]
pub(super) enum Document {
    Index(Vec<Entry>),
    Image(Manifest),
}

/// An entry of an index.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<Annotations>,
}

/// The platform of an entry.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
    #[serde(default)]
    pub(super) variant: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    ref_name: Option<String>,
}

/// A manifest whose descriptors are checked.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) config: Named,
    pub(super) layers: Vec<Descriptor>,
}

/// A document that another one names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) media_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    // `Some` if the field is there at all, be it `null`.
    #[serde(default, deserialize_with = "present")]
    manifests: Option<List<Entry, INDEX_ENTRIES_MAX>>,
    #[serde(default, deserialize_with = "present")]
    config: Option<Option<Blob>>,
    #[serde(default, deserialize_with = "present")]
    layers: Option<List<Blob, LAYERS_MAX>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Option<Vec<serde::de::IgnoredAny>>,
}

impl Document {
    /// Reads a document. `told` is what its sender says it is, and who that is.
    pub(super) fn read(
        bytes: &[u8],
        told: Option<(&'static str, &str)>,
    ) -> Result<Self, SourceError> {
        read(bytes, told).map_err(|why| why.of(Part::Manifest))
    }

    /// Reads the `index.json` of a layout.
    pub(super) fn read_layout_index(bytes: &[u8]) -> Result<Vec<Entry>, SourceError> {
        match read(bytes, Some(("the layout", OCI_INDEX))) {
            Ok(Self::Index(entries)) => Ok(entries),
            Ok(Self::Image(_)) => Err(BadDocument::MediaType {
                got: OCI_MANIFEST.to_owned(),
                wanted: "that of an index",
            }
            .of(Part::LayoutIndex)),
            Err(why) => Err(why.of(Part::LayoutIndex)),
        }
    }
}

impl Entry {
    /// What it is called in a layout.
    pub(super) fn name(&self) -> Option<&str> {
        self.annotations.as_ref()?.ref_name.as_deref()
    }

    /// The document it names, with its digest and length checked for what they can be.
    pub(super) fn named(&self) -> Result<Named, SourceError> {
        if !ACCEPTED.contains(&self.media_type.as_str()) {
            let why = BadDocument::MediaType {
                got: printable(&self.media_type),
                wanted: "in its index that of a manifest or an index",
            };
            return Err(why.of(Part::Manifest));
        }
        let digest = digest(&self.digest).map_err(|why| why.of(Part::Manifest))?;
        at_most("bytes of a manifest", self.size, MANIFEST_BYTES_MAX)?;
        Ok(Named { digest, bytes: self.size, media_type: Some(self.media_type.clone()) })
    }
}

impl BadDocument {
    pub(super) fn of(self, part: Part) -> SourceError {
        SourceError::Document { part, why: Box::new(self) }
    }
}

/// `Limit` if something is larger than it may be.
pub(super) fn at_most(what: &'static str, got: u64, limit: u64) -> Result<(), SourceError> {
    if got <= limit { Ok(()) } else { Err(SourceError::Limit { what, got, limit }) }
}

/// A failure while a document is read: its own fault, or a limit.
enum Failed {
    Document(BadDocument),
    Source(SourceError),
}

impl Failed {
    fn of(self, part: Part) -> SourceError {
        match self {
            Self::Document(why) => why.of(part),
            Self::Source(why) => why,
        }
    }
}

impl<E: Into<BadDocument>> From<E> for Failed {
    fn from(why: E) -> Self {
        Self::Document(why.into())
    }
}

fn read(bytes: &[u8], told: Option<(&'static str, &str)>) -> Result<Document, Failed> {
    let raw: Raw = serde_json::from_slice(bytes)?;
    if raw.schema_version != 2 {
        return Err(BadDocument::Schema(raw.schema_version).into());
    }
    let is_image = raw.config.is_some() || raw.layers.is_some();
    match (raw.manifests, is_image) {
        (Some(_), true) => Err(BadDocument::Both.into()),
        (None, false) => Err(BadDocument::Neither.into()),
        (Some(manifests), false) => {
            agree(raw.media_type.as_deref(), told, &[OCI_INDEX, DOCKER_INDEX], "that of an index")?;
            let entries = manifests.all("entries of an index").map_err(Failed::Source)?;
            Ok(Document::Index(entries))
        }
        (None, true) => {
            let kinds = [OCI_MANIFEST, DOCKER_MANIFEST];
            agree(raw.media_type.as_deref(), told, &kinds, "that of an image's manifest")?;
            let layers = raw.layers.unwrap_or_default().all("layers").map_err(Failed::Source)?;
            let config = raw.config.flatten().ok_or(BadDocument::Neither)?;
            Ok(Document::Image(manifest(config, layers)?))
        }
    }
}

/// All who say what a document is must name one of `kinds`, and the same. OCI documents need not
/// say it themselves.
fn agree(
    says: Option<&str>,
    told: Option<(&'static str, &str)>,
    kinds: &[&str],
    wanted: &'static str,
) -> Result<(), BadDocument> {
    for said in says.into_iter().chain(told.map(|(_, other)| other)) {
        if !kinds.contains(&said) {
            return Err(BadDocument::MediaType { got: printable(said), wanted });
        }
    }
    match (says, told) {
        (Some(says), Some((who, other))) if says != other => {
            Err(BadDocument::Disagree { says: printable(says), who, other: printable(other) })
        }
        _ => Ok(()),
    }
}

fn manifest(config: Blob, layers: Vec<Blob>) -> Result<Manifest, Failed> {
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        // What is not an image is stored in registries in the form of one: charts, signatures.
        let got = printable(&config.media_type);
        let wanted = "as its config that of an image; this is something else in the form of one";
        return Err(BadDocument::MediaType { got, wanted }.into());
    }
    at_most("bytes of an image's config", config.size, CONFIG_BYTES_MAX).map_err(Failed::Source)?;
    let config = Named {
        digest: digest(&config.digest)?,
        bytes: config.size,
        media_type: Some(config.media_type),
    };
    if layers.is_empty() {
        return Err(super::config::BadConfig::Layerless.into());
    }
    let layers = layers.iter().enumerate().map(|(at, blob)| layer(at + 1, blob));
    let layers = layers.collect::<Result<Vec<Descriptor>, Failed>>()?;
    check_sizes(&layers).map_err(Failed::Source)?;
    Ok(Manifest { config, layers })
}

/// Layers by themselves, and all of them together.
pub(super) fn check_sizes(layers: &[Descriptor]) -> Result<(), SourceError> {
    let mut all = 0_u64;
    for layer in layers {
        at_most("bytes of a layer", layer.bytes, LAYER_BYTES_MAX)?;
        all = all.saturating_add(layer.bytes);
    }
    at_most("bytes of an image's layers", all, IMAGE_BYTES_MAX)
}

fn layer(number: usize, blob: &Blob) -> Result<Descriptor, Failed> {
    let packing = match blob.media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Packing::Plain,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Packing::Gzip,
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Packing::Zstd,
        foreign if foreign.contains("foreign") || foreign.contains("nondistributable") => {
            return Err(BadDocument::Foreign(number).into());
        }
        other => {
            let wanted = "as its layers tars, plain or packed by gzip or zstd";
            return Err(BadDocument::MediaType { got: printable(other), wanted }.into());
        }
    };
    if blob.urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
        return Err(BadDocument::Foreign(number).into());
    }
    Ok(Descriptor { digest: digest(&blob.digest)?, bytes: blob.size, packing })
}

/// A digest of another document's: always with its algorithm before it.
pub(super) fn digest(text: &str) -> Result<Digest, BadDocument> {
    let hex = text.strip_prefix("sha256:").filter(|hex| !hex.contains(':'));
    let read = hex.and_then(|hex| hex.parse().ok());
    read.ok_or_else(|| BadDocument::Digest(printable(text)))
}

/// A text of strangers as it may stand in an error: short, and no terminal obeys it.
pub(super) fn printable(text: &str) -> String {
    const SHOWN_MAX: usize = 120;
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_default).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
