//! Working directories. Files in them may belong to subordinate ids of an ordinary user, so that
//! only a process of that namespace can remove them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;

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

    /// Removes a tree in it.
    pub(crate) fn remove(&self, what: &str) -> Result<(), StoreError> {
        self.lock.remove_tree(&self.name().join(what), self.owners, &self.caps)
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        // What is left is swept by the next one.
        let _left = self.lock.remove_tree(&self.name(), self.owners, &self.caps);
    }
}

impl Lock<'_> {
    /// A new working directory. What others left that were killed goes, and so do trees that were
    /// kept for packs before these could be appended to.
    pub(crate) fn work(&self, owners: Owners, caps: &Caps) -> Result<Work<'_>, StoreError> {
        let dir = &self.store.dir;
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            let name = entry.map_err(at(dir))?.file_name();
            if name.as_encoded_bytes().starts_with(b".work-") || name == "trees" {
                self.remove_tree(Path::new(&name), owners, caps)?;
            }
        }
        let path = mkdtemp(&dir.join(".work-XXXXXX")).map_err(|errno| at(dir)(errno.into()))?;
        Ok(Work { lock: self, path, owners, caps: *caps })
    }

    fn remove_tree(&self, path: &Path, owners: Owners, caps: &Caps) -> Result<(), StoreError> {
        let order = Order::Remove { path: path.to_owned(), caps: *caps };
        Ok(run(&order, &self.store.dir, owners)?)
    }
}

/// Removes a file that may be gone.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
