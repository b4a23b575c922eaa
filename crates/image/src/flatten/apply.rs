//! One entry of a layer, applied to the tree (OCI image-spec, layer.md).
//!
//! An entry replaces what has its name, and everything below that, with one exception: a directory
//! stays when a directory comes, and only its owner, mode, time and attributes change. What is
//! replaced is always made anew, so another name of the old file keeps the old content.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, mkdirat,
    mknodat, utimensat,
};
use nix::unistd::{
    Gid, LinkatFlags, Uid, Whence, fchownat, ftruncate, linkat, lseek, symlinkat, write,
};

use super::caps::Cap;
use super::error::LayerError;
use super::tar::{Entry, Kind};
use super::tree::{self, DIRECTORY, Tree, normalized, set_times, split, time_spec};
use super::xattrs;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Longest target of a symlink that Linux can have.
const LINK_BYTES_MAX: u64 = 4095;

/// Gives bytes of a file's body until it ends.
pub(super) type Body<'a> = dyn FnMut(&mut [u8]) -> Result<usize, LayerError> + 'a;

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    Done,
    /// A device node: nothing is at its path now.
    DeviceLeftOut,
}

/// Applies an entry.
pub(super) fn apply(
    tree: &mut Tree,
    entry: &Entry,
    buffer: &mut [u8],
    body: &mut Body<'_>,
) -> Result<Applied, LayerError> {
    let path = normalized(&entry.path);
    if path.contains(&0) || entry.link.contains(&0) {
        return Err(LayerError::entry("a name with a NUL in it", &path));
    }
    tree.check_path(&path)?;
    if path.is_empty() {
        if entry.kind != Kind::Directory {
            return Err(LayerError::entry("the root of an image is a directory", &entry.path));
        }
        tree.leave()?;
        let root = tree
            .root()
            .try_clone_to_owned()
            .map_err(|error| LayerError::Host(error.to_string()))?;
        finish_open(tree, root.as_fd(), entry, true)?;
        return Ok(Applied::Done);
    }
    let (parent, name) = split(&path);
    if name == OPAQUE {
        return hide_lower(tree, parent);
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        return hide(tree, parent, hidden, &path);
    }
    place(tree, entry, parent, name, buffer, body).map_err(|error| {
        if let LayerError::Host(what) = error {
            LayerError::Host(format!("{what}: `{}`", String::from_utf8_lossy(&path)))
        } else {
            error
        }
    })
}

/// Everything of lower layers in a directory goes.
fn hide_lower(tree: &mut Tree, parent: &[u8]) -> Result<Applied, LayerError> {
    tree.leave()?;
    if let Some((dir, mut path)) = tree.find(parent)? {
        tree.empty(dir.as_fd(), b".", &mut path, true)?;
    }
    Ok(Applied::Done)
}

/// A name of lower layers goes, with all below it that this layer did not bring.
fn hide(tree: &mut Tree, parent: &[u8], name: &[u8], whole: &[u8]) -> Result<Applied, LayerError> {
    if matches!(name, b"" | b"." | b"..") {
        return Err(LayerError::entry("a whiteout of no name", whole));
    }
    tree.leave()?;
    if tree.find(parent)?.is_none() {
        return Ok(Applied::Done);
    }
    let (dir, above) = tree.enter(parent, (0, 0))?;
    let mut path = joined(above, name);
    let dir = owned(dir)?;
    if tree.seen.has(&path) {
        match stat_of(dir.as_fd(), name)? {
            Some(stat) if tree::is(&stat, SFlag::S_IFDIR) => {
                tree.empty(dir.as_fd(), name, &mut path, true)?;
            }
            Some(_) | None => {}
        }
    } else {
        tree.remove(dir.as_fd(), name, &mut path, true)?;
    }
    Ok(Applied::Done)
}

fn place(
    tree: &mut Tree,
    entry: &Entry,
    parent: &[u8],
    name: &[u8],
    buffer: &mut [u8],
    body: &mut Body<'_>,
) -> Result<Applied, LayerError> {
    // A link's target is looked for first: making its parents must not turn us away again.
    let target = match entry.kind {
        Kind::HardLink => Some(link_target(tree, entry)?),
        Kind::File | Kind::Directory | Kind::Symlink | Kind::Fifo | Kind::Device => None,
    };
    let (dir, above) = tree.enter(parent, entry.mtime)?;
    let mut path = joined(above, name);
    let mut dir = owned(dir)?;
    let there = stat_of(dir.as_fd(), name)?;
    if let Some(there) = there {
        let is_directory = tree::is(&there, SFlag::S_IFDIR);
        if is_directory && entry.kind == Kind::Directory {
            // Its own time may be the one that is remembered.
            tree.leave()?;
            let open = openat(&dir, name, DIRECTORY, Mode::empty())?;
            finish_open(tree, open.as_fd(), entry, true)?;
            tree.seen.note(&path);
            return Ok(Applied::Done);
        }
        // What is remembered may lie below what goes.
        tree.leave()?;
        dir = owned(tree.enter(parent, entry.mtime)?.0)?;
        tree.remove(dir.as_fd(), name, &mut path, false)?;
    }
    if entry.kind == Kind::Device {
        return Ok(Applied::DeviceLeftOut);
    }
    tree.check_path(&path)?;
    tree.charge(1, entry.size)?;
    match (entry.kind, target) {
        (Kind::File, _) => make_file(tree, entry, dir.as_fd(), name, buffer, body)?,
        (Kind::Directory, _) => {
            mkdirat(&dir, name, Mode::S_IRWXU)?;
            let open = openat(&dir, name, DIRECTORY, Mode::empty())?;
            finish_open(tree, open.as_fd(), entry, false)?;
        }
        (Kind::HardLink, Some((target, of))) => {
            linkat(&target, of.as_slice(), &dir, name, LinkatFlags::empty()).map_err(|errno| {
                if errno == Errno::ENOENT {
                    LayerError::entry("a hard link to what is not there", &path)
                } else if errno == Errno::EPERM {
                    LayerError::entry("a hard link to a directory", &path)
                } else {
                    errno.into()
                }
            })?;
        }
        (Kind::Symlink, _) => {
            Cap::PathBytes.check(tree::count(entry.link.len()), LINK_BYTES_MAX)?;
            if entry.link.is_empty() {
                return Err(LayerError::entry("a symlink to nothing", &path));
            }
            symlinkat(entry.link.as_slice(), &dir, name)?;
            finish_closed(tree, dir.as_fd(), name, entry)?;
        }
        (Kind::Fifo, _) => {
            mknodat(&dir, name, SFlag::S_IFIFO, Mode::from_bits_truncate(0o600), 0)?;
            finish_closed(tree, dir.as_fd(), name, entry)?;
        }
        (Kind::HardLink, None) | (Kind::Device, _) => {}
    }
    tree.seen.note(&path);
    Ok(Applied::Done)
}

