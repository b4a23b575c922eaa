//! Packs that grow: what is added, what stays, and what happens if the store is not what it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pe_image::pack::PackError;
use pe_image::{PackFile, Store};

use crate::Case;
use crate::erofs::Pack;
use crate::image::{Layer, Memory};
use crate::listing::{assert_same, list};
use crate::packs::{as_packed, extract, pack, version};
use pe_image::flatten::Caps;

/// An image whose layers nobody has any more.
fn gone(of: &Memory) -> Memory {
    let mut it = Memory::new(&[]);
    it.image = of.image.clone();
    it
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = Store::open(dir.path()).expect("store");
    (dir, store)
}

fn bytes(store: &Store, pack: &PackFile) -> Vec<u8> {
    fs::read(store.pack(pack.digest)).expect("read")
}

/// The only file in a directory of the store.
fn only(store: &Path, dir: &str) -> std::path::PathBuf {
    let mut files = fs::read_dir(store.join(dir)).expect("list");
    let file = files.next().expect("a file").expect("entry").path();
    assert!(files.next().is_none(), "{dir}");
    file
}

fn an_image_is_added_without_the_layers_of_the_rest_and_as_if_all_were_packed_at_once() {
    let (dir, grown) = store();
    let images = [version(1), version(2), version(3)];
    let names = ["a/1", "a/2", "b"];
    let mut before: Option<PackFile> = None;
    for count in 1..=3_usize {
        // Only the new one has layers.
        let new = version(u64::try_from(count).expect("small"));
        let have: Vec<Memory> = images[..count - 1].iter().map(gone).chain([new]).collect();
        let named: Vec<_> = names.into_iter().zip(&have).collect();
        let made = pack(&grown, &named).expect("pack");
        let all: Vec<_> = names.into_iter().zip(&images[..count]).collect();
        let (_once, once) = store();
        let at_once = pack(&once, &all).expect("pack");
        assert_eq!((made.digest, made.uuid), (at_once.digest, at_once.uuid), "{count}");
        assert_eq!(at_once.based_on, None);
        match (before, made.based_on) {
            (None, None) => {}
            (Some(before), Some(basis)) => {
                assert_eq!((basis.pack, basis.from), (before.digest, 65_536));
                let both = [&before, &made].map(|it| bytes(&grown, it));
                let [from, to] = [basis.from, basis.to]
                    .map(|at| usize::try_from(at).expect("an offset in memory"));
                assert!(to > from && to <= both[0].len() && to % 4096 == 0);
                assert_eq!(both[0][from..to], both[1][from..to]);
                // All but the padding of the former.
                assert!(both[0][to..].iter().all(|&byte| byte == 0));
                // Half a megabyte is new, a whole one is not.
                assert_eq!(made.saved_bytes, 1 << 20);
            }
            other => panic!("{other:?}"),
        }
        for index in fs::read_dir(dir.path().join("indices")).expect("list") {
            let mode = index.expect("entry").metadata().expect("stat").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let read = Pack::open(&grown.pack(made.digest));
        assert_eq!(u64::from(read.blocks) * 4096 / (2 << 20), made.bytes / (2 << 20) - 1);
        for (name, image) in &all {
            let (tree, _) = image.flatten(&Caps::default()).expect("flatten");
            assert_same(name, &read.list(name), &as_packed(list(tree.path())));
        }
        assert!(extract(&grown, &made).contains_key("/a/1/usr/own"));
        before = Some(made);
    }
    // What was said of it once is said again.
    let last = before.expect("three");
    let named: Vec<_> = names.into_iter().zip(&images).collect();
    let again = pack(&grown, &named).expect("pack");
    assert_eq!((again.is_old, again.based_on), (true, last.based_on));
}

fn a_pack_whose_index_or_bytes_are_damaged_is_made_anew() {
    let damage: [fn(&Path); 5] = [
        |dir| fs::remove_file(only(dir, "indices")).expect("remove"),
        |dir| fs::write(only(dir, "indices"), "{}\n").expect("write"),
        |dir| {
            let index = only(dir, "indices");
            let mut bytes = fs::read(&index).expect("read");
            *bytes.last_mut().expect("bytes") ^= 1;
            fs::write(index, bytes).expect("write");
        },
        |dir| {
            let pack = only(dir, "packs");
            let mut bytes = fs::read(&pack).expect("read");
            bytes[70_000] ^= 1;
            fs::write(pack, bytes).expect("write");
        },
        |dir| fs::remove_file(only(dir, "packs")).expect("remove"),
    ];
    let [one, two] = [version(1), version(2)];
    let (_other, other) = store();
    let right = pack(&other, &[("one", &one), ("two", &two)]).expect("pack");
    for harm in damage {
        let (dir, store) = store();
        pack(&store, &[("one", &one)]).expect("pack");
        harm(dir.path());
        let grown = pack(&store, &[("one", &one), ("two", &two)]).expect("pack");
        assert_eq!((grown.digest, grown.based_on), (right.digest, None));
    }
}

fn an_image_that_is_refused_leaves_the_pack_that_it_should_be_added_to() {
    let (dir, store) = store();
    let one = version(1);
    let made = pack(&store, &[("one", &one)]).expect("pack");
    let before = bytes(&store, &made);
    let bad = Memory::new(&[Layer::new().file("a", "").file("a/b", "").end()]);
    let refused = pack(&store, &[("one", &one), ("two", &bad)]);
    assert!(matches!(refused, Err(PackError::Flatten { image: 1, .. })), "{refused:?}");
    assert_eq!(bytes(&store, &made), before);
    only(dir.path(), "packs");
    only(dir.path(), "indices");
    assert!(pack(&store, &[("one", &one), ("two", &version(2))]).is_ok());
}

fn what_comes_first_is_what_is_continued() {
    let (_dir, store) = store();
    let images = [version(1), version(2), version(3)];
    let both = pack(&store, &[("a", &images[0]), ("b", &images[1])]).expect("pack");
    let of = |names: &[(&str, &Memory)]| pack(&store, names).expect("pack").based_on;
    let [a, b, c] = &images;
    let base = |basis: Option<pe_proto::catalogue::Basis>| basis.map(|it| it.pack);
    assert_eq!(base(of(&[("a", a), ("b", b), ("c", c)])), Some(both.digest));
    // In another order, at another place, or another image: nothing that they have in common.
    assert_eq!(base(of(&[("c", c), ("a", a), ("b", b)])), None);
    assert_eq!(base(of(&[("x", a), ("b", b), ("c", c)])), None);
    assert_eq!(base(of(&[("a", b), ("b", a), ("c", c)])), None);
}

fn unused_packs_go_with_their_indices_and_trees_of_former_times_too() {
    let (dir, store) = store();
    fs::create_dir_all(dir.path().join("trees/0123/usr")).expect("mkdir");
    let one = version(1);
    let made = pack(&store, &[("one", &one)]).expect("pack");
    assert!(!dir.path().join("trees").exists());
    let lock = store.lock().expect("lock");
    assert_eq!(lock.remove_unused().expect("gc"), [(made.digest, made.bytes)]);
    assert_eq!(fs::read_dir(dir.path().join("indices")).expect("list").count(), 0);
}

fn prefixes_have_as_many_directories_as_the_head_has_places() {
    let (_dir, store) = store();
    let image = Memory::new(&[Layer::new().dir("./").end()]);
    let names: Vec<String> = (0..64).map(|n| format!("{n}/{}x", "d/".repeat(13))).collect();
    let named: Vec<_> = names.iter().map(|name| (name.as_str(), &image)).collect();
    let made = pack(&store, &named).expect("pack");
    assert_eq!(Pack::open(&store.pack(made.digest)).inodes, 64 * 15 + 1);
    let deep: Vec<String> = (0..64).map(|n| format!("{n}/{}x", "d/".repeat(20))).collect();
    let named: Vec<_> = deep.iter().map(|name| (name.as_str(), &image)).collect();
    assert!(matches!(pack(&store, &named), Err(PackError::Prefix(_))));
}

pub(crate) fn all() -> Vec<Case> {
    vec![
        (
            "growing::an_image_is_added_without_the_layers_of_the_rest_and_as_if_all_were_packed_at_once",
            an_image_is_added_without_the_layers_of_the_rest_and_as_if_all_were_packed_at_once,
        ),
        (
            "growing::a_pack_whose_index_or_bytes_are_damaged_is_made_anew",
            a_pack_whose_index_or_bytes_are_damaged_is_made_anew,
        ),
        (
            "growing::an_image_that_is_refused_leaves_the_pack_that_it_should_be_added_to",
            an_image_that_is_refused_leaves_the_pack_that_it_should_be_added_to,
        ),
        ("growing::what_comes_first_is_what_is_continued", what_comes_first_is_what_is_continued),
        (
            "growing::unused_packs_go_with_their_indices_and_trees_of_former_times_too",
            unused_packs_go_with_their_indices_and_trees_of_former_times_too,
        ),
        (
            "growing::prefixes_have_as_many_directories_as_the_head_has_places",
            prefixes_have_as_many_directories_as_the_head_has_places,
        ),
    ]
}
