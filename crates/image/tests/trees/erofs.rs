//! A reader of packs, as simple as it can be, by the format's description and not by our writer.
//! It fails on anything that a kernel would not like.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use pe_proto::Digest;

use crate::listing::{Listed, Listing};

/// An inode.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) layout: u16,
    mode: u16,
    pub(crate) bytes: u64,
    pub(crate) block: u32,
    owner: (u32, u32),
    mtime: (u64, u32),
    links: u32,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where what is kept beside it begins.
    beside: u64,
}

/// A pack.
pub(crate) struct Pack {
    file: File,
    pub(crate) root: u64,
    pub(crate) inodes: u64,
    pub(crate) blocks: u32,
}

fn le<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("as many")
}

impl Pack {
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::open(path).expect("open");
        let mut block = vec![0; 4096];
        file.read_exact_at(&mut block, 0).expect("superblock");
        let sb = &block[1024..1152];
        assert_eq!(u32::from_le_bytes(le(sb, 0)), 0xe0f5_e1e2);
        assert_eq!(sb[12], 12, "blocks of 4096 bytes");
        assert_eq!(u32::from_le_bytes(le(sb, 40)), 0, "metadata begins at 0");
        assert_eq!(u32::from_le_bytes(le(sb, 80)), 0, "no feature that a kernel must know");
        Self {
            file,
            root: u64::from(u16::from_le_bytes(le(sb, 14))),
            inodes: u64::from_le_bytes(le(sb, 16)),
            blocks: u32::from_le_bytes(le(sb, 36)),
        }
    }

    fn read(&self, at: u64, length: u64) -> Vec<u8> {
        assert!(at + length <= u64::from(self.blocks) * 4096, "within what is counted");
        let mut bytes = vec![0; usize::try_from(length).expect("length")];
        self.file.read_exact_at(&mut bytes, at).expect("read");
        bytes
    }

    pub(crate) fn inode(&self, nid: u64) -> Inode {
        let at = nid * 32;
        let raw = self.read(at, 64);
        let format = u16::from_le_bytes(le(&raw, 0));
        assert_eq!(format & 1, 1, "64 bytes");
        let count = u64::from(u16::from_le_bytes(le(&raw, 2)));
        let xattr_bytes = if count == 0 { 0 } else { 12 + 4 * (count - 1) };
        assert_ne!(xattr_bytes, 12, "no kernel takes a header without attributes");
        let inode = Inode {
            layout: format >> 1,
            mode: u16::from_le_bytes(le(&raw, 4)),
            bytes: u64::from_le_bytes(le(&raw, 8)),
            block: u32::from_le_bytes(le(&raw, 16)),
            owner: (u32::from_le_bytes(le(&raw, 24)), u32::from_le_bytes(le(&raw, 28))),
            mtime: (u64::from_le_bytes(le(&raw, 32)), u32::from_le_bytes(le(&raw, 40))),
            links: u32::from_le_bytes(le(&raw, 44)),
            xattrs: xattrs(&self.read(at + 64, xattr_bytes)),
            beside: at + 64 + xattr_bytes,
        };
        if inode.layout == 2 {
            let tail = inode.bytes % 4096;
            assert!(inode.beside % 4096 + tail <= 4096, "what is beside is in one block");
        } else {
            assert_eq!(inode.layout, 0);
        }
        inode
    }

    /// Bytes of an inode from an offset on.
    pub(crate) fn content(&self, inode: &Inode, from: u64, length: u64) -> Vec<u8> {
        let on_blocks = if inode.layout == 2 { inode.bytes / 4096 * 4096 } else { inode.bytes };
        let first = length.min(on_blocks.saturating_sub(from));
        let mut bytes = if first > 0 {
            self.read(u64::from(inode.block) * 4096 + from, first)
        } else {
            Vec::new()
        };
        if first < length {
            let within = (from + first) - on_blocks;
            bytes.extend(self.read(inode.beside + within, length - first));
        }
        bytes
    }

    /// Names of a directory, in the order that they have.
    pub(crate) fn names(&self, inode: &Inode) -> Vec<(Vec<u8>, u64, u8)> {
        let bytes = self.content(inode, 0, inode.bytes);
        let mut names = Vec::new();
        for block in bytes.chunks(4096) {
            let start = |at: usize| usize::from(u16::from_le_bytes(le(block, at * 12 + 8)));
            let count = start(0) / 12;
            for at in 0..count {
                let rest = &block[start(at)..];
                let end = if at + 1 < count {
                    start(at + 1) - start(at)
                } else {
                    rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len())
                };
                let nid = u64::from_le_bytes(le(block, at * 12));
                names.push((rest[..end].to_vec(), nid, block[at * 12 + 10]));
            }
        }
        assert!(names.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, and each once");
        names
    }

    /// What is below a path, in the same form as of a tree on the disk.
    pub(crate) fn list(&self, below: &str) -> Listing {
        let (mut nid, mut above) = (self.root, self.root);
        for name in below.split('/').filter(|name| !name.is_empty()) {
            let names = self.names(&self.inode(nid));
            let found = names.iter().find(|it| it.0 == name.as_bytes()).expect("the prefix");
            (above, nid) = (nid, found.1);
        }
        let mut reader = Reader { pack: self, listing: Listing::new(), names: BTreeMap::new() };
        reader.add("/", nid, above);
        for (nid, (count, _)) in &reader.names {
            assert_eq!(self.inode(*nid).links, *count, "as many links as names");
        }
        reader.listing
    }
}

