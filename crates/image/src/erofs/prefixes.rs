//! The directories above the images of a shared pack.
//!
//! Their inodes have fixed places in the head, in the order in which images brought them, so that
//! an image's `..` never changes. Their names are written into the section of the image that
//! changed them; the head says where they are now. What a later image replaced stays, a block or
//! two, and nobody looks at it.

use serde::{Deserialize, Serialize};

use super::dirent::{Entry, Shape, encode};
use super::inode::{INODE_BYTES, Inode, Kind, Place};
use super::{BLOCK, BLOCK_BYTES, nid, pad};

/// The superblock, and inodes of directories.
pub(crate) const HEAD_BLOCKS: u32 = 16;

/// Its bytes.
pub(crate) const HEAD_BYTES: u64 = HEAD_BLOCKS as u64 * BLOCK_BYTES;

/// Directories that have a place in the head.
pub(crate) const DIRS_MAX: usize = (HEAD_BLOCKS as usize - 1) * BLOCK / INODE_BYTES;

const MODE: u16 = 0o040_755;

/// A directory above images. The first is the root, which is above itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Dir {
    above: usize,
    name: String,
    /// Where its names are.
    block: u32,
    bytes: u64,
}

/// An image's root in one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Root {
    above: usize,
    name: String,
    nid: u64,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prefixes {
    dirs: Vec<Dir>,
    roots: Vec<Root>,
}

/// More directories than the head has places for, or a name that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPlace;

impl Default for Prefixes {
    fn default() -> Self {
        let root = Dir { above: 0, name: String::new(), block: 0, bytes: 0 };
        Self { dirs: vec![root], roots: Vec::new() }
    }
}

impl Prefixes {
    /// Makes what is missing above an image. Returns the number of the directory that it goes into.
    pub(crate) fn make(&mut self, prefix: &str) -> Result<usize, NoPlace> {
        let parents = prefix.rsplit_once('/').map_or("", |(parents, _)| parents);
        let mut above = 0;
        for name in parents.split('/').filter(|name| !name.is_empty()) {
            let is_it = |(at, dir): (usize, &Dir)| {
                (at > 0 && dir.above == above && dir.name == name).then_some(at)
            };
            let there = self.dirs.iter().enumerate().find_map(is_it);
            above = match there {
                Some(there) => there,
                None if self.dirs.len() >= DIRS_MAX => return Err(NoPlace),
                None => {
                    self.dirs.push(Dir { above, name: name.to_owned(), block: 0, bytes: 0 });
                    self.dirs.len() - 1
                }
            };
        }
        Ok(above)
    }

    /// What names the inode of a directory.
    pub(crate) fn nid(dir: usize) -> u64 {
        let place = u64::try_from(dir * INODE_BYTES).unwrap_or(u64::MAX);
        nid(BLOCK_BYTES.saturating_add(place))
    }

    /// Puts an image's root into a directory. Returns the directories that are others now.
    pub(crate) fn enter(
        &mut self,
        prefix: &str,
        above: usize,
        nid: u64,
    ) -> Result<Vec<usize>, NoPlace> {
        let name = prefix.rsplit('/').next().unwrap_or_default();
        let is_there = |(of, known): (usize, &str)| of == above && known == name;
        let dirs = self.dirs.iter().skip(1).map(|dir| (dir.above, dir.name.as_str()));
        let mut all = dirs.chain(self.roots.iter().map(|root| (root.above, root.name.as_str())));
        if all.any(is_there) || name.is_empty() {
            return Err(NoPlace);
        }
        self.roots.push(Root { above, name: name.to_owned(), nid });
        // From the image up to the first directory that was there before.
        let mut changed = vec![above];
        let mut dir = above;
        while let Some(it) = self.dirs.get(dir).filter(|it| it.bytes == 0 && dir > 0) {
            dir = it.above;
            changed.push(dir);
        }
        changed.reverse();
        Ok(changed)
    }

