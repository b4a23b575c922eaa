//! The names of one directory, while what they stand for is written.

use std::os::fd::OwnedFd;

use nix::dir::Dir;
use nix::sys::stat::Mode;

use super::AppendError;
use crate::erofs::dirent::{Entry, Shape};
use crate::erofs::inode::Kind;
use crate::flatten::{Cap, DIRECTORY};
use crate::limits::DIRECTORY_BYTES_MAX;

/// What one takes beside its bytes.
const NAMED_BYTES: u64 = 16;

const _: () = assert!(size_of::<Named>() as u64 == NAMED_BYTES, "it is counted as it is");

#[derive(Debug, Clone, Copy)]
struct Named {
    nid: u64,
    start: u32,
    length: u8,
    kind: Kind,
}

/// Names in the order of their bytes; `.` and `..` are among them.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    all: Vec<Named>,
}

impl Names {
    /// Those of a directory. `before` is what those of the directories above take.
    pub(super) fn of(dir: &OwnedFd, before: u64) -> Result<Self, AppendError> {
        let mut names = Self::default();
        let mut listing = Dir::openat(dir, ".", DIRECTORY, Mode::empty())?;
        for each in listing.iter() {
            names.push(each?.file_name().to_bytes())?;
            if before + names.cost() > DIRECTORY_BYTES_MAX {
                let cap = Cap::DirectoryBytes;
                return Err(AppendError::Cap { cap, limit: DIRECTORY_BYTES_MAX });
            }
        }
        let Self { bytes, all } = &mut names;
        all.sort_unstable_by(|one, other| name(bytes, one).cmp(name(bytes, other)));
        Ok(names)
    }

    fn push(&mut self, name: &[u8]) -> Result<(), AppendError> {
        let long = |_| AppendError::Kind(super::shown(name));
        let length = u8::try_from(name.len()).map_err(long)?;
        let start = u32::try_from(self.bytes.len()).map_err(long)?;
        // Twice the room, as a vector takes by itself, would be counted as memory twice.
        if self.all.len() == self.all.capacity() {
            self.all.reserve_exact(self.all.len() / 8 + 64);
        }
        if self.bytes.len() + name.len() > self.bytes.capacity() {
            self.bytes.reserve_exact(self.bytes.len() / 8 + 1024);
        }
        self.bytes.extend_from_slice(name);
        self.all.push(Named { nid: 0, start, length, kind: Kind::Directory });
        Ok(())
    }

    /// What they take.
    pub(super) fn cost(&self) -> u64 {
        let [names, bytes] = [self.all.len(), self.bytes.len()]
            .map(|length| u64::try_from(length).unwrap_or(u64::MAX));
        names.saturating_mul(NAMED_BYTES).saturating_add(bytes)
    }

    pub(super) fn shape(&self) -> Shape {
        Shape::of(self.all.iter().map(|named| usize::from(named.length)))
    }

    /// The name at a place in their order.
    pub(super) fn name(&self, at: usize) -> Option<&[u8]> {
        self.all.get(at).map(|named| name(&self.bytes, named))
    }

    /// Says what it stands for.
    pub(super) fn stands_for(&mut self, at: usize, nid: u64, kind: Kind) {
        if let Some(named) = self.all.get_mut(at) {
            (named.nid, named.kind) = (nid, kind);
        }
    }

    /// How many of them are directories, `.` and `..` included.
    pub(super) fn directories(&self) -> usize {
        self.all.iter().filter(|named| named.kind == Kind::Directory).count()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.all.iter().map(|named| Entry {
            name: name(&self.bytes, named),
            nid: named.nid,
            kind: named.kind,
        })
    }
}

fn name<'a>(bytes: &'a [u8], named: &Named) -> &'a [u8] {
    let start = usize::try_from(named.start).unwrap_or(usize::MAX);
    bytes.get(start..start.saturating_add(usize::from(named.length))).unwrap_or_default()
}