fn make_file(
    tree: &Tree,
    entry: &Entry,
    dir: BorrowedFd<'_>,
    name: &[u8],
    buffer: &mut [u8],
    body: &mut Body<'_>,
) -> Result<(), LayerError> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    match &entry.pieces {
        None => loop {
            match body(buffer)? {
                0 => break,
                got => put(&file, buffer.get(..got).unwrap_or_default())?,
            }
        },
        Some(pieces) => {
            for piece in pieces {
                let offset = i64::try_from(piece.offset);
                lseek(&file, offset.map_err(|_| Errno::EFBIG)?, Whence::SeekSet)?;
                let mut left = piece.bytes;
                while left > 0 {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let got = body(buffer.get_mut(..most).unwrap_or_default())?;
                    put(&file, buffer.get(..got).unwrap_or_default())?;
                    left = left.saturating_sub(tree::count(got).max(1));
                }
            }
            ftruncate(&file, i64::try_from(entry.size).map_err(|_| Errno::EFBIG)?)?;
        }
    }
    finish_open(tree, file.as_fd(), entry, false)
}

fn put(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), LayerError> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Owner first: a change of it takes set-id bits and capabilities away. Time last.
fn finish_open(
    tree: &Tree,
    file: BorrowedFd<'_>,
    entry: &Entry,
    was_there: bool,
) -> Result<(), LayerError> {
    tree.own(file, entry.uid, entry.gid)?;
    fchmod(file, Mode::from_bits_truncate(entry.mode))?;
    if was_there {
        forget_xattrs(file)?;
    }
    for (name, value) in &entry.xattrs {
        let bad = || LayerError::entry("an attribute that cannot be set", &entry.path);
        let name = CString::new(name.as_slice()).map_err(|_| bad())?;
        match xattrs::set_xattr(file, &name, value) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::EPERM | Errno::ERANGE | Errno::EOPNOTSUPP) => {
                return Err(bad());
            }
            Err(Errno::ENOSPC | Errno::E2BIG) => {
                return Err(LayerError::entry(
                    "more attributes than the staging disk keeps",
                    &entry.path,
                ));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    set_times(file, time_spec(entry.mtime))
}

/// Attributes of a directory are those of the last layer that has it.
fn forget_xattrs(file: BorrowedFd<'_>) -> Result<(), LayerError> {
    let mut names = vec![0; 64 * 1024];
    let length = match xattrs::list_xattrs(file, &mut names) {
        Ok(length) => length,
        Err(Errno::EOPNOTSUPP) => 0,
        Err(errno) => return Err(errno.into()),
    };
    for name in names.get(..length).unwrap_or_default().split_inclusive(|&byte| byte == 0) {
        // Others are this host's own.
        if name.starts_with(b"user.") || name.starts_with(b"security.capability") {
            if let Ok(name) = std::ffi::CStr::from_bytes_with_nul(name) {
                xattrs::remove_xattr(file, name)?;
            }
        }
    }
    Ok(())
}

/// The same for what cannot be opened: links and pipes, which have no attributes.
fn finish_closed(
    tree: &Tree,
    dir: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
) -> Result<(), LayerError> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    if tree.keeps_owners {
        fchownat(dir, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    if entry.kind == Kind::Fifo {
        // It is what was just made, and no link.
        fchmodat(dir, name, Mode::from_bits_truncate(entry.mode), FchmodatFlags::FollowSymlink)?;
    }
    let [access, change] = time_spec(entry.mtime);
    Ok(utimensat(dir, name, &access, &change, UtimensatFlags::NoFollowSymlink)?)
}

/// Where a hard link's target is: its directory, and its name there.
fn link_target(tree: &mut Tree, entry: &Entry) -> Result<(OwnedFd, Vec<u8>), LayerError> {
    let target = normalized(&entry.link);
    let (parent, name) = split(&target);
    let missing = || LayerError::entry("a hard link to what is not there", &entry.path);
    let (dir, _) = tree.find(parent)?.ok_or_else(missing)?;
    if name.is_empty() {
        return Err(LayerError::entry("a hard link to a directory", &entry.path));
    }
    Ok((dir, name.to_vec()))
}

fn stat_of(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileStat>, LayerError> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn joined(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() { name.to_vec() } else { [above, b"/", name].concat() }
}

fn owned(dir: BorrowedFd<'_>) -> Result<OwnedFd, LayerError> {
    dir.try_clone_to_owned().map_err(|error| LayerError::Host(error.to_string()))
}
