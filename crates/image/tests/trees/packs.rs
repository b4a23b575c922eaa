//! Packs and the store of images.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use pe_image::confined::Owners;
use pe_image::pack::{PackError, build};
use pe_image::store::Entry;
use pe_image::{Caps, PackFile, Source, Store};
use pe_proto::Digest;
use pe_proto::limits::{IO_FILE_BYTES, PMEM_ALIGN};

use crate::Case;
use crate::erofs::Pack;
use crate::image::{Layer, Memory};
use crate::listing::{Listing, assert_same, list};

/// A file that no compressor or deduplicator has anything to say to.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u8::try_from(state >> 56).expect("a byte")
    };
    (0..bytes).map(|_| next()).collect()
}

/// One version of an image: a megabyte in common with all others, and half of one its own.
pub(crate) fn version(number: u64) -> Memory {
    let time = (1_600_000_000 + number).to_string();
    Memory::new(&[Layer::new()
        .dir("./")
        .dir("usr")
        .raw(b'0', b"usr/common", b"", 0o644, &noise(99, 1 << 20), &[("mtime", time.as_bytes())])
        .raw(b'0', b"usr/own", b"", 0o4755, &noise(2 * number, 1 << 19), &[("uid", b"1234")])
        .hard("usr/same", "usr/own")
        .link("link", "usr/own")
        .raw(b'6', b"fifo", b"", 0o600, b"", &[])
        .end()])
}

pub(crate) fn pack(store: &Store, images: &[(&str, &Memory)]) -> Result<PackFile, PackError> {
    let images: Vec<_> =
        images.iter().map(|(prefix, it)| (*prefix, &it.image, *it as &dyn Source)).collect();
    build(&images, store, &Caps::default(), &mut |_| ())
}

/// What a pack must have of a tree: the files of a user who can keep no owners are root's in it.
pub(crate) fn as_packed(mut tree: Listing) -> Listing {
    if !Owners::possible().expect("owners").are_kept() {
        tree.values_mut().for_each(|listed| listed.owner = (0, 0));
    }
    tree
}

/// The pack of an image has what its tree has, as two readers say, one of which is not ours.
pub(crate) fn assert_packed(case: &str, image: &Memory, tree: &Listing) {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    let made = pack(&store, &[("", image)]).expect("pack");
    assert!(made.notes.memory_bytes < 64 << 20, "{:?}", made.notes);
    let read = Pack::open(&store.pack(made.digest));
    assert_same(case, &read.list(""), &as_packed(tree.clone()));
    assert_same("fsck.erofs", &extract(&store, &made), &plain(tree.clone()));
}

/// What is in a pack, as erofs-utils say, without what they cannot extract.
pub(crate) fn extract(store: &Store, pack: &PackFile) -> Listing {
    let dir = tempfile::tempdir().expect("tempdir");
    let tree = dir.path().join("tree");
    let said = Command::new("fsck.erofs")
        .arg(format!("--extract={}", tree.display()))
        .arg(store.pack(pack.digest))
        .output()
        .expect("fsck.erofs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    plain(list(&tree))
}

/// fsck.erofs 1.5 makes a file of each name, and extracts no attributes, set-id bits or special
/// files; that a guest sees them is for the tests in VMs.
pub(crate) fn plain(mut listing: Listing) -> Listing {
    listing.retain(|_, it| it.kind != "fifo");
    for listed in listing.values_mut() {
        listed.same_as = None;
        listed.mode &= 0o777;
        listed.xattrs.clear();
    }
    listing
}

fn a_pack_has_the_tree_of_its_image() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    let image = version(1);
    let made = pack(&store, &[("", &image)]).expect("pack");
    let (tree, _) = image.flatten(&Caps::default()).expect("flatten");
    assert_same("fsck.erofs", &extract(&store, &made), &plain(list(tree.path())));
    let file = store.pack(made.digest);
    let bytes = fs::read(&file).expect("read");
    assert_eq!(Digest::of(&bytes), made.digest);
    assert_eq!(u64::try_from(bytes.len()).expect("length"), made.bytes);
    assert!(made.bytes % PMEM_ALIGN == 0 && made.bytes != IO_FILE_BYTES);
    assert_eq!(bytes[1024 + 48..1024 + 64], made.uuid);
    assert_eq!(fs::metadata(&file).expect("stat").permissions().mode() & 0o777, 0o644);
    left_clean(dir.path());
}

/// No working directory, and no half-written file.
fn left_clean(store: &Path) {
    for entry in fs::read_dir(store).expect("list") {
        let name = entry.expect("entry").file_name();
        let name = name.to_str().expect("text");
        assert!(!name.starts_with(".work") && !name.ends_with(".tmp"), "{name}");
    }
}

fn the_same_image_gives_the_same_bytes_anywhere_and_another_one_another_uuid() {
    let [one, two] = [tempfile::tempdir(), tempfile::tempdir()].map(|dir| dir.expect("tempdir"));
    let [one, two] = [&one, &two].map(|dir| Store::open(dir.path()).expect("store"));
    let first = pack(&one, &[("", &version(1))]).expect("pack");
    let again = pack(&two, &[("", &version(1))]).expect("pack");
    assert_eq!((first.digest, first.uuid, first.is_old), (again.digest, again.uuid, false));
    let known = pack(&two, &[("", &version(1))]).expect("pack");
    assert_eq!((known.digest, known.is_old), (first.digest, true));
    fs::remove_file(two.pack(first.digest)).expect("remove");
    assert!(!pack(&two, &[("", &version(1))]).expect("pack").is_old);
    let other = pack(&two, &[("", &version(2))]).expect("pack");
    assert_ne!(other.uuid, first.uuid);
}

