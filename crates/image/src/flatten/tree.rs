//! The staged tree: everything is done by names of one component below a descriptor.
//!
//! A path is walked as a program inside the image would walk it: links lead on within the tree,
//! never out of it, and `..` at its top stays there. The fast way asks the kernel for a path
//! without any link (openat2, beneath the root); only if there is one, names are followed one by
//! one. The last name of a path is never followed. Nobody else writes to the tree meanwhile: it
//! lies in a directory that only its owner can enter.
//!
//! What is touched within a directory does not change that directory's time (a layer says itself
//! when it means to), so times are put back when another directory is turned to.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};

use super::caps::{Cap, Caps};
use super::error::LayerError;
use super::seen::Seen;

/// As the kernel has it.
const LINKS_MAX: u32 = 40;

/// The latest time that every file system keeps (ext4: 34 bits of seconds).
const SECONDS_MAX: i64 = (1 << 33) - 1;

/// A directory that was turned to.
struct Here {
    /// As the layer called it, normalized.
    called: Vec<u8>,
    /// Without links.
    path: Vec<u8>,
    dir: OwnedFd,
    times: [TimeSpec; 2],
    is_touched: bool,
}

/// A tree that is being made.
pub(super) struct Tree {
    root: OwnedFd,
    here: Option<Here>,
    caps: Caps,
    /// Whether files can be given to others than us.
    pub(super) keeps_owners: bool,
    /// What this layer brought, so that its own whiteouts leave it alone.
    pub(super) seen: Seen,
    /// Made so far, in all layers.
    pub(super) inodes: u64,
    /// Bytes of files so far, with holes, in all layers.
    pub(super) bytes: u64,
}

impl Tree {
    /// The tree in the directory that `root` is.
    pub(super) fn new(root: OwnedFd, caps: Caps, keeps_owners: bool) -> Self {
        let seen = Seen::default();
        Self { root, here: None, caps, keeps_owners, seen, inodes: 0, bytes: 0 }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Counts something that is about to be made.
    pub(super) fn charge(&mut self, inodes: u64, bytes: u64) -> Result<(), LayerError> {
        self.inodes = self.inodes.saturating_add(inodes);
        self.bytes = self.bytes.saturating_add(bytes);
        Cap::Inodes.check(self.inodes, self.caps.inodes)?;
        Cap::UnpackedBytes.check(self.bytes, self.caps.unpacked_bytes)
    }

    /// Turns to a directory, making it and what is above it with this time if they are missing.
    /// Returns its path without links.
    pub(super) fn enter(
        &mut self,
        called: &[u8],
        time: (i64, u32),
    ) -> Result<(BorrowedFd<'_>, &[u8]), LayerError> {
        if self.here.as_ref().is_none_or(|here| here.called != called) {
            self.leave()?;
            let found = match self.open_plain(called) {
                Ok(dir) => (dir, called.to_vec()),
                Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR | Errno::EXDEV) => {
                    let walked = self.walk(called, Some(time))?;
                    walked.ok_or_else(|| LayerError::entry("its parent cannot be made", called))?
                }
                Err(errno) => return Err(errno.into()),
            };
            let (dir, path) = found;
            let stat = fstat(&dir)?;
            let times = times_of(&stat);
            let called = called.to_vec();
            self.here = Some(Here { called, path, dir, times, is_touched: false });
        }
        match &mut self.here {
            Some(here) => {
                here.is_touched = true;
                Ok((here.dir.as_fd(), &here.path))
            }
            None => Err(LayerError::Host("no directory is open".to_owned())),
        }
    }

