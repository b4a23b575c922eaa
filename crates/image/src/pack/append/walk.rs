//! One walk through a tree, which writes it.
//!
//! By names of one component below a descriptor, as the tree was made; links are read and never
//! followed. What is in memory: the names of directories between the root and here, the files that
//! have names yet to come, and the contents that are known.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};

use super::names::Names;
use super::output::Output;
use super::{AppendError, number, shown};
use crate::erofs::dirent::encode;
use crate::erofs::inode::{INODE_BYTES, Inode, Kind, Place};
use crate::erofs::space::SLOT_BYTES_MAX;
use crate::erofs::{BLOCK, BLOCK_BYTES, xattr};
use crate::flatten::{Cap, Caps, DIRECTORY, get_xattr, list_xattrs};
use crate::limits::LINKS_OPEN_MAX;

/// Linux gives no longer list of names and no longer value.
const XATTR_BYTES_MAX: usize = 64 * 1024;

/// A file of which not all names were met.
struct Link {
    nid: u64,
    left: u32,
}

/// A walk.
pub(super) struct Walk<'a> {
    output: &'a mut Output,
    caps: &'a Caps,
    links: BTreeMap<u64, Link>,
    /// Of directories between the root and here.
    names_bytes: u64,
    inodes: u64,
    device: u64,
    names: Vec<u8>,
    value: Vec<u8>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(output: &'a mut Output, caps: &'a Caps) -> Self {
        let [names, value] = [vec![0; XATTR_BYTES_MAX], vec![0; XATTR_BYTES_MAX]];
        let links = BTreeMap::new();
        Self { output, caps, links, names_bytes: 0, inodes: 0, device: 0, names, value }
    }

    /// Writes the tree whose root this is, below a directory or alone. Returns what names its root,
    /// and how many inodes it has.
    pub(super) fn tree(
        mut self,
        root: &OwnedFd,
        above: Option<u64>,
    ) -> Result<(u64, u64), AppendError> {
        self.device = fstat(root)?.st_dev;
        let nid = self.directory(root, above, 0)?;
        Ok((nid, self.inodes))
    }

    fn directory(
        &mut self,
        dir: &OwnedFd,
        above: Option<u64>,
        depth: u64,
    ) -> Result<u64, AppendError> {
        if depth > self.caps.path_depth {
            return Err(AppendError::Cap { cap: Cap::PathDepth, limit: self.caps.path_depth });
        }
        let stat = fstat(dir)?;
        let xattrs = self.xattrs(dir.as_fd())?;
        let mut names = Names::of(dir, self.names_bytes)?;
        let cost = names.cost();
        self.names_bytes += cost;
        let shape = names.shape();
        let is_beside = INODE_BYTES + xattrs.len() + shape.last <= BLOCK;
        let beside = if is_beside { shape.last } else { 0 };
        let slot = self.output.slot(self.slot_bytes(xattrs.len(), beside)?)?;
        let nid = slot.nid();
        let mut at = 0;
        while let Some(name) = names.name(at) {
            let (child, kind) = match name {
                b"." => (nid, Kind::Directory),
                b".." => (above.unwrap_or(nid), Kind::Directory),
                name => self.child(dir, name, nid, depth).map_err(|error| named(error, name))?,
            };
            names.stands_for(at, child, kind);
            at += 1;
        }
        let on_blocks = if is_beside { u64::from(shape.full) * BLOCK_BYTES } else { shape.bytes() };
        let block = if on_blocks > 0 { self.output.claim(on_blocks)? } else { 0 };
        let mut to = u64::from(block) * BLOCK_BYTES;
        let end = to + on_blocks;
        let mut tail = Vec::new();
        encode(names.entries(), &mut |bytes| {
            if to < end {
                self.output.put(to, bytes)?;
                to += BLOCK_BYTES;
            } else {
                tail.extend_from_slice(bytes);
            }
            Ok::<(), AppendError>(())
        })?;
        let place = if is_beside { Place::Beside(block) } else { Place::Blocks(block) };
        let links = u32::try_from(names.directories()).unwrap_or(u32::MAX);
        let inode = inode(&stat, nid, shape.bytes(), place, links, &xattrs)?;
        self.write(slot.offset, &inode, &xattrs, &tail)?;
        self.names_bytes -= cost;
        Ok(nid)
    }

    /// Writes what a name stands for, unless another name of it was met.
    fn child(
        &mut self,
        dir: &OwnedFd,
        name: &[u8],
        above: u64,
        depth: u64,
    ) -> Result<(u64, Kind), AppendError> {
        let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = Kind::of_mode(stat.st_mode).ok_or_else(|| AppendError::Kind(String::new()))?;
        if stat.st_dev != self.device {
            return Err(AppendError::Kind(String::new()));
        }
        if kind == Kind::Directory {
            let open = openat(dir, name, DIRECTORY, Mode::empty())?;
            return Ok((self.directory(&open, Some(above), depth + 1)?, kind));
        }
        let links = u32::try_from(stat.st_nlink).unwrap_or(u32::MAX);
        if links > 1 {
            if let Some(nid) = self.met(stat.st_ino) {
                return Ok((nid, kind));
            }
        }
        let nid = match kind {
            Kind::File => self.file(dir, name, &stat)?,
            Kind::Symlink => {
                let target = readlinkat(dir, name)?.into_vec();
                self.symlink(&stat, &target)?
            }
            Kind::Fifo | Kind::Socket => self.alone(&stat, 0, Place::Blocks(0), &[], &[])?,
            Kind::Directory => return Err(AppendError::Kind(String::new())),
        };
        if links > 1 {
            let count = u64::try_from(self.links.len()).unwrap_or(u64::MAX);
            if count >= LINKS_OPEN_MAX {
                return Err(AppendError::Cap { cap: Cap::LinksOpen, limit: LINKS_OPEN_MAX });
            }
            self.links.insert(stat.st_ino, Link { nid, left: links - 1 });
        }
        Ok((nid, kind))
    }

    /// What names a file of which another name was met.
    fn met(&mut self, inode: u64) -> Option<u64> {
        let link = self.links.get_mut(&inode)?;
        let nid = link.nid;
        link.left = link.left.saturating_sub(1);
        if link.left == 0 {
            self.links.remove(&inode);
        }
        Some(nid)
    }

    fn file(&mut self, dir: &OwnedFd, name: &[u8], seen: &FileStat) -> Result<u64, AppendError> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(dir, name, flags, Mode::empty())?);
        let stat = fstat(&file)?;
        let changed = || AppendError::Changed(String::new());
        if (stat.st_ino, stat.st_mode) != (seen.st_ino, seen.st_mode) {
            return Err(changed());
        }
        let xattrs = self.xattrs(file.as_fd())?;
        let bytes = u64::try_from(stat.st_size).map_err(|_| changed())?;
        let block = self.output.content(&file, bytes)?.ok_or_else(changed)?;
        self.alone(&stat, bytes, Place::Blocks(block), &xattrs, &[])
    }

    fn symlink(&mut self, stat: &FileStat, target: &[u8]) -> Result<u64, AppendError> {
        let bytes = u64::try_from(target.len()).unwrap_or(u64::MAX);
        if INODE_BYTES + target.len() <= BLOCK {
            self.alone(stat, bytes, Place::Beside(0), &[], target)
        } else {
            let block = self.output.data(target)?;
            self.alone(stat, bytes, Place::Blocks(block), &[], &[])
        }
    }

    /// Writes an inode that has no names below it.
    fn alone(
        &mut self,
        stat: &FileStat,
        bytes: u64,
        place: Place,
        xattrs: &[u8],
        beside: &[u8],
    ) -> Result<u64, AppendError> {
        let slot = self.output.slot(self.slot_bytes(xattrs.len(), beside.len())?)?;
        let links = u32::try_from(stat.st_nlink).unwrap_or(u32::MAX);
        let inode = inode(stat, slot.nid(), bytes, place, links, xattrs)?;
        self.write(slot.offset, &inode, xattrs, beside)?;
        Ok(slot.nid())
    }

    fn slot_bytes(&self, xattrs: usize, beside: usize) -> Result<u64, AppendError> {
        let bytes = u64::try_from(INODE_BYTES + xattrs + beside).unwrap_or(u64::MAX);
        if bytes > SLOT_BYTES_MAX {
            return Err(AppendError::Cap { cap: Cap::XattrBytes, limit: SLOT_BYTES_MAX });
        }
        Ok(bytes)
    }

    fn write(
        &mut self,
        offset: u64,
        inode: &Inode,
        xattrs: &[u8],
        beside: &[u8],
    ) -> Result<(), AppendError> {
        let mut bytes = Vec::with_capacity(INODE_BYTES + xattrs.len() + beside.len());
        inode.encode(&mut bytes);
        bytes.extend_from_slice(xattrs);
        bytes.extend_from_slice(beside);
        self.inodes += 1;
        self.output.put(offset, &bytes)
    }

    /// A file's attributes as they are written. What the host put on it beside them (labels of
    /// SELinux) is no part of the image.
    fn xattrs(&mut self, file: BorrowedFd<'_>) -> Result<Vec<u8>, AppendError> {
        let length = match list_xattrs(file, &mut self.names) {
            Ok(length) => length,
            // The file system has none.
            Err(Errno::EOPNOTSUPP) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let listed = self.names.get(..length).unwrap_or_default();
        let mut attributes = Vec::new();
        let each = listed.split_inclusive(|&byte| byte == 0);
        let names = each.filter_map(|name| CStr::from_bytes_with_nul(name).ok());
        for name in names.filter(|name| xattr::is_kept(name.to_bytes())) {
            let length = get_xattr(file, name, &mut self.value)?;
            let value = self.value.get(..length).unwrap_or_default();
            attributes.push((name.to_bytes().to_vec(), value.to_vec()));
        }
        attributes.sort();
        let limit = SLOT_BYTES_MAX;
        xattr::encode(&attributes).ok_or(AppendError::Cap { cap: Cap::XattrBytes, limit })
    }
}

fn inode(
    stat: &FileStat,
    nid: u64,
    bytes: u64,
    place: Place,
    links: u32,
    xattrs: &[u8],
) -> Result<Inode, AppendError> {
    let limit = SLOT_BYTES_MAX;
    let xattr_count =
        xattr::count(xattrs).ok_or(AppendError::Cap { cap: Cap::XattrBytes, limit })?;
    // The format knows no time before 1970.
    let mtime = u64::try_from(stat.st_mtime)
        .map_or((0, 0), |seconds| (seconds, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)));
    Ok(Inode {
        mode: u16::try_from(stat.st_mode).unwrap_or(0),
        bytes,
        place,
        number: number(nid),
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime,
        links,
        xattr_count,
    })
}

/// Says which file, from below to the top.
fn named(error: AppendError, name: &[u8]) -> AppendError {
    let below = |path: String| {
        let name = shown(name);
        if path.is_empty() { name } else { format!("{name}/{path}") }
    };
    match error {
        AppendError::Changed(path) => AppendError::Changed(below(path)),
        AppendError::Kind(path) => AppendError::Kind(below(path)),
        AppendError::Cap { .. }
        | AppendError::Prefix(_)
        | AppendError::Index(_)
        | AppendError::Host(_) => error,
    }
}
