//! The catalogue: which images there are, under which names (`protocol.md 7`).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::playground::Playground;
use crate::{Arch, Digest};

/// The only version of the catalogue's JSON.
pub const VERSION: u32 = 2;

/// The catalogue file, and the answer to `GET /api/v1/images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// [`VERSION`].
    #[serde(deserialize_with = "known_version")]
    pub version: u32,
    /// All images, in the order they are shown.
    pub images: Vec<Image>,
}

/// One image under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Name, as in `gcc:12` before the colon.
    pub name: String,
    /// Tags; the first is meant when none is named.
    pub tags: Vec<String>,
    /// For people.
    pub title: String,
    /// For people, a sentence.
    pub description: String,
    /// One entry per architecture it exists for.
    pub platforms: Vec<Platform>,
    /// Its form and examples, if its author gave some.
    pub playground: Option<Playground>,
}

/// An image on one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Which.
    pub arch: Arch,
    /// The image's digest: what jobs and workers call it by.
    pub digest: Digest,
    /// The erofs file that holds it.
    pub pack: Pack,
    /// Defaults for jobs in it.
    pub config: ImageConfig,
}

/// The place of an image in an erofs file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Digest of the file.
    pub digest: Digest,
    /// Length of the file.
    pub bytes: u64,
    /// Directory in it that is the image's root, as a path of an archive; empty for its own root.
    pub prefix: String,
    /// The pack that this one continues, if any: who has that one needs only the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<Basis>,
}

impl Pack {
    /// What it has in common with another, if what is said of that can be: it is not the pack
    /// itself, and the bytes are some of its own. Anything else is passed over, because nothing is
    /// lost by it.
    pub fn basis(&self) -> Option<Basis> {
        let can_be = |it: &Basis| it.pack != self.digest && it.from < it.to && it.to <= self.bytes;
        self.based_on.filter(can_be)
    }
}

/// What a pack has in common with one that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// Digest of the other file.
    pub pack: Digest,
    /// The first byte that both have at the same place.
    pub from: u64,
    /// The first after it that they do not share, or the end of the other.
    pub to: u64,
}

/// The part of an OCI image config that decides how a program starts
/// (OCI image-spec, config.md, `config`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// What `args` of a job are appended to.
    pub entrypoint: Vec<String>,
    /// Arguments when the job names none.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; `/input` when empty.
    pub workdir: String,
    /// User, as in [`crate::JobSpec`].
    pub user: String,
}

impl Catalogue {
    /// Finds an image by `name`, `name:tag`, `sha256:<digest>` or `name@sha256:<digest>` on an
    /// architecture (any, when none is asked for: then the first platform listed).
    pub fn find(&self, reference: &str, arch: Option<Arch>) -> Option<(&Image, &Platform)> {
        let fits = |platform: &&Platform| arch.is_none_or(|arch| platform.arch == arch);
        let digest = reference.rsplit('@').next().unwrap_or(reference);
        if let Ok(digest) = digest.parse::<Digest>() {
            let name = reference.split_once('@').map(|(name, _)| name);
            return self
                .images
                .iter()
                .filter(|image| name.is_none_or(|name| image.name == name))
                .flat_map(|image| image.platforms.iter().map(move |platform| (image, platform)))
                .find(|(_, platform)| platform.digest == digest && fits(platform));
        }
        let (name, tag) = match reference.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (reference, None),
        };
        let tagged =
            |image: &&Image| tag.is_none_or(|tag| image.tags.iter().any(|each| each == tag));
        let image = self.images.iter().filter(|image| image.name == name).find(tagged)?;
        let platform = image.platforms.iter().find(fits)?;
        Some((image, platform))
    }
}

fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        other => {
            Err(D::Error::custom(format_args!("expected catalogue version {VERSION}, got {other}")))
        }
    }
}
