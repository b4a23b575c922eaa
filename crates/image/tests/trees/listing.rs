//! What is in a tree, so that two of them can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use pe_proto::Digest;

/// One file, with all that a program in the image could see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) kind: &'static str,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) bytes: u64,
    /// Digest of the content, or a link's target.
    pub(crate) content: String,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first of its names, if it has several.
    pub(crate) same_as: Option<String>,
}

/// By path, escaped.
pub(crate) type Listing = BTreeMap<String, Listed>;

/// Lists a tree.
pub(crate) fn list(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut first = BTreeMap::new();
    add(root, root, &mut listing, &mut first);
    listing
}

fn add(root: &Path, path: &Path, into: &mut Listing, first: &mut BTreeMap<u64, String>) {
    let meta = fs::symlink_metadata(path).expect("stat");
    let below = path.strip_prefix(root).expect("below");
    let name = format!("/{}", below.as_os_str().as_bytes().escape_ascii());
    let kind = meta.file_type();
    let (kind, content) = if kind.is_dir() {
        ("directory", String::new())
    } else if kind.is_symlink() {
        let target = fs::read_link(path).expect("link");
        ("link", target.as_os_str().as_bytes().escape_ascii().to_string())
    } else if kind.is_file() {
        ("file", Digest::of(&fs::read(path).expect("read")).hex())
    } else if kind.is_fifo() {
        ("fifo", String::new())
    } else {
        ("device", format!("{:x}", meta.rdev()))
    };
    let mut same_as = None;
    if kind != "directory" && meta.nlink() > 1 {
        same_as = Some(first.entry(meta.ino()).or_insert_with(|| name.clone()).clone());
    }
    let listed = Listed {
        kind,
        mode: meta.mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        bytes: if kind == "file" { meta.len() } else { 0 },
        content,
        xattrs: super::xattrs::xattrs(path),
        same_as,
    };
    into.insert(name, listed);
    if kind == "directory" {
        let mut names: Vec<_> =
            fs::read_dir(path).expect("list").map(|it| it.expect("entry").path()).collect();
        names.sort();
        for path in names {
            add(root, &path, into, first);
        }
    }
}

/// Says how two trees differ, and fails if they do.
pub(crate) fn assert_same(case: &str, ours: &Listing, theirs: &Listing) {
    let mut differences = Vec::new();
    for (path, their) in theirs {
        match ours.get(path) {
            None => differences.push(format!("{path}: missing, they have {their:?}")),
            Some(our) if our != their => {
                differences.push(format!("{path}:\n  ours   {our:?}\n  theirs {their:?}"));
            }
            Some(_) => {}
        }
    }
    for path in ours.keys().filter(|path| !theirs.contains_key(*path)) {
        differences.push(format!("{path}: only ours"));
    }
    assert!(differences.is_empty(), "{case}:\n{}", differences.join("\n"));
}
