//! Working directories and trees. Files in them may belong to subordinate ids of an ordinary
//! user, so that only a process of that namespace can move or remove them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;
use pe_proto::Digest;

use super::{Lock, StoreError, at};
use crate::confined::{Order, Owners, run};
use crate::flatten::Caps;

/// A directory that only we can enter; gone when the work is done.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    lock: &'a Lock<'a>,
    path: PathBuf,
    pub(crate) owners: Owners,
    pub(crate) caps: Caps,
}

impl Work<'_> {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn name(&self) -> PathBuf {
        self.path.file_name().map(PathBuf::from).unwrap_or_default()
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        // What is left is swept by the next one.
        let _left = self.lock.remove_tree(&self.name(), self.owners, &self.caps);
    }
}

impl Lock<'_> {
    /// A new working directory. What others left that were killed goes.
    pub(crate) fn work(&self, owners: Owners, caps: &Caps) -> Result<Work<'_>, StoreError> {
        let dir = &self.store.dir;
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            let name = entry.map_err(at(dir))?.file_name();
            if name.as_encoded_bytes().starts_with(b".work-") {
                self.remove_tree(Path::new(&name), owners, caps)?;
            }
        }
        let path = mkdtemp(&dir.join(".work-XXXXXX")).map_err(|errno| at(dir)(errno.into()))?;
        Ok(Work { lock: self, path, owners, caps: *caps })
    }

    /// Takes the tree of an image out of the store, to a place in the working directory.
    pub(crate) fn take_tree(
        &self,
        manifest: Digest,
        work: &Work<'_>,
        place: &str,
    ) -> Result<bool, StoreError> {
        let tree = tree(manifest, work.owners);
        if !self.store.dir.join(&tree).is_dir() {
            return Ok(false);
        }
        self.move_tree(tree, work.name().join(place), work)?;
        Ok(true)
    }

    /// Puts it back.
    pub(crate) fn keep_tree(
        &self,
        work: &Work<'_>,
        place: &str,
        manifest: &Digest,
    ) -> Result<(), StoreError> {
        self.move_tree(work.name().join(place), tree(*manifest, work.owners), work)
    }

    fn move_tree(&self, from: PathBuf, to: PathBuf, work: &Work<'_>) -> Result<(), StoreError> {
        Ok(run(&Order::Move { from, to, caps: work.caps }, &self.store.dir, work.owners)?)
    }

    pub(super) fn remove_tree(
        &self,
        path: &Path,
        owners: Owners,
        caps: &Caps,
    ) -> Result<(), StoreError> {
        let order = Order::Remove { path: path.to_owned(), caps: *caps };
        Ok(run(&order, &self.store.dir, owners)?)
    }

    /// Removes all trees: packs that share images are then made from their layers again.
    ///
    /// # Errors
    /// A tree cannot be removed.
    pub fn forget_trees(&self) -> Result<(), StoreError> {
        let dir = self.store.dir.join("trees");
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let name = entry.map_err(at(&dir))?.file_name();
            let owners = Owners::possible()?;
            self.remove_tree(&Path::new("trees").join(name), owners, &Caps::default())?;
        }
        Ok(())
    }
}

/// A tree without owners is not one with them.
fn tree(manifest: Digest, owners: Owners) -> PathBuf {
    let owners = if owners.are_kept() { "" } else { "-root" };
    Path::new("trees").join(format!("{}{owners}", manifest.hex()))
}

/// Bytes that the files below a directory take on the disk, as far as they can be seen.
pub(super) fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else {
                continue;
            };
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    bytes
}

/// Removes a file that may be gone.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