fn xattrs(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    let mut at = 12;
    while at < bytes.len() {
        let (name, value) =
            (usize::from(bytes[at]), usize::from(u16::from_le_bytes(le(bytes, at + 2))));
        let prefix = match bytes[at + 1] {
            1 => "user.",
            6 => "security.",
            other => panic!("attributes of {other}"),
        };
        let start = at + 4;
        let called = [prefix.as_bytes(), &bytes[start..start + name]].concat();
        all.push((called, bytes[start + name..start + name + value].to_vec()));
        at = (start + name + value).next_multiple_of(4);
    }
    all.sort();
    all
}

struct Reader<'a> {
    pack: &'a Pack,
    listing: Listing,
    /// How many names an inode has, and the first.
    names: BTreeMap<u64, (u32, String)>,
}

impl Reader<'_> {
    fn add(&mut self, path: &str, nid: u64, above: u64) {
        let inode = self.pack.inode(nid);
        let content = |bytes: u64| self.pack.content(&inode, 0, bytes);
        let (kind, content) = match inode.mode >> 12 {
            0o04 => ("directory", String::new()),
            0o12 => ("link", content(inode.bytes).escape_ascii().to_string()),
            0o10 => {
                assert_eq!(inode.layout, 0, "files are on whole pages");
                ("file", Digest::of(&content(inode.bytes)).hex())
            }
            0o01 => ("fifo", String::new()),
            other => panic!("{path}: type {other:o}"),
        };
        let mut same_as = None;
        if kind != "directory" {
            let entry = self.names.entry(nid).or_insert_with(|| (0, path.to_owned()));
            entry.0 += 1;
            same_as = (inode.links > 1).then(|| entry.1.clone());
        }
        let listed = Listed {
            kind,
            mode: u32::from(inode.mode) & 0o7777,
            owner: inode.owner,
            mtime: (i64::try_from(inode.mtime.0).expect("time"), i64::from(inode.mtime.1)),
            bytes: if kind == "file" { inode.bytes } else { 0 },
            content,
            xattrs: inode.xattrs.clone(),
            same_as,
        };
        self.listing.insert(path.to_owned(), listed);
        if kind != "directory" {
            return;
        }
        let mut directories = 0;
        for (name, child, said) in self.pack.names(&inode) {
            let is_directory = self.pack.inode(child).mode >> 12 == 0o04;
            directories += u32::from(is_directory);
            match name.as_slice() {
                b"." => assert_eq!(child, nid),
                b".." => assert_eq!(child, above, "{path}"),
                name => {
                    let name = name.escape_ascii();
                    let path =
                        if path == "/" { format!("/{name}") } else { format!("{path}/{name}") };
                    let types = [(0o04, 2), (0o12, 7), (0o10, 1), (0o01, 5)];
                    let kind = self.pack.inode(child).mode >> 12;
                    assert!(types.contains(&(kind, said)), "{path}: {kind:o} is not {said}");
                    self.add(&path, child, nid);
                }
            }
        }
        assert_eq!(inode.links, directories, "{path}: a link for each directory");
    }
}
