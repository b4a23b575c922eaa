//! Looking into a tree that somebody hostile made, without leaving it.
//!
//! Paths are resolved by the kernel with the tree as their root: an absolute link or `..` leads to
//! the tree's own root, never out of it. Nothing runs in the tree while it is looked at.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlink};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat};

/// A directory that paths are resolved in.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    path: PathBuf,
}

/// Why a working directory cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoDirectory {
    /// Something on the way is not a directory.
    #[error("something on the way is not a directory")]
    NotADirectory,
    /// It does not exist and has a `..` after the part that does not.
    #[error("it does not exist, and `..` cannot be followed through what does not exist")]
    DotDot,
    /// A link on the way leads nowhere.
    #[error("a symbolic link on the way leads nowhere")]
    DanglingLink,
    /// The disk is full, or another failure of the kernel's.
    #[error("{0}")]
    Other(Errno),
}

impl Tree {
    /// Opens a directory whose own path is ours and safe.
    pub fn open(path: &Path) -> nix::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// The first `bytes_max` bytes of a regular file; empty if there is no such file.
    pub fn read(&self, path: &str, bytes_max: usize) -> Vec<u8> {
        // O_NONBLOCK: a fifo must not hold us up before it is seen to be one.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let Ok(fd) = self.resolve(Path::new(path), flags) else {
            return Vec::new();
        };
        let is_regular = fstat(&fd).is_ok_and(|stat| kind_of(stat.st_mode) == SFlag::S_IFREG);
        let mut bytes = Vec::new();
        if is_regular {
            let file = std::fs::File::from(fd);
            // A file that fails half way is as good as one that ends there.
            let _read = file.take(bytes_max as u64).read_to_end(&mut bytes);
        }
        bytes
    }

    /// Finds a directory, or creates it and what is missing above it, owned by `uid` and `gid`.
    /// Returns its path relative to the tree, all links resolved.
    pub fn ensure_directory(&self, path: &str, uid: Uid, gid: Gid) -> Result<PathBuf, NoDirectory> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match self.resolve(Path::new(path), flags) {
            Ok(found) => return self.relative(&found),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(NoDirectory::from(errno)),
        }
        let mut walked = PathBuf::new();
        let mut at = self.resolve(Path::new("."), flags).map_err(NoDirectory::from)?;
        for component in Path::new(path).components() {
            let name = match component {
                Component::Normal(name) => name,
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
                Component::ParentDir => return Err(NoDirectory::DotDot),
            };
            walked.push(name);
            at = match self.resolve(&walked, flags) {
                Ok(found) => found,
                Err(Errno::ENOENT) => {
                    create(&at, name, uid, gid)?;
                    self.resolve(&walked, flags).map_err(NoDirectory::from)?
                }
                Err(errno) => return Err(NoDirectory::from(errno)),
            };
        }
        self.relative(&at)
    }

    fn resolve(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let inside = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        openat2(&self.root, path, OpenHow::new().flags(flags).resolve(inside))
    }

    fn relative(&self, fd: &OwnedFd) -> Result<PathBuf, NoDirectory> {
        let number = std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd());
        let link = format!("/proc/self/fd/{number}");
        let real = readlink(link.as_str()).map_err(NoDirectory::Other)?;
        match Path::new(&real).strip_prefix(&self.path) {
            Ok(relative) => Ok(relative.to_owned()),
            Err(_) => Err(NoDirectory::Other(Errno::EXDEV)),
        }
    }
}

impl From<Errno> for NoDirectory {
    fn from(errno: Errno) -> Self {
        if matches!(errno, Errno::ENOTDIR | Errno::ELOOP) {
            Self::NotADirectory
        } else {
            Self::Other(errno)
        }
    }
}

/// The file type bits of a mode.
pub fn kind_of(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

fn create(parent: &OwnedFd, name: &OsStr, uid: Uid, gid: Gid) -> Result<(), NoDirectory> {
    match mkdirat(parent, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) => {}
        Err(Errno::EEXIST) => return Err(NoDirectory::DanglingLink),
        Err(errno) => return Err(NoDirectory::from(errno)),
    }
    let not_followed = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
    fchownat(parent, name, Some(uid), Some(gid), not_followed).map_err(NoDirectory::Other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(&directory.path().canonicalize().unwrap()).unwrap();
        (directory, tree)
    }

    fn ensure(tree: &Tree, path: &str) -> Result<PathBuf, NoDirectory> {
        tree.ensure_directory(path, Uid::current(), Gid::current())
    }

    #[test]
    fn a_missing_directory_is_made_with_all_above_it() {
        let (directory, tree) = tree();
        assert_eq!(ensure(&tree, "/a/./b//c").unwrap(), Path::new("a/b/c"));
        assert!(directory.path().join("a/b/c").is_dir());
        assert_eq!(ensure(&tree, "/").unwrap(), Path::new(""));
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let (directory, tree) = tree();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        std::fs::write(directory.path().join("etc/passwd"), "ours").unwrap();
        symlink("/etc", directory.path().join("absolute")).unwrap();
        symlink("../../../../etc", directory.path().join("up")).unwrap();
        for path in ["absolute", "up"] {
            assert_eq!(ensure(&tree, path).unwrap(), Path::new("etc"));
            assert_eq!(tree.read(&format!("{path}/passwd"), 100), b"ours");
        }
    }

    #[test]
    fn what_is_in_the_way_of_a_directory_is_named() {
        let (directory, tree) = tree();
        std::fs::write(directory.path().join("file"), "").unwrap();
        symlink("nowhere", directory.path().join("dangling")).unwrap();
        symlink("loop", directory.path().join("loop")).unwrap();
        assert_eq!(ensure(&tree, "/file/x"), Err(NoDirectory::NotADirectory));
        assert_eq!(ensure(&tree, "/loop/x"), Err(NoDirectory::NotADirectory));
        assert_eq!(ensure(&tree, "/dangling"), Err(NoDirectory::DanglingLink));
        assert_eq!(ensure(&tree, "/new/../x"), Err(NoDirectory::DotDot));
    }

    #[test]
    fn only_regular_files_are_read_and_only_up_to_the_bound() {
        let (directory, tree) = tree();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
        std::fs::write(directory.path().join("long"), "0123456789").unwrap();
        assert_eq!(tree.read("fifo", 100), b"");
        assert_eq!(tree.read("missing", 100), b"");
        assert_eq!(tree.read(".", 100), b"");
        assert_eq!(tree.read("long", 4), b"0123");
    }
}
