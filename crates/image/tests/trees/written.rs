//! What the format makes hard: the longest, the most, the emptiest, the latest; and in little memory.

use std::io::Write as _;

use pe_image::flatten::{Cap, Caps};
use pe_image::pack::{AppendError, PackError};
use pe_image::{Packing, Store};
use pe_proto::Digest;
use sha2::{Digest as _, Sha256};
use tar::Header;

use crate::Case;
use crate::erofs::Pack;
use crate::image::{Layer, Memory};
use crate::listing::list;
use crate::packs::{assert_packed, noise, pack};

/// The pack of a layer has what its tree has.
fn check(layer: Layer) {
    let memory = Memory::new(&[Layer([Layer::new().dir("./").0, layer.0].concat()).end()]);
    let (dir, _) = memory.flatten(&Caps::default()).expect("flatten");
    assert_packed("the tree", &memory, &list(dir.path()));
}

fn names_of_any_bytes_and_of_every_length_are_kept() {
    let mut layer = Layer::new().dir("d");
    for length in 1..=255 {
        let name = [b"d/".as_slice(), &vec![b'a'; length]].concat();
        layer = layer.raw(b'0', &name, b"", 0o644, b"", &[("path", &name)]);
    }
    for byte in (1..=255_u8).filter(|byte| !b"/.a\n".contains(byte)) {
        let name = [b"d/".as_slice(), &[byte], b"\xff".as_slice()].concat();
        layer = layer.raw(b'0', &name, b"", 0o644, &[byte], &[("path", &name)]);
    }
    check(layer);
}

fn ten_thousand_names_in_one_directory_are_found() {
    let mut layer = Layer::new().dir("many");
    for n in 0..10_000 {
        layer = layer.file(&format!("many/{}", n * 7919), if n % 100 == 0 { "x" } else { "" });
    }
    check(layer);
}

fn trees_are_as_deep_as_they_may_be() {
    let deep = vec!["d"; 127].join("/");
    check(Layer::new().dir(&deep).file(&format!("{deep}/f"), "deep"));
}

fn what_is_empty_stays_so() {
    check(Layer::new().dir("dir").file("file", "").dir("dir/dir").file("dir/other", ""));
}

fn contents_of_every_length_around_a_block_are_whole() {
    let mut layer = Layer::new();
    for length in [1, 2, 4095, 4096, 4097, 8191, 8192, 8193, 262_143, 262_144, 262_145, 600_001] {
        let body = noise(length, usize::try_from(length).expect("length"));
        layer = layer.raw(b'0', format!("f{length}").as_bytes(), b"", 0o644, &body, &[]);
        // The same but for the last byte, and the same followed by zeros.
        let mut other = body.clone();
        *other.last_mut().expect("bytes") ^= 1;
        layer = layer.raw(b'0', format!("g{length}").as_bytes(), b"", 0o644, &other, &[]);
        let longer = [body, vec![0; 3]].concat();
        layer = layer.raw(b'0', format!("h{length}").as_bytes(), b"", 0o644, &longer, &[]);
    }
    check(layer);
}

fn directories_of_every_length_around_a_block_are_whole() {
    let mut layer = Layer::new();
    // A name of 88 bytes takes 100 of a directory: from half of a block to three of them.
    for count in (20..120).filter(|n| n % 40 < 4 || *n > 116) {
        layer = layer.dir(&format!("d{count}"));
        for n in 0..count {
            layer = layer.file(&format!("d{count}/{n:088}"), "");
        }
    }
    check(layer);
}

fn links_are_as_long_as_linux_has_them() {
    let mut layer = Layer::new();
    for length in [1, 4000, 4031, 4032, 4033, 4094, 4095] {
        let target = vec![b't'; length];
        let name = format!("l{length}");
        layer = layer.raw(b'2', name.as_bytes(), b"t", 0o777, b"", &[("linkpath", &target)]);
    }
    check(layer);
}

fn attributes_are_kept_up_to_their_cap() {
    let mut layer = Layer::new();
    for length in [0, 1, 2, 3, 4, 1000, 2500, 3000] {
        let value = noise(length, usize::try_from(length).expect("length"));
        let attributes = [("SCHILY.xattr.user.a", value.as_slice()), ("SCHILY.xattr.user.bb", b"")];
        let name = format!("f{length}");
        layer = layer.raw(b'0', name.as_bytes(), b"", 0o644, b"f", &attributes);
        let name = format!("d{length}");
        layer = layer.raw(b'5', name.as_bytes(), b"", 0o755, b"", &attributes);
        for n in 0..20 {
            layer = layer.file(&format!("{name}/{n:050}"), "");
        }
    }
    check(layer);
}

fn times_are_kept_to_the_nanosecond_until_2242() {
    let mut layer = Layer::new();
    for time in
        ["0", "0.000000001", "2147483647.5", "2147483648", "4294967296.999999999", "8589934591"]
    {
        layer = layer.raw(b'0', time.as_bytes(), b"", 0o644, b"", &[("mtime", time.as_bytes())]);
    }
    check(layer);
}

fn names_of_one_file_are_one_file_also_of_links_and_fifos() {
    let layer = Layer::new()
        .dir("a")
        .dir("b")
        .file("a/file", "f")
        .hard("b/file", "a/file")
        .hard("file", "a/file")
        .link("a/link", "t")
        .hard("b/link", "a/link")
        .raw(b'6', b"a/fifo", b"", 0o600, b"", &[])
        .hard("b/fifo", "a/fifo")
        // Of equal content, and another file.
        .file("a/other", "f");
    check(layer);
}

