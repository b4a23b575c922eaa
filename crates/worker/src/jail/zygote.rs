//! A directory for a saved guest: written by one VMM, then read by all others.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{getegid, geteuid};

use crate::host::VmUser;

/// A directory for a saved guest. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub struct ZygoteDir {
    path: PathBuf,
}

impl ZygoteDir {
    pub(super) fn make(path: PathBuf, owner: Option<VmUser>) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        let dir = Self { path };
        if let Some(owner) = owner {
            std::os::unix::fs::chown(&dir.path, Some(owner.uid), Some(owner.gid))?;
        }
        Ok(dir)
    }

    /// Where it is, for the worker and for VMMs.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on every VMM can read what is in it and none can write. To be called once the
    /// VMM that wrote it is dead and reaped: then nobody can change what is looked at here.
    ///
    /// # Errors
    /// There is something in it that is no plain file of one name, or the host refuses.
    pub fn seal(&self) -> io::Result<()> {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        // The directory first: what is not there now cannot come.
        let dir = File::options().read(true).custom_flags(DIR).open(&self.path)?;
        fchown(dir.as_fd(), Some(uid), Some(gid))?;
        dir.set_permissions(Permissions::from_mode(0o555))?;
        for entry in fs::read_dir(&self.path)? {
            let file = File::options().read(true).custom_flags(FILE).open(entry?.path())?;
            let meta = file.metadata()?;
            let links = std::os::unix::fs::MetadataExt::nlink(&meta);
            if !meta.is_file() || links != 1 {
                return Err(io::Error::other("a saved guest is plain files only"));
            }
            fchown(file.as_fd(), Some(uid), Some(gid))?;
            file.set_permissions(Permissions::from_mode(0o444))?;
        }
        Ok(())
    }
}

/// Never through a link, and never waiting for the other end of a pipe.
const FILE: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;
const DIR: i32 = libc::O_NOFOLLOW | libc::O_DIRECTORY;

impl Drop for ZygoteDir {
    fn drop(&mut self) {
        // An ordinary user cannot remove from a directory that is read-only for it.
        let _ = fs::set_permissions(&self.path, Permissions::from_mode(0o700));
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "saved guest is left behind");
            }
            // It may have gone with all of the worker's directory.
            Ok(()) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_guest_can_be_read_and_not_written() {
        let base = tempfile::tempdir().expect("tempdir");
        let dir = ZygoteDir::make(base.path().join("1"), None).expect("dir");
        let file = dir.path().join("state");
        fs::write(&file, "saved").expect("write");
        dir.seal().expect("plain files");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(dir.path()), mode(&file)), (0o555, 0o444));
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn a_link_in_it_is_refused() {
        let base = tempfile::tempdir().expect("tempdir");
        let secret = base.path().join("secret");
        fs::write(&secret, "host").expect("write");
        let before = fs::metadata(&secret).expect("there").permissions().mode();
        for make in [
            |from: &Path, to: &Path| std::os::unix::fs::symlink(from, to),
            |from: &Path, to: &Path| fs::hard_link(from, to),
        ] {
            let dir = ZygoteDir::make(base.path().join("1"), None).expect("dir");
            make(&secret, &dir.path().join("state")).expect("link");
            dir.seal().expect_err("not a plain file");
        }
        assert_eq!(fs::metadata(&secret).expect("there").permissions().mode(), before);
        assert!(secret.exists());
    }
}
