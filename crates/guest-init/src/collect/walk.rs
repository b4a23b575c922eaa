//! Walking a tree that somebody hostile made: every name once, in the order of an archive.
//!
//! Directories are opened relative to their parent, without following links and without leaving the
//! file system; the depth is bounded by the format, the number of names by [`NAMES_MAX`] a
//! directory and by what the receiver takes. Names that are not UTF-8 are escaped here, so the
//! order is that of the names as they will be written.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use pe_proto::limits::PATH_DEPTH_MAX;

use crate::confined::kind_of;
use crate::limits::NAMES_MAX;

/// What a walk meets.
#[derive(Debug)]
pub(super) struct Found<'walk> {
    /// The directory it is in.
    pub directory: &'walk OwnedFd,
    /// Its real name there.
    pub name: &'walk CStr,
    /// Its path from where the walk began, escaped.
    pub path: &'walk str,
    /// Whether any name of the path had to be escaped.
    pub escaped: bool,
    /// What it is.
    pub stat: FileStat,
}

/// What the receiver of a walk says to each thing it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// Go on; into it, if it is a directory.
    On,
    /// Go on, but not into it.
    Past,
    /// That is enough.
    Stop,
}

/// Receives what a walk meets.
pub(super) trait Visitor {
    /// Something, before what is in it.
    fn meet(&mut self, found: &Found<'_>) -> Go;
    /// A directory that was met and not passed, after all that is in it.
    fn leave(&mut self, found: &Found<'_>);
    /// Something that cannot be looked into, and why.
    fn miss(&mut self, path: &str, why: &str);
}

/// Walks everything below `root`; false if it was stopped or the deadline passed.
pub(super) fn walk(root: OwnedFd, deadline: Instant, visitor: &mut impl Visitor) -> bool {
    Walk { deadline, visitor }.directory(root, "", 0, false)
}

struct Walk<'visitor, V> {
    deadline: Instant,
    visitor: &'visitor mut V,
}

impl<V: Visitor> Walk<'_, V> {
    /// Depth is bounded, so recursion is; each level holds one descriptor and its sorted names.
    fn directory(&mut self, directory: OwnedFd, at: &str, depth: usize, escaped: bool) -> bool {
        let names = match names_in(&directory) {
            Ok((names, complete)) => {
                if !complete {
                    self.visitor.miss(at, "it has too many names, some were passed over");
                }
                names
            }
            Err(errno) => {
                self.visitor.miss(at, errno.desc());
                return true;
            }
        };
        for (shown, name) in names {
            if Instant::now() >= self.deadline {
                self.visitor.miss(at, "there was no time left");
                return false;
            }
            let path = if at.is_empty() { shown.clone() } else { format!("{at}/{shown}") };
            let escaped = escaped || shown.as_bytes() != name.to_bytes();
            let stat = match fstatat(&directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(errno) => {
                    self.visitor.miss(&path, errno.desc());
                    continue;
                }
            };
            let found = Found { directory: &directory, name: &name, path: &path, escaped, stat };
            match self.visitor.meet(&found) {
                Go::Stop => return false,
                Go::On if kind_of(found.stat.st_mode) == SFlag::S_IFDIR => {
                    if !self.enter(&found, depth) {
                        return false;
                    }
                }
                Go::On | Go::Past => {}
            }
        }
        true
    }

    fn enter(&mut self, found: &Found<'_>, depth: usize) -> bool {
        let mut going = true;
        if depth + 1 >= PATH_DEPTH_MAX {
            self.visitor.miss(found.path, "it is too deep");
        } else {
            match open_inside(found.directory, found.name, DIRECTORY) {
                Ok(inner) => going = self.directory(inner, found.path, depth + 1, found.escaped),
                Err(errno) => self.visitor.miss(found.path, errno.desc()),
            }
        }
        self.visitor.leave(found);
        going
    }
}

/// Flags to open a directory for walking.
pub(super) const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Opens something below a directory: never through a link, never outside, never elsewhere.
pub(super) fn open_inside(directory: &OwnedFd, path: &CStr, flags: OFlag) -> nix::Result<OwnedFd> {
    let inside = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    openat2(directory, path, OpenHow::new().flags(flags).resolve(inside))
}

type Name = (String, CString);

/// The names in a directory, escaped and sorted, and whether these are all.
fn names_in(directory: &OwnedFd) -> nix::Result<(Vec<Name>, bool)> {
    let again = nix::fcntl::openat(directory, ".", DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(again)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if names.len() >= NAMES_MAX {
            names.sort_unstable();
            return Ok((names, false));
        }
        names.push((escape(name.to_bytes()), name.to_owned()));
    }
    names.sort_unstable();
    Ok((names, true))
}

/// Text as it is; any byte that is not part of UTF-8 as `\xNN`.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Whether an error means that there is simply nothing.
pub(super) fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct List {
        met: Vec<String>,
        missed: Vec<String>,
    }

    impl Visitor for List {
        fn meet(&mut self, found: &Found<'_>) -> Go {
            self.met.push(found.path.to_owned());
            if found.path.ends_with("past") { Go::Past } else { Go::On }
        }
        fn leave(&mut self, found: &Found<'_>) {
            self.met.push(format!("{}/.", found.path));
        }
        fn miss(&mut self, path: &str, why: &str) {
            self.missed.push(format!("{path}: {why}"));
        }
    }

    fn list(directory: &tempfile::TempDir) -> List {
        let root = nix::fcntl::open(directory.path(), DIRECTORY, Mode::empty()).unwrap();
        let mut list = List::default();
        walk(root, Instant::now() + Duration::from_secs(60), &mut list);
        list
    }

    #[test]
    fn names_come_in_the_order_of_an_archive() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["a/x", "a-b", "a/y/z", "past/unseen", "b"] {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let list = list(&directory);
        let expected = ["a", "a/x", "a/y", "a/y/z", "a/y/.", "a/.", "a-b", "b", "past"];
        assert_eq!(list.met, expected);
        let files: Vec<&String> = list.met.iter().filter(|path| !path.ends_with('.')).collect();
        assert!(files.is_sorted_by(|a, b| pe_proto::path::compare(a, b).is_lt()));
        assert!(list.missed.is_empty());
    }

    #[test]
    fn links_to_directories_are_met_but_not_entered() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", directory.path().join("root")).unwrap();
        std::os::unix::fs::symlink(".", directory.path().join("self")).unwrap();
        assert_eq!(list(&directory).met, ["root", "self"]);
    }

    #[test]
    fn a_tree_that_is_too_deep_is_cut_and_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let deep = vec!["d"; PATH_DEPTH_MAX + 3].join("/");
        fs::create_dir_all(directory.path().join(deep)).unwrap();
        let list = list(&directory);
        assert_eq!(list.missed.len(), 1);
        assert!(list.missed[0].ends_with("too deep"));
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        assert_eq!(escape("größe".as_bytes()), "größe");
        assert_eq!(escape(b"a\xff\xfeb\xc3"), "a\\xff\\xfeb\\xc3");
        assert_eq!(escape(b""), "");
    }
}
