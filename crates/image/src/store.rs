//! The directory that images are kept in.
//!
//! ```text
//!  catalogue.json         what load balancer and worker read; made of the entries
//!  NAME.json              an entry: one image under one name, and what it was made from
//!  packs/SHA256.erofs     written whole or not at all, never changed
//!  made/SHA256            a recipe of a pack -> its digest and length, what it continues
//!  indices/SHA256         what has to be known of a pack to append an image to it
//!  .lock, .work-*         one writer at a time, and what it works on
//! ```
//! Readers need no lock: files appear by a rename. A pack that no entry names is left alone until
//! somebody asks for it to be removed, because a worker may still serve it.

mod entries;
mod made;
mod work;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use pe_proto::Digest;

pub use entries::{Entry, Usage};
pub(crate) use made::Made;
pub(crate) use work::Work;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory of it.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of it is not what it should be.
    #[error("{} is not an entry of an image", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A process that looks after trees.
    #[error("a tree of files")]
    Tree(#[from] crate::confined::ConfinedError),
    /// No entry has this name.
    #[error("there is no image `{0}`")]
    Unknown(String),
    /// Two images under one name and tag, or none at all.
    #[error("not a name of an image: `{0}`")]
    Name(String),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, source }
}

/// The directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

/// The right to change it.
#[derive(Debug)]
pub struct Lock<'a> {
    store: &'a Store,
    _flock: Flock<fs::File>,
}

impl Store {
    /// Opens a store, making it if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        for part in ["packs", "made", "indices"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).map_err(at(&part))?;
        }
        // By its whole path: confined processes work in other directories.
        Ok(Self { dir: dir.canonicalize().map_err(at(dir))? })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a pack is, if it is there.
    pub fn pack(&self, digest: Digest) -> PathBuf {
        self.dir.join("packs").join(format!("{}.erofs", digest.hex()))
    }

    /// Where the index of a pack is, if it has one.
    fn index(&self, pack: Digest) -> PathBuf {
        self.dir.join("indices").join(pack.hex())
    }

    /// Waits until nobody else writes.
    ///
    /// # Errors
    /// There can be no lock.
    pub fn lock(&self) -> Result<Lock<'_>, StoreError> {
        let path = self.dir.join(".lock");
        let open = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(at(&path))?;
        let _flock = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| at(&path)(errno.into()))?;
        Ok(Lock { store: self, _flock })
    }
}

/// Writes a file so that a reader sees the old bytes or the new, never a part.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".tmp");
    let new = PathBuf::from(new);
    let write = || -> io::Result<()> {
        fs::write(&new, bytes)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(at(path))
}