fn images_in_one_pack_share_what_they_have_in_common() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    let versions: Vec<Memory> = (1..=4).map(version).collect();
    let names = ["a/1", "a/2", "b", "c"];
    let named: Vec<_> = names.into_iter().zip(&versions).collect();
    let made = pack(&store, &named).expect("pack");
    // One megabyte for all, and half of one each: 3 MiB and what names need, not 6.
    assert_eq!(made.saved_bytes, 3 << 20);
    assert!(made.bytes <= 4 << 20, "{}", made.bytes);
    let all = extract(&store, &made);
    for (name, image) in &named {
        let (tree, _) = image.flatten(&Caps::default()).expect("flatten");
        let prefix = format!("/{name}");
        let there = all.iter().filter_map(|(path, listed)| {
            let rest = path.strip_prefix(&prefix)?;
            Some((if rest.is_empty() { "/".to_owned() } else { rest.to_owned() }, listed.clone()))
        });
        assert_same(name, &there.collect(), &plain(list(tree.path())));
        let read = Pack::open(&store.pack(made.digest));
        assert_same(name, &read.list(name), &as_packed(list(tree.path())));
    }
}

fn a_layer_that_is_refused_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    let bad = Memory::new(&[Layer::new().file("a", "").file("a/b", "").end()]);
    assert!(matches!(pack(&store, &[("", &bad)]), Err(PackError::Flatten { image: 0, .. })));
    assert_eq!(fs::read_dir(dir.path().join("packs")).expect("list").count(), 0);
    left_clean(dir.path());
}

fn prefixes_are_plain_and_not_within_each_other() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    let image = version(1);
    for bad in ["..", "a/../b", "/a", "a/", "a//b", "a b", ".", "a\n"] {
        assert!(matches!(pack(&store, &[(bad, &image)]), Err(PackError::Prefix(_))), "{bad:?}");
    }
    for (one, two) in [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("", "a"), ("a", "")] {
        let refused = pack(&store, &[(one, &image), (two, &image)]);
        assert!(matches!(refused, Err(PackError::Prefix(_))), "{one} {two}");
    }
}

fn entries_are_listed_and_tags_move() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    let entry = |name: &str, tags: &[&str], pack: u8| -> Entry {
        let tags = serde_json::to_string(tags).expect("tags");
        let digest = Digest([pack; 32]);
        let text = format!(
            r#"{{"image":{{"name":"{name}","tags":{tags},"title":"","description":"","playground":null,"platforms":[{{
            "arch":"x86_64","digest":"{digest}","pack":{{"digest":"{digest}","bytes":2097152,"prefix":""}},
            "config":{{"entrypoint":[],"cmd":[],"env":[],"workdir":"","user":""}}}}]}}}}"#
        );
        serde_json::from_str(&text).expect("entry")
    };
    let lock = store.lock().expect("lock");
    lock.put(&entry("x/gcc", &["12", "latest"], 1)).expect("put");
    lock.put(&entry("x/gcc", &["13", "latest"], 2)).expect("put");
    lock.put(&entry("perl", &["5"], 3)).expect("put");
    let names = || -> Vec<(String, Vec<String>)> {
        let text = fs::read(dir.path().join("catalogue.json")).expect("catalogue");
        let catalogue: pe_proto::catalogue::Catalogue =
            serde_json::from_slice(&text).expect("json");
        catalogue.images.into_iter().map(|image| (image.name, image.tags)).collect()
    };
    let is = |name: &str, tags: &[&str]| {
        (name.to_owned(), tags.iter().map(|&it| it.to_owned()).collect())
    };
    assert_eq!(names(), [is("perl", &["5"]), is("x/gcc", &["12"]), is("x/gcc", &["13", "latest"])]);
    for pack in 1..=4 {
        fs::write(store.pack(Digest([pack; 32])), "p").expect("write");
    }
    assert_eq!(lock.remove("x/gcc:latest").expect("remove").len(), 1);
    assert_eq!(lock.remove("x/gcc:12").expect("remove").len(), 1);
    assert!(lock.remove("x/gcc:12").is_err());
    assert_eq!(names(), [is("perl", &["5"]), is("x/gcc", &["13"])]);
    let unused: Vec<Digest> =
        lock.remove_unused().expect("gc").into_iter().map(|it| it.0).collect();
    assert_eq!(unused, [Digest([1; 32]), Digest([4; 32])]);
    assert_eq!(store.usage().expect("usage").packs, 2);
}

pub(crate) fn all() -> Vec<Case> {
    vec![
        ("packs::a_pack_has_the_tree_of_its_image", a_pack_has_the_tree_of_its_image),
        (
            "packs::the_same_image_gives_the_same_bytes_anywhere_and_another_one_another_uuid",
            the_same_image_gives_the_same_bytes_anywhere_and_another_one_another_uuid,
        ),
        (
            "packs::images_in_one_pack_share_what_they_have_in_common",
            images_in_one_pack_share_what_they_have_in_common,
        ),
        (
            "packs::a_layer_that_is_refused_leaves_the_store_as_it_was",
            a_layer_that_is_refused_leaves_the_store_as_it_was,
        ),
        (
            "packs::prefixes_are_plain_and_not_within_each_other",
            prefixes_are_plain_and_not_within_each_other,
        ),
        ("packs::entries_are_listed_and_tags_move", entries_are_listed_and_tags_move),
    ]
}