/// Files that are mostly holes, in a pack that is mostly holes.
fn a_file_of_more_than_four_gigabytes_is_whole() {
    let dir = tempfile::tempdir().expect("tempdir");
    let bytes = (4_u64 << 30) + 5;
    let file = std::fs::File::create(dir.path().join("f")).expect("create");
    file.set_len(bytes).expect("length");
    std::os::unix::fs::FileExt::write_all_at(&file, b"begin", 0).expect("write");
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", bytes - 3).expect("write");
    let line = "tar -c --sparse --owner=0 --group=0 --mtime=@9 --format=gnu f";
    let tar = std::process::Command::new("sh").args(["-c", line]).current_dir(&dir).output();
    let layer = [Layer::new().dir("./").0, tar.expect("tar").stdout].concat();
    let (stored, memory) = (tempfile::tempdir().expect("tempdir"), Memory::new(&[layer]));
    let store = Store::open(stored.path()).expect("store");
    let made = pack(&store, &[("", &memory)]).expect("pack");
    let path = store.pack(made.digest);
    let read = Pack::open(&path);
    let names = read.names(&read.inode(read.root));
    let inode = read.inode(names.iter().find(|it| it.0 == b"f").expect("f").1);
    assert_eq!((inode.bytes, inode.layout), (bytes, 0));
    assert_eq!(read.content(&inode, 0, 6), b"begin\0");
    assert_eq!(read.content(&inode, bytes - 4, 4), b"\0end");
    let on_disk = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).expect("stat"));
    assert!(on_disk * 512 < 4 << 20, "{on_disk} sectors");
}

/// A layer of many small files, none of which is another's equal, compressed while it is made.
fn many(count: u64, body: usize, path: impl Fn(u64) -> String) -> Memory {
    let mut layer = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("zstd");
    let mut hasher = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        layer.write_all(bytes).expect("zstd");
    };
    let mut content = vec![b'x'; body];
    for n in 0..count {
        let mut header = Header::new_ustar();
        header.set_path(path(n)).expect("path");
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(u64::try_from(body).expect("length"));
        header.set_cksum();
        put(header.as_bytes());
        if body > 0 {
            content[..8].copy_from_slice(&n.to_le_bytes());
            put(&content);
            put(&vec![0; body.next_multiple_of(512) - body]);
        }
    }
    put(&[0; 1024]);
    let diff_id = Digest(hasher.finalize().into());
    Memory::packed([(diff_id, layer.finish().expect("zstd"), Packing::Zstd)])
}

fn a_hundred_thousand_files_are_written_in_the_memory_of_a_few() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    let image = many(100_000, 1500, |n| format!("d{}/{n}", n % 997));
    let made = pack(&store, &[("many", &image)]).expect("pack");
    let read = Pack::open(&store.pack(made.digest));
    assert_eq!(read.inodes, 100_000 + 997 + 1 + 1);
    assert!(made.bytes > 100_000 * 4096, "each on a page of its own: {}", made.bytes);
    let _ =
        writeln!(std::io::stderr(), "100,000 files: {} bytes of memory", made.notes.memory_bytes);
    assert!(made.notes.memory_bytes < 32 << 20, "{:?}", made.notes);
}

fn a_directory_of_too_many_names_is_refused_by_its_cap() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    let long = "n".repeat(80);
    let fits = many(150_000, 0, |n| format!("d/{long}{n:06}"));
    let made = pack(&store, &[("", &fits)]).expect("pack");
    assert!(made.notes.memory_bytes < 64 << 20, "{:?}", made.notes);
    let refused = pack(&store, &[("", &many(170_000, 0, |n| format!("d/{long}{n:06}")))]);
    let Err(PackError::Append { image: 0, source }) = refused else { panic!("{refused:?}") };
    assert!(matches!(source, AppendError::Cap { cap: Cap::DirectoryBytes, .. }), "{source:?}");
}

pub(crate) fn all() -> Vec<Case> {
    vec![
        (
            "written::names_of_any_bytes_and_of_every_length_are_kept",
            names_of_any_bytes_and_of_every_length_are_kept,
        ),
        (
            "written::ten_thousand_names_in_one_directory_are_found",
            ten_thousand_names_in_one_directory_are_found,
        ),
        ("written::trees_are_as_deep_as_they_may_be", trees_are_as_deep_as_they_may_be),
        ("written::what_is_empty_stays_so", what_is_empty_stays_so),
        (
            "written::contents_of_every_length_around_a_block_are_whole",
            contents_of_every_length_around_a_block_are_whole,
        ),
        (
            "written::directories_of_every_length_around_a_block_are_whole",
            directories_of_every_length_around_a_block_are_whole,
        ),
        ("written::links_are_as_long_as_linux_has_them", links_are_as_long_as_linux_has_them),
        ("written::attributes_are_kept_up_to_their_cap", attributes_are_kept_up_to_their_cap),
        (
            "written::times_are_kept_to_the_nanosecond_until_2242",
            times_are_kept_to_the_nanosecond_until_2242,
        ),
        (
            "written::names_of_one_file_are_one_file_also_of_links_and_fifos",
            names_of_one_file_are_one_file_also_of_links_and_fifos,
        ),
        (
            "written::a_file_of_more_than_four_gigabytes_is_whole",
            a_file_of_more_than_four_gigabytes_is_whole,
        ),
        (
            "written::a_hundred_thousand_files_are_written_in_the_memory_of_a_few",
            a_hundred_thousand_files_are_written_in_the_memory_of_a_few,
        ),
        (
            "written::a_directory_of_too_many_names_is_refused_by_its_cap",
            a_directory_of_too_many_names_is_refused_by_its_cap,
        ),
    ]
}
