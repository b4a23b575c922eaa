//! The directory that a worker keeps fetched packs in: whole ones under their final names, the
//! beginnings of others, and the catalogue. One process has it at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use pe_proto::Digest;
use pe_proto::catalogue::Basis;
use sha2::{Digest as _, Sha256};

use crate::limits::VERIFY_PIECE_BYTES;

/// See the module.
#[derive(Debug)]
pub struct Cellar {
    dir: PathBuf,
    _lock: Flock<File>,
}

/// A file of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// All of it, as its name says.
    Whole(Digest, u64),
    /// Its beginning.
    Part(Digest, u64),
}

impl Cellar {
    /// Makes the directory if it is not there, for all users to read: VMs have their own.
    ///
    /// # Errors
    /// It cannot be written to, or another worker has it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o755).create(dir.join("packs"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(dir.join("lock"))?;
        let taken = |(_, errno): (File, Errno)| {
            if errno == Errno::EAGAIN {
                io::Error::other("another worker uses it")
            } else {
                errno.into()
            }
        };
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(taken)?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is there. Anything else in the folder is let alone.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn list(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.dir.join("packs"))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((stem, kind)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
            let Some(pack) = stem.parse().ok().filter(|_| stem.len() == 64) else { continue };
            let about = entry.metadata()?;
            match kind {
                WHOLE if about.is_file() => found.push(Found::Whole(pack, about.len())),
                PART if about.is_file() => found.push(Found::Part(pack, about.len())),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The beginning of a pack, to be gone on with; empty if there was none.
    pub(super) fn part(&self, pack: Digest) -> io::Result<Part> {
        let path = self.path(pack, PART);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)?;
        Ok(Part { pack, file, path, whole: self.path(pack, WHOLE) })
    }

    /// The file of a whole pack that another has bytes in common with, if it is here and has them.
    /// Who has it open has it to the end, even if it is removed meanwhile.
    pub(super) fn other(&self, basis: Basis) -> Option<File> {
        let path = self.path(basis.pack, WHOLE);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let about = file.metadata().ok()?;
        (about.is_file() && about.len() >= basis.to).then_some(file)
    }

    /// Makes a whole pack one that has yet to prove what it is.
    pub(super) fn reopen(&self, pack: Digest) -> io::Result<()> {
        let whole = self.path(pack, WHOLE);
        fs::set_permissions(&whole, Permissions::from_mode(0o600))?;
        fs::rename(whole, self.path(pack, PART))
    }

    /// Removes a pack, and its beginning.
    pub fn remove(&self, pack: Digest) -> io::Result<()> {
        for kind in [WHOLE, PART] {
            match fs::remove_file(self.path(pack, kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Keeps a catalogue for the next start.
    pub fn keep_catalogue(&self, json: &[u8]) -> io::Result<()> {
        let unfinished = self.dir.join(".catalogue.json");
        let mut file = File::create(&unfinished)?;
        file.write_all(json)?;
        file.sync_all()?;
        fs::rename(unfinished, self.dir.join(CATALOGUE))
    }

    /// The catalogue that was kept.
    pub fn catalogue(&self) -> PathBuf {
        self.dir.join(CATALOGUE)
    }

    fn path(&self, pack: Digest, kind: &str) -> PathBuf {
        self.dir.join("packs").join(format!("{}.{kind}", pack.hex()))
    }
}

const WHOLE: &str = "erofs";
const PART: &str = "part";
const CATALOGUE: &str = "catalogue.json";

/// A pack that is not whole yet.
#[derive(Debug)]
pub(super) struct Part {
    pack: Digest,
    file: File,
    path: PathBuf,
    whole: PathBuf,
}

impl Part {
    /// How much is there.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Cuts it.
    pub(super) fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    /// Writes a piece to its end.
    pub(super) fn write(&self, at: u64, piece: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, piece, at)
    }

    /// Copies a piece of another file, from the same place, to its end; says how much there was.
    /// The kernel does it, and lets both share the disk where the file system can.
    pub(super) fn copy(&self, other: &File, at: u64, bytes: u64) -> io::Result<u64> {
        let (mut from, mut to) = (other, &self.file);
        from.seek(SeekFrom::Start(at))?;
        to.seek(SeekFrom::Start(at))?;
        io::copy(&mut from.take(bytes), &mut to)
    }

    /// Reads all of it, and gives it its final name if it is what it should be. If it is not,
    /// nothing is left of it.
    pub(super) fn finish(mut self) -> io::Result<bool> {
        self.file.sync_data()?;
        self.file.rewind()?;
        let mut hasher = Sha256::new();
        let mut piece = vec![0; VERIFY_PIECE_BYTES];
        loop {
            let read = self.file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            hasher.update(piece.get(..read).unwrap_or_default());
        }
        if self.pack != Digest(hasher.finalize().into()) {
            fs::remove_file(&self.path)?;
            return Ok(false);
        }
        self.file.set_permissions(Permissions::from_mode(0o444))?;
        fs::rename(&self.path, &self.whole)?;
        if let Some(folder) = self.whole.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(true)
    }
}
