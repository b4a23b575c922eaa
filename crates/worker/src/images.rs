//! The images a worker can run: the catalogue, and each pack opened read-only once.
//!
//! Owns the packs' descriptors. It never writes to a pack, never looks into one beyond its
//! superblock. An image whose pack is missing or
//! wrong is left out, with a reason in the log; the others can still be run.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc;
use pe_proto::catalogue::{self, Catalogue};
use pe_proto::limits::{IO_FILE_BYTES, PMEM_ALIGN};
use pe_proto::{Arch, Digest, path};
use sha2::{Digest as _, Sha256};

use crate::limits::{CATALOGUE_BYTES_MAX, VERIFY_PIECE_BYTES};

/// Where the superblock of an erofs file is, its first field, and the volume's uuid in it.
const SUPERBLOCK: u64 = 1024;
const EROFS_MAGIC: [u8; 4] = [0xe2, 0xe1, 0xf5, 0xe0];
const UUID: u64 = SUPERBLOCK + 48;

/// An erofs file, open for reading.
#[derive(Debug)]
pub struct Pack {
    digest: Digest,
    bytes: u64,
    uuid: [u8; 16],
    path: PathBuf,
    file: File,
    /// Shared with whoever uses it.
    users: Arc<()>,
}

/// Keeps a pack on the disk as long as it lives.
#[derive(Debug)]
pub struct InUse(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Pack {
    /// Digest of the file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// It is being used until what this returns is dropped.
    pub fn hold(&self) -> InUse {
        InUse(Arc::clone(&self.users))
    }

    /// Whether anybody uses it.
    pub fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.users) > 1
    }

    /// How the guest tells its device from others.
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// Where it is, for a VMM that can be told of new files by path only.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For the VMM.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Reads all of it. A pack that was damaged or replaced is not what its name says. Between
    /// pieces it rests as long as a piece takes, so that half a core is what it costs; `false` from
    /// `go_on` ends it early.
    ///
    /// # Errors
    /// It cannot be read, or was not read to its end.
    pub fn verify(&self, go_on: impl Fn(Duration) -> bool) -> std::io::Result<bool> {
        let mut hasher = Sha256::new();
        let mut piece = vec![0; VERIFY_PIECE_BYTES];
        let mut at = 0;
        while at < self.bytes {
            let began = Instant::now();
            let left = usize::try_from(self.bytes - at).unwrap_or(usize::MAX);
            let len = left.min(piece.len());
            let part = piece.get_mut(..len).unwrap_or_default();
            self.file.read_exact_at(part, at)?;
            hasher.update(part);
            at += u64::try_from(len).unwrap_or(u64::MAX);
            if !go_on(began.elapsed()) {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
        }
        Ok(self.digest == Digest(hasher.finalize().into()))
    }
}

/// Why there are no images.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The catalogue cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not a catalogue.
    #[error("{} is not a catalogue", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// Why one pack cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadPack {
    #[error("cannot open it: {0}")]
    Open(#[from] std::io::Error),
    #[error("not a regular file")]
    NotAFile,
    #[error("it has {found} bytes, the catalogue says {stated}")]
    Length { stated: u64, found: u64 },
    #[error("its length is not a multiple of 2 MiB, or is that of an io file")]
    Alignment,
    #[error("not an erofs file")]
    NotErofs,
    #[error("its volume uuid is also another pack's")]
    SameUuid,
    #[error("it can be read by its owner only, and VMs run as another user (chmod a+r)")]
    Unreadable,
}

/// Where an image is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The pack that holds it.
    pub pack: Arc<Pack>,
    /// The directory in it that is the image's root; empty for its own.
    pub prefix: String,
}

/// All images of one architecture.
#[derive(Debug, Default, Clone)]
pub struct Images {
    by_digest: BTreeMap<Digest, Place>,
    by_name: BTreeMap<String, Digest>,
    /// In the order of the catalogue, each once.
    packs: Vec<Arc<Pack>>,
}

impl Images {
    /// Reads `catalogue.json` in a directory and opens the packs below it.
    ///
    /// # Errors
    /// There is no catalogue, or it is none.
    pub fn open(dir: &Path, arch: Arch, for_all: bool) -> Result<Self, ImagesError> {
        let (images, left_out) = Self::survey(dir, arch, for_all)?;
        for (image, reason) in left_out {
            tracing::warn!(image, reason, "image left out");
        }
        Ok(images)
    }

    /// The same, with what was left out and why.
    pub(crate) fn survey(
        dir: &Path,
        arch: Arch,
        for_all: bool,
    ) -> Result<(Self, Vec<(String, String)>), ImagesError> {
        let path = dir.join("catalogue.json");
        let catalogue = read_catalogue(&path)?;
        let mut images = Self::default();
        let mut uuids = HashSet::new();
        let mut left_out = Vec::new();
        for image in &catalogue.images {
            for platform in image.platforms.iter().filter(|platform| platform.arch == arch) {
                let stated = &platform.pack;
                if let Some(bad) = bad_prefix(&stated.prefix) {
                    left_out.push((image.name.clone(), bad));
                    continue;
                }
                let known = images.packs.iter().find(|pack| pack.digest == stated.digest);
                let pack = match known.cloned() {
                    Some(pack) => pack,
                    None => match open_pack(dir, stated, for_all, &mut uuids) {
                        Ok(pack) => images.add(pack),
                        Err(bad) => {
                            let reason = format!("packs/{}.erofs: {bad}", stated.digest.hex());
                            left_out.push((image.name.clone(), reason));
                            continue;
                        }
                    },
                };
                let place = Place { pack, prefix: stated.prefix.clone() };
                images.by_digest.insert(platform.digest, place);
                images.by_name.entry(image.name.clone()).or_insert(platform.digest);
            }
        }
        Ok((images, left_out))
    }