    /// Names of a directory and what they stand for, sorted.
    fn names(&self, of: usize) -> Vec<Entry<'_>> {
        let above = self.dirs.get(of).map_or(0, |dir| dir.above);
        let entry = |name, nid| Entry { name, nid, kind: Kind::Directory };
        let mut names = vec![entry(&b"."[..], Self::nid(of)), entry(&b".."[..], Self::nid(above))];
        for (at, dir) in self.dirs.iter().enumerate().skip(1).filter(|(_, dir)| dir.above == of) {
            names.push(entry(dir.name.as_bytes(), Self::nid(at)));
        }
        for root in self.roots.iter().filter(|root| root.above == of) {
            names.push(entry(root.name.as_bytes(), root.nid));
        }
        names.sort_unstable_by_key(|entry| entry.name);
        names
    }

    /// The bytes of a directory.
    pub(crate) fn bytes(&self, dir: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let infallible: Result<(), std::convert::Infallible> =
            encode(self.names(dir).into_iter(), &mut |block| {
                bytes.extend_from_slice(block);
                Ok(())
            });
        match infallible {
            Ok(()) => bytes,
            Err(never) => match never {},
        }
    }

    /// Says where they are.
    pub(crate) fn lies(&mut self, dir: usize, block: u32) {
        let bytes = Shape::of(self.names(dir).iter().map(|entry| entry.name.len())).bytes();
        if let Some(dir) = self.dirs.get_mut(dir) {
            (dir.block, dir.bytes) = (block, bytes);
        }
    }

    /// How many directories.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.dirs.len()).unwrap_or(u64::MAX)
    }

    /// The head without its first block.
    pub(crate) fn inodes(&self, time: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK);
        for (at, dir) in self.dirs.iter().enumerate() {
            let inside = self.names(at).len();
            let inode = Inode {
                mode: MODE,
                bytes: dir.bytes,
                place: Place::Blocks(dir.block),
                number: u32::try_from(at + 1).unwrap_or(u32::MAX),
                uid: 0,
                gid: 0,
                mtime: (time, 0),
                // `.`, the name above, and `..` of each that is in it.
                links: u32::try_from(inside).unwrap_or(u32::MAX),
                xattr_count: 0,
            };
            inode.encode(&mut bytes);
        }
        pad(&mut bytes, (HEAD_BLOCKS as usize - 1) * BLOCK);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(prefixes: &mut Prefixes, prefix: &str, nid: u64) -> Vec<usize> {
        let above = prefixes.make(prefix).expect("a place");
        let changed = prefixes.enter(prefix, above, nid).expect("a name");
        for &dir in &changed {
            prefixes.lies(dir, 20);
        }
        changed
    }

    fn names(prefixes: &Prefixes, dir: usize) -> Vec<(&str, u64)> {
        let all = prefixes.names(dir).into_iter();
        all.map(|it| (std::str::from_utf8(it.name).expect("text"), it.nid)).collect()
    }

    #[test]
    fn directories_keep_their_places_when_others_come() {
        let mut prefixes = Prefixes::default();
        assert_eq!(entered(&mut prefixes, "gcc/12", 1000), [0, 1]);
        let before = prefixes.inodes(1);
        assert_eq!(entered(&mut prefixes, "gcc/13", 2000), [1]);
        assert_eq!(entered(&mut prefixes, "a/b/c", 3000), [0, 2, 3]);
        assert_eq!(entered(&mut prefixes, "flat", 4000), [0]);
        assert_eq!(
            names(&prefixes, 0),
            [(".", 128), ("..", 128), ("a", 132), ("flat", 4000), ("gcc", 130)]
        );
        assert_eq!(names(&prefixes, 1), [(".", 130), ("..", 128), ("12", 1000), ("13", 2000)]);
        assert_eq!(names(&prefixes, 3), [(".", 134), ("..", 132), ("c", 3000)]);
        let after = prefixes.inodes(1);
        assert_eq!(after.len(), before.len());
        assert_eq!(u64::try_from(after.len() + BLOCK).expect("length"), HEAD_BYTES);
        assert_eq!(prefixes.count(), 4);
    }

    #[test]
    fn the_head_has_places_for_so_many() {
        let mut prefixes = Prefixes::default();
        for at in 1..DIRS_MAX {
            prefixes.make(&format!("{at}/x")).expect("a place");
        }
        assert_eq!(prefixes.make("more/x"), Err(NoPlace));
        assert!(prefixes.make("1/x").is_ok());
    }

    #[test]
    fn a_name_that_is_there_is_not_given_again() {
        let mut prefixes = Prefixes::default();
        entered(&mut prefixes, "a/b", 1);
        let above = prefixes.make("a/b").expect("it is there");
        assert_eq!(prefixes.enter("a/b", above, 2), Err(NoPlace));
        assert_eq!(prefixes.enter("a", 0, 2), Err(NoPlace));
    }
}