    /// Finds a directory without making anything.
    pub(super) fn find(&mut self, called: &[u8]) -> Result<Option<(OwnedFd, Vec<u8>)>, LayerError> {
        match self.open_plain(called) {
            Ok(dir) => Ok(Some((dir, called.to_vec()))),
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR | Errno::EXDEV) => {
                self.walk(called, None)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Turns away from the directory, and puts its time back.
    pub(super) fn leave(&mut self) -> Result<(), LayerError> {
        if let Some(here) = self.here.take() {
            if here.is_touched {
                set_times(here.dir.as_fd(), here.times)?;
            }
        }
        Ok(())
    }

    /// Removes a name and all below it; with `keep`, all but what this layer brought. The path
    /// is that of `name`, without links. Whoever calls has turned away from where this may be.
    pub(super) fn remove(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &mut Vec<u8>,
        keep: bool,
    ) -> Result<(), LayerError> {
        if let Err(errno) = unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
            if errno == Errno::ENOENT {
                return Ok(());
            }
            if !matches!(errno, Errno::EISDIR | Errno::EPERM) {
                return Err(errno.into());
            }
            let keep = keep && self.seen.has(path);
            self.empty(dir, name, path, keep)?;
            if !keep {
                unlinkat(dir, name, UnlinkatFlags::RemoveDir)?;
            }
        }
        Ok(())
    }

    /// Removes what is in a directory; with `keep`, all but what this layer brought.
    pub(super) fn empty(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &mut Vec<u8>,
        keep: bool,
    ) -> Result<(), LayerError> {
        let open = openat(dir, name, DIRECTORY, Mode::empty())?;
        let times = times_of(&fstat(&open)?);
        let mut listing = Dir::from_fd(open.try_clone().map_err(host)?)?;
        for each in listing.iter() {
            let each = each?;
            let name = each.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let long = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let result = if keep && self.seen.has(path) {
                let stat = fstatat(&open, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                if is(&stat, SFlag::S_IFDIR) {
                    self.empty(open.as_fd(), name, path, true)
                } else {
                    Ok(())
                }
            } else {
                self.remove(open.as_fd(), name, path, keep)
            };
            path.truncate(long);
            result?;
        }
        set_times(open.as_fd(), times)
    }

    fn open_plain(&self, path: &[u8]) -> nix::Result<OwnedFd> {
        let path = if path.is_empty() { &b"."[..] } else { path };
        let how = OpenHow::new().flags(DIRECTORY).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
        openat2(&self.root, path, how)
    }

    /// Follows a path name by name. What is missing is made if a time is given.
    fn walk(
        &mut self,
        called: &[u8],
        time: Option<(i64, u32)>,
    ) -> Result<Option<(OwnedFd, Vec<u8>)>, LayerError> {
        let mut ahead: VecDeque<Vec<u8>> = names(called).map(<[u8]>::to_vec).collect();
        let mut path: Vec<u8> = Vec::new();
        let mut dir = self.open_plain(b"")?;
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == b".." {
                path.truncate(path.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                dir = self.open_plain(&path)?;
                continue;
            }
            match fstatat(&dir, name.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) if is(&stat, SFlag::S_IFDIR) => {}
                Ok(stat) if is(&stat, SFlag::S_IFLNK) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(LayerError::entry("too many links lead to it", called));
                    }
                    let target = readlinkat(&dir, name.as_slice())?.into_encoded();
                    if target.starts_with(b"/") {
                        path.clear();
                        dir = self.open_plain(b"")?;
                    }
                    for name in names(&target).rev() {
                        ahead.push_front(name.to_vec());
                    }
                    Cap::PathDepth.check(count(ahead.len()), self.caps.path_depth)?;
                    continue;
                }
                Ok(_) if time.is_none() => return Ok(None),
                Ok(_) => return Err(LayerError::entry("its parent is not a directory", called)),
                Err(Errno::ENOENT) => {
                    let Some(time) = time else {
                        return Ok(None);
                    };
                    self.make_missing(&dir, &name, time)?;
                }
                Err(errno) => return Err(errno.into()),
            }
            dir = openat(&dir, name.as_slice(), DIRECTORY, Mode::empty())?;
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.check_path(&path)?;
        }
        Ok(Some((dir, path)))
    }

    fn make_missing(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        time: (i64, u32),
    ) -> Result<(), LayerError> {
        self.charge(1, 0)?;
        let times = times_of(&fstat(dir)?);
        mkdirat(dir, name, Mode::from_bits_truncate(0o755))?;
        let made = openat(dir, name, DIRECTORY, Mode::empty())?;
        self.own(made.as_fd(), 0, 0)?;
        set_times(made.as_fd(), time_spec(time))?;
        set_times(dir.as_fd(), times)
    }

    /// Bounds a path.
    pub(super) fn check_path(&self, path: &[u8]) -> Result<(), LayerError> {
        Cap::PathBytes.check(count(path.len()), self.caps.path_bytes)?;
        Cap::PathDepth.check(count(names(path).count()), self.caps.path_depth)
    }

    /// Sets a file's owner, if that can be.
    pub(super) fn own(&self, file: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<(), LayerError> {
        if self.keeps_owners {
            fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(())
    }
}

/// How directories are opened.
pub(crate) const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Names in a path, without those that mean nothing.
pub(super) fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// A path as its names from the tree's top; `..` takes one back, and at the top none.
pub(super) fn normalized(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for name in names(path) {
        if name == b".." {
            kept.pop();
        } else {
            kept.push(name);
        }
    }
    kept.join(&b'/')
}

/// A path's parent and last name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => {
            (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default())
        }
        None => (b"", path),
    }
}

/// Whether a file is of a type.
pub(super) fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

pub(super) fn times_of(stat: &FileStat) -> [TimeSpec; 2] {
    [TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec); 2]
}

/// A time of a layer, as near as file systems can have it.
pub(super) fn time_spec((seconds, nanos): (i64, u32)) -> [TimeSpec; 2] {
    let kept = seconds.clamp(0, SECONDS_MAX);
    [TimeSpec::new(kept, if kept == seconds { i64::from(nanos) } else { 0 }); 2]
}

pub(super) fn set_times(
    file: BorrowedFd<'_>,
    [access, change]: [TimeSpec; 2],
) -> Result<(), LayerError> {
    Ok(futimens(file, &access, &change)?)
}

pub(super) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn host(error: std::io::Error) -> LayerError {
    LayerError::Host(error.to_string())
}

/// The bytes of a target.
trait IntoEncoded {
    fn into_encoded(self) -> Vec<u8>;
}

impl IntoEncoded for std::ffi::OsString {
    fn into_encoded(self) -> Vec<u8> {
        std::os::unix::ffi::OsStringExt::into_vec(self)
    }
}