    /// Where an image is.
    pub fn place(&self, image: Digest) -> Option<&Place> {
        self.by_digest.get(&image)
    }

    /// The pack that holds an image.
    pub fn pack(&self, image: Digest) -> Option<&Arc<Pack>> {
        self.place(image).map(|place| &place.pack)
    }

    /// The digest of an image by its name.
    pub fn named(&self, name: &str) -> Option<Digest> {
        self.by_name.get(name).copied()
    }

    /// All that can be run.
    pub fn digests(&self) -> Vec<Digest> {
        self.by_digest.keys().copied().collect()
    }

    /// All packs, in the order of the catalogue.
    pub fn packs(&self) -> &[Arc<Pack>] {
        &self.packs
    }

    /// The images that are in a pack.
    pub fn of_pack(&self, pack: Digest) -> Vec<Digest> {
        let inside = self.by_digest.iter().filter(|(_, it)| it.pack.digest == pack);
        inside.map(|(image, _)| *image).collect()
    }

    /// The same with one pack more, which is in a directory, and its images.
    pub(crate) fn with(
        &self,
        dir: &Path,
        stated: &catalogue::Pack,
        catalogue: &Catalogue,
        arch: Arch,
        for_all: bool,
    ) -> Result<Self, BadPack> {
        let mut uuids = self.packs.iter().map(|pack| pack.uuid).collect();
        let mut images = self.clone();
        images.add(open_pack(dir, stated, for_all, &mut uuids)?);
        Ok(images.relisted(catalogue, arch))
    }

    /// The same packs, under the names of another catalogue.
    pub(crate) fn relisted(&self, catalogue: &Catalogue, arch: Arch) -> Self {
        let mut images = Self { packs: self.packs.clone(), ..Self::default() };
        for image in &catalogue.images {
            for platform in image.platforms.iter().filter(|it| it.arch == arch) {
                let stated = &platform.pack;
                let pack = self.packs.iter().find(|pack| pack.digest == stated.digest);
                let pack = pack.filter(|_| bad_prefix(&stated.prefix).is_none());
                if let Some(pack) = pack.cloned() {
                    let place = Place { pack, prefix: stated.prefix.clone() };
                    images.by_digest.insert(platform.digest, place);
                    images.by_name.entry(image.name.clone()).or_insert(platform.digest);
                }
            }
        }
        images
    }

    /// The same with one pack less.
    pub(crate) fn without(&self, pack: Digest) -> Self {
        let mut images = self.clone();
        images.packs.retain(|it| it.digest != pack);
        images.by_digest.retain(|_, it| it.pack.digest != pack);
        images.by_name.retain(|_, image| images.by_digest.contains_key(image));
        images
    }

    fn add(&mut self, pack: Pack) -> Arc<Pack> {
        let pack = Arc::new(pack);
        self.packs.push(Arc::clone(&pack));
        pack
    }
}

pub(crate) fn read_catalogue(path: &Path) -> Result<Catalogue, ImagesError> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(CATALOGUE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let at = || path.to_owned();
    let bytes = read().map_err(|source| ImagesError::Read { path: at(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| ImagesError::Parse { path: at(), source })
}

/// A prefix is followed by the guest, which refuses a bad one for each job; here it is told once.
fn bad_prefix(prefix: &str) -> Option<String> {
    let bad = if prefix.is_empty() { None } else { path::check_str(prefix).err() };
    bad.map(|bad| format!("its place in the pack, `{}`: {bad}", prefix.escape_debug()))
}

fn open_pack(
    dir: &Path,
    stated: &catalogue::Pack,
    for_all: bool,
    uuids: &mut HashSet<[u8; 16]>,
) -> Result<Pack, BadPack> {
    let path = dir.join("packs").join(format!("{}.erofs", stated.digest.hex()));
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)?;
    let path = path.canonicalize()?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(BadPack::NotAFile);
    }
    if meta.len() != stated.bytes {
        return Err(BadPack::Length { stated: stated.bytes, found: meta.len() });
    }
    if stated.bytes % PMEM_ALIGN != 0 || stated.bytes == 0 || stated.bytes == IO_FILE_BYTES {
        return Err(BadPack::Alignment);
    }
    if for_all && meta.mode() & 0o004 == 0 {
        return Err(BadPack::Unreadable);
    }
    let mut magic = [0; 4];
    let mut uuid = [0; 16];
    file.read_exact_at(&mut magic, SUPERBLOCK)?;
    file.read_exact_at(&mut uuid, UUID)?;
    if magic != EROFS_MAGIC {
        return Err(BadPack::NotErofs);
    }
    if !uuids.insert(uuid) {
        return Err(BadPack::SameUuid);
    }
    let users = Arc::default();
    Ok(Pack { digest: stated.digest, bytes: stated.bytes, uuid, path, file, users })
}

#[cfg(test)]
pub(crate) mod tests;
