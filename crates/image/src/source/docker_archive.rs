//! What `docker save` writes: a tar with `manifest.json`, a config, and layers that are mostly
//! plain tars.
//!
//! Such an image has no manifest, so it is called by the digest of the one that OCI would write:
//! the config, and the layers as they are. Layers are not named by digests either: a plain one
//! must be what the config's `diff_ids` say; a packed one is hashed before it is named, and
//! checked again when it is read.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pe_proto::{Arch, Digest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::limits::{
    CONFIG_BYTES_MAX, INDEX_ENTRIES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX, READ_PIECE_BYTES,
};
use crate::oci::{Descriptor, OciImage, Packing, Source};

use super::archive::{Place, Tar};
use super::config::BadConfig;
use super::counted::List;
use super::document::{BadDocument, Part, at_most, check_sizes, printable};
use super::layout::Files as _;
use super::verify::Verified;
use super::{SourceError, config, verify};

/// One image of an archive.
#[derive(Debug)]
pub(super) struct DockerArchive {
    tar: Tar,
    name: Option<String>,
    layers: Mutex<BTreeMap<Digest, Place>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: List<String, INDEX_ENTRIES_MAX>,
    layers: List<String, LAYERS_MAX>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u8,
    media_type: &'static str,
    config: WrittenBlob,
    layers: Vec<WrittenBlob>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenBlob {
    media_type: &'static str,
    digest: Digest,
    size: u64,
}

impl DockerArchive {
    pub(super) fn new(tar: Tar, name: Option<&str>) -> Self {
        Self { tar, name: name.map(str::to_owned), layers: Mutex::default() }
    }

    /// The config and the layers of the image that is meant.
    fn listed(&self) -> Result<(String, Vec<String>), SourceError> {
        let bytes =
            self.tar.small("manifest.json", "bytes of manifest.json", MANIFEST_BYTES_MAX)?;
        let all: List<Listed, INDEX_ENTRIES_MAX> = serde_json::from_slice(&bytes)
            .map_err(|why| BadDocument::from(why).of(Part::DockerIndex))?;
        let mut there = Vec::new();
        let mut found = Vec::new();
        for listed in all.all("images of an archive")? {
            let tags = listed.repo_tags.all("names of an image")?;
            let is_meant = self.name.as_ref().is_none_or(|name| tags.contains(name));
            there.extend(tags.iter().map(|tag| printable(tag)).take(4));
            if is_meant {
                found.push((listed.config, listed.layers));
            }
        }
        match (found.pop(), found.is_empty()) {
            (Some((config, layers)), true) => Ok((config, layers.all("layers")?)),
            _ => Err(SourceError::Which {
                path: PathBuf::from(self.tar.root()),
                wanted: self.name.as_deref().map(printable),
                there: there.into_iter().take(16).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    fn layer(&self, place: Place, diff_id: Digest) -> Result<Descriptor, SourceError> {
        let mut magic = [0; 4];
        let cannot = |error| SourceError::File { path: self.tar.root().to_owned(), error };
        let count = read_up_to(&mut self.tar.read(place), &mut magic).map_err(cannot)?;
        let packing = match magic.get(..count) {
            Some([0x1f, 0x8b, ..]) => Packing::Gzip,
            Some([0x28, 0xb5, 0x2f, 0xfd]) => Packing::Zstd,
            _ => Packing::Plain,
        };
        let digest = match packing {
            Packing::Plain => diff_id,
            Packing::Gzip | Packing::Zstd => hash(&mut self.tar.read(place)).map_err(cannot)?,
        };
        Ok(Descriptor { digest, bytes: place.bytes, packing })
    }
}

impl Source for DockerArchive {
    fn image(&self, arch: Arch) -> Result<OciImage, SourceError> {
        let (config_path, layer_paths) = self.listed()?;
        let bytes = self.tar.small(&config_path, "bytes of an image's config", CONFIG_BYTES_MAX)?;
        let digest = Digest::of(&bytes);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(named) = digest_in(&config_path) {
            verify::check(&bytes, named, length)
                .map_err(|why| BadDocument::from(why).of(Part::Config))?;
        }
        if layer_paths.is_empty() {
            return Err(BadDocument::from(BadConfig::Layerless).of(Part::DockerIndex));
        }
        let config = config::read(&bytes, arch, layer_paths.len())?;
        let mut layers = Vec::new();
        let mut places = BTreeMap::new();
        for (path, diff_id) in layer_paths.iter().zip(&config.diff_ids) {
            let place = self.tar.place(path)?;
            at_most("bytes of a layer", place.bytes, crate::limits::LAYER_BYTES_MAX)?;
            let layer = self.layer(place, *diff_id)?;
            places.insert(layer.digest, place);
            layers.push(layer);
        }
        check_sizes(&layers)?;
        *self.layers.lock().unwrap_or_else(PoisonError::into_inner) = places;
        Ok(OciImage {
            manifest: manifest_digest(digest, length, &layers)?,
            arch,
            config: config.run,
            labels: config.labels,
            diff_ids: config.diff_ids,
            layers,
        })
    }

    fn open(&self, layer: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let places = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.get(&layer.digest).copied();
        let place = match place {
            Some(place) => place,
            None => self.tar.place(&layer.digest.to_string())?,
        };
        Ok(Box::new(Verified::new(self.tar.read(place), layer.digest, layer.bytes)))
    }
}

/// The digest in a config's name: `<hex>.json`, or a path that ends in one.
fn digest_in(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".json").unwrap_or(name).parse().ok()
}

/// The digest of the manifest that this image would have.
fn manifest_digest(
    config: Digest,
    bytes: u64,
    layers: &[Descriptor],
) -> Result<Digest, SourceError> {
    let written = Written {
        schema_version: 2,
        media_type: "application/vnd.oci.image.manifest.v1+json",
        config: WrittenBlob {
            media_type: "application/vnd.oci.image.config.v1+json",
            digest: config,
            size: bytes,
        },
        layers: layers
            .iter()
            .map(|layer| WrittenBlob {
                media_type: match layer.packing {
                    Packing::Plain => "application/vnd.oci.image.layer.v1.tar",
                    Packing::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
                    Packing::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
                },
                digest: layer.digest,
                size: layer.bytes,
            })
            .collect(),
    };
    let text = serde_json::to_vec(&written);
    let text = text.map_err(|why| BadDocument::from(why).of(Part::Manifest))?;
    Ok(Digest::of(&text))
}

fn hash(reader: &mut impl Read) -> io::Result<Digest> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0; READ_PIECE_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Digest(sha.finalize().into())),
            count => sha.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}
