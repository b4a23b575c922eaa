//! What workers may fetch: the catalogue, and the packs that it names (`protocol.md 6.6`).

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pe_proto::catalogue::Catalogue;
use pe_proto::{Arch, Digest};

/// See the module. Made anew with each catalogue.
#[derive(Debug)]
pub struct Stock {
    /// The catalogue as it is sent.
    pub json: Bytes,
    /// Of its bytes.
    pub digest: Digest,
    dir: PathBuf,
    packs: HashMap<Digest, u64>,
    images: BTreeSet<(Arch, Digest)>,
}

impl Stock {
    /// Of a catalogue whose packs are in `packs` below a directory.
    ///
    /// # Errors
    /// It cannot be written as JSON: a defect.
    pub fn new(catalogue: &Catalogue, dir: &Path) -> Result<Self, serde_json::Error> {
        let json: Bytes = serde_json::to_vec(catalogue)?.into();
        let platforms = || catalogue.images.iter().flat_map(|image| &image.platforms);
        Ok(Self {
            digest: Digest::of(&json),
            json,
            dir: dir.to_owned(),
            packs: platforms().map(|it| (it.pack.digest, it.pack.bytes)).collect(),
            images: platforms().map(|it| (it.arch, it.digest)).collect(),
        })
    }

    /// Whether there is such an image.
    pub fn has(&self, arch: Arch, image: Digest) -> bool {
        self.images.contains(&(arch, image))
    }

    /// Length of a pack, and where it should be, if the catalogue names it.
    pub fn pack(&self, pack: Digest) -> Option<(u64, PathBuf)> {
        let bytes = *self.packs.get(&pack)?;
        Some((bytes, self.dir.join("packs").join(format!("{}.erofs", pack.hex()))))
    }
}

/// Opens a pack. Its name has digits only, so it is in its directory; a link there is not followed.
///
/// # Errors
/// It is not there, or not a file of that length.
pub(super) fn open(path: &Path, bytes: u64) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if about.is_file() && about.len() == bytes {
        Ok(file)
    } else {
        Err(io::Error::other("not a file of the length that the catalogue says"))
    }
}
