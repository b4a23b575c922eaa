//! Layers as no demo has them. The same tree as umoci's unless a case says otherwise.

use std::process::Command;

use pe_image::flatten::Caps;
use tar::Header;

use crate::image::{Layer, Memory, TIME};
use crate::listing::{Listing, assert_same, list};
use crate::{Case, packs, umoci};

/// Ours and umoci's, if there is one.
fn trees(layers: Vec<Layer>) -> (Listing, Option<Result<Listing, String>>) {
    // A root of its own, as all real images have.
    let mut layers = layers.into_iter();
    let first = Layer::new().dir("./").0;
    let lowest = layers.next().map(|layer| Layer([first, layer.0].concat()));
    let tars: Vec<Vec<u8>> = lowest.into_iter().chain(layers).map(Layer::end).collect();
    let memory = Memory::new(&tars);
    let (dir, _) = memory.flatten(&Caps::default()).expect("flatten");
    let ours = list(dir.path());
    packs::assert_packed("the pack of it", &memory, &ours);
    (ours, umoci::unpack(&tars))
}

/// Both are the same; returns it.
fn same(layers: Vec<Layer>) -> Listing {
    let (ours, theirs) = trees(layers);
    if let Some(theirs) = theirs {
        assert_same("umoci", &ours, &without_today(theirs.expect("umoci"), &ours));
    }
    ours
}

/// umoci leaves the time of day on directories that no entry names, and on those in which a
/// whiteout of something above removed some of their files: never the same bytes twice. What we
/// have there is said by the test that is about it.
pub(crate) fn without_today(mut theirs: Listing, ours: &Listing) -> Listing {
    const THIS_YEAR: i64 = 1_750_000_000;
    for (path, listed) in theirs.iter_mut().filter(|(_, it)| it.kind == "directory") {
        if let (Some(our), true) = (ours.get(path), listed.mtime.0 > THIS_YEAR) {
            listed.mtime = our.mtime;
        }
    }
    theirs
}

fn paths(listing: &Listing) -> Vec<&str> {
    listing.keys().map(String::as_str).collect()
}

fn whiteouts_remove_files_and_trees_of_lower_layers() {
    let it = same(vec![
        Layer::new()
            .dir("a")
            .file("a/x", "x")
            .file("a/y", "y")
            .dir("b")
            .dir("b/c")
            .file("b/c/z", "z")
            .link("l", "a"),
        Layer::new()
            .dir("a")
            .file("a/.wh.x", "")
            .file(".wh.b", "")
            .file(".wh.l", "")
            .file(".wh.none", ""),
    ]);
    assert_eq!(paths(&it), ["/", "/a", "/a/y"]);
}

fn an_opaque_directory_hides_lower_layers_only_wherever_it_stands() {
    let it = same(vec![
        Layer::new().dir("a").file("a/low", "").dir("a/d").file("a/d/low", ""),
        Layer::new()
            .dir("a")
            .file("a/first", "1")
            .dir("a/d")
            .file("a/d/up", "")
            .file("a/.wh..wh..opq", "")
            .file("a/last", "2"),
    ]);
    assert_eq!(paths(&it), ["/", "/a", "/a/d", "/a/d/up", "/a/first", "/a/last"]);
}

fn a_whiteout_spares_what_its_own_layer_brings_before_or_after() {
    let it = same(vec![
        Layer::new().dir("a").file("a/x", "low").dir("b").file("b/x", "low").file("b/y", "low"),
        Layer::new()
            .file("a/x", "new")
            .file("a/.wh.x", "")
            .dir("b")
            .file("b/x", "new")
            .file(".wh.b", ""),
        Layer::new().file("a/.wh.x", "").file("a/x", "newest"),
    ]);
    assert_eq!(paths(&it), ["/", "/a", "/a/x", "/b", "/b/x"]);
}

fn hard_links_hold_within_and_across_layers() {
    let it = same(vec![
        Layer::new().file("a", "one").hard("b", "a").hard("c", "/a").link("s", "a").hard("t", "s"),
        Layer::new().dir("d").hard("d/a", "a").hard("d/e", "./b"),
    ]);
    assert_eq!(it["/d/e"].same_as.as_deref(), Some("/a"));
    assert_eq!(it["/t"].kind, "link");
}

fn parents_that_are_links_are_followed_within_the_image() {
    let it = same(vec![
        Layer::new()
            .dir("usr")
            .dir("usr/lib")
            .link("lib", "usr/lib")
            .link("abs", "/usr")
            .link("up", "../../../usr")
            .link("usr/lib/back", "../.."),
        Layer::new()
            .file("lib/x", "1")
            .file("abs/y", "2")
            .file("up/lib/z", "3")
            .file("lib/back/top", "4")
            .file("lib/.wh.none", ""),
        Layer::new().file("lib/.wh.x", "").link("dangling", "new/place"),
    ]);
    assert!(
        it.contains_key("/usr/lib/z") && it.contains_key("/top") && !it.contains_key("/usr/lib/x")
    );
}

fn attributes_and_capabilities_are_kept() {
    let capability =
        b"\x01\x00\x00\x02\x0a\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let it = same(vec![
        Layer::new()
            .raw(
                b'0',
                b"ping",
                b"",
                0o755,
                b"p",
                &[("SCHILY.xattr.security.capability", capability)],
            )
            .raw(
                b'0',
                b"f",
                b"",
                0o644,
                b"f",
                &[("SCHILY.xattr.user.a", b"one\ntwo\0"), ("SCHILY.xattr.user.b", b"=")],
            )
            .raw(b'5', b"d", b"", 0o755, b"", &[("SCHILY.xattr.user.d", b"d")]),
    ]);
    assert_eq!(it["/ping"].xattrs.len(), 1);
    assert_eq!(it["/f"].xattrs.len(), 2);
}

fn attributes_of_other_worlds_are_left_out_and_counted() {
    let layer = Layer::new().dir("./").raw(
        b'5',
        b"d",
        b"",
        0o755,
        b"",
        &[
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"s"),
            ("SCHILY.xattr.user.kept", b"k"),
        ],
    );
    let (dir, flattened) = Memory::new(&[layer.end()]).flatten(&Caps::default()).expect("flatten");
    assert_eq!(list(dir.path())["/d"].xattrs, [(b"user.kept".to_vec(), b"k".to_vec())]);
    assert_eq!(flattened.notes.xattrs, 2);
}

fn long_names_of_each_kind_are_whole() {
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let parent = "d".repeat(150);
    let longer = format!("{parent}/{}", "g".repeat(255));
    let target = "t".repeat(1000);
    let nul = |text: &str| [text.as_bytes(), b"\0"].concat();
    same(vec![
        Layer::new()
            .raw(b'5', b"short", b"", 0o755, b"", &[("path", parent.as_bytes())])
            .raw(b'0', b"short", b"", 0o644, b"x", &[("path", long.as_bytes())])
            .raw(b'L', b"././@LongLink", b"", 0, &nul(&longer), &[])
            .raw(b'0', b"gggg", b"", 0o644, b"y", &[])
            .raw(b'2', b"pax", b"t", 0o777, b"", &[("linkpath", target.as_bytes())])
            .raw(b'K', b"././@LongLink", b"", 0, &nul(&target), &[])
            .raw(b'2', b"gnu", b"tttt", 0o777, b"", &[])
            .raw(b'1', b"hard", b"f", 0o644, b"", &[("linkpath", long.as_bytes())]),
    ]);
}

fn names_are_bytes() {
    let names: [&[u8]; 5] = [b"\xff\xfe", b"new\nline", b" ", b"\\", b"\x01\x7f"];
    let layer =
        names.iter().fold(Layer::new(), |layer, name| layer.raw(b'0', name, b"", 0o644, name, &[]));
    assert_eq!(same(vec![layer]).len(), 6);
}

fn modes_owners_and_times_are_exact() {
    let it = same(vec![
        Layer::new()
            .raw(b'0', b"suid", b"", 0o4755, b"s", &[("uid", b"70000"), ("gid", b"4000000000")])
            .raw(b'0', b"sgid", b"", 0o2711, b"s", &[("mtime", b"1500000000.123456789")])
            .raw(b'5', b"sticky", b"", 0o1777, b"", &[])
            .raw(b'5', b"closed", b"", 0o000, b"", &[])
            .raw(b'0', b"closed/file", b"", 0o000, b"c", &[("mtime", b"5")])
            .raw(b'2', b"link", b"suid", 0o777, b"", &[("uid", b"7"), ("mtime", b"99.5")])
            .raw(b'6', b"fifo", b"", 0o620, b"", &[("gid", b"5")]),
    ]);
    assert_eq!((it["/suid"].mode, it["/suid"].owner), (0o4755, (70000, 4_000_000_000)));
    assert_eq!(it["/sgid"].mtime, (1_500_000_000, 123_456_789));
    assert_eq!(it["/closed"].mtime.0, i64::try_from(TIME).expect("small"));
}

fn what_has_another_kind_is_replaced_whole() {
    let it = same(vec![
        Layer::new()
            .dir("a")
            .file("a/x", "")
            .file("b", "b")
            .link("c", "a")
            .dir("d")
            .file("d/x", "")
            .file("e", "long content"),
        Layer::new()
            .file("a", "file now")
            .dir("b")
            .file("b/y", "")
            .dir("c")
            .file("c/z", "")
            .link("d", "b")
            .file("e", "short"),
        Layer::new().dir("a").file("a/again", ""),
    ]);
    assert_eq!(paths(&it), ["/", "/a", "/a/again", "/b", "/b/y", "/c", "/c/z", "/d", "/e"]);
}

fn absolute_names_and_dots_stay_in_the_image() {
    let it = same(vec![
        Layer::new()
            .dir("/a")
            .file("/a/abs", "")
            .file("../../a/up", "")
            .file("a/./b/../dot", "")
            .file("./a//twice", "")
            .hard("a/link", "../../../a/abs"),
    ]);
    assert_eq!(paths(&it), ["/", "/a", "/a/abs", "/a/dot", "/a/link", "/a/twice", "/a/up"]);
}

fn of_duplicates_within_a_layer_the_last_counts() {
    let it = same(vec![
        Layer::new()
            .file("a", "first, long")
            .file("a", "last")
            .dir("d")
            .file("d/x", "")
            .dir("d")
            .link("l", "a")
            .link("l", "d"),
    ]);
    assert_eq!(it["/a"].bytes, 4);
    assert!(it.contains_key("/d/x"));
}

fn times_of_directories_are_what_their_last_entry_says() {
    let it = same(vec![
        Layer::new()
            .raw(b'5', b"a", b"", 0o755, b"", &[("mtime", b"100")])
            .file("a/x", "")
            .raw(b'5', b"a/b", b"", 0o755, b"", &[("mtime", b"200")])
            .file("a/b/c", ""),
        Layer::new().file("a/y", "").file("a/.wh.x", ""),
        Layer::new().raw(b'5', b"a/b", b"", 0o700, b"", &[("mtime", b"300")]).file("a/b/.wh.c", ""),
    ]);
    assert_eq!((it["/a"].mtime.0, it["/a/b"].mtime.0, it["/a/b"].mode), (100, 300, 0o700));
}

fn files_with_holes_are_whole_in_each_form() {
    let dir = tempfile::tempdir().expect("tempdir");
    let script = "truncate -s 3M f && printf begin | dd of=f conv=notrunc status=none \
        && for at in 1 2 3 5 8 13 21 34; do printf $at | dd of=f bs=64k seek=$at conv=notrunc status=none; done";
    let made = Command::new("sh").args(["-c", script]).current_dir(&dir).status().expect("sh");
    assert!(made.success());
    let content = list(dir.path())["/f"].content.clone();
    for form in ["gnu", "posix --sparse-version=0.1", "posix --sparse-version=1.0"] {
        let line = format!("tar -c --sparse --owner=0 --group=0 --mtime=@9 --format={form} f");
        let tar = Command::new("sh").args(["-c", &line]).current_dir(&dir).output().expect("tar");
        assert!(tar.stdout.len() < 200_000, "{form} is not sparse");
        let layer = Layer([Layer::new().dir("./").0, tar.stdout].concat()).0;
        let (ours, _) =
            Memory::new(std::slice::from_ref(&layer)).flatten(&Caps::default()).expect(form);
        let ours = list(ours.path());
        assert_eq!((ours["/f"].bytes, &ours["/f"].content), (3 << 20, &content), "{form}");
        match umoci::unpack(&[layer]) {
            Some(Ok(theirs)) => assert_same(form, &ours, &theirs),
            // It knows no type `S`.
            Some(Err(said)) => {
                assert!(form == "gnu" && said.contains("unknown typeflag"), "{said}");
            }
            None => {}
        }
    }
}

fn numbers_in_base_256_and_old_headers_are_read() {
    let mut big = Header::new_gnu();
    big.set_path("big").expect("path");
    big.set_mode(0o644);
    big.set_uid(1 << 30);
    big.set_gid(1 << 30);
    big.set_size(1);
    // 1960: before the epoch, in base 256.
    big.as_old_mut().mtime.copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xed\x35\x8c\x00");
    big.set_cksum();
    let mut old = Header::new_old();
    old.set_path("old/").expect("path");
    old.set_mode(0o755);
    old.set_uid(0);
    old.set_gid(0);
    old.set_size(0);
    old.set_mtime(TIME);
    old.as_old_mut().linkflag = [0];
    old.set_cksum();
    let (ours, theirs) = trees(vec![Layer::new().header(&big, b"b").header(&old, b"")]);
    assert_eq!((ours["/big"].owner, ours["/big"].mtime), ((1 << 30, 1 << 30), (0, 0)));
    assert_eq!(ours["/old"].kind, "directory");
    if let Some(Ok(mut theirs)) = theirs {
        // umoci keeps times before 1970; what an erofs holds is unsigned.
        theirs.get_mut("/big").expect("big").mtime = (0, 0);
        assert_same("umoci", &ours, &theirs);
    }
}

fn missing_parents_are_made_with_the_time_of_what_is_in_them() {
    let (ours, theirs) = trees(vec![Layer::new().file("a/b/c", "c")]);
    let time = (i64::try_from(TIME).expect("small"), 0);
    assert_eq!((ours["/a"].mtime, ours["/a/b"].mtime, ours["/a"].mode), (time, time, 0o755));
    if let Some(theirs) = theirs {
        assert_same("umoci", &ours, &without_today(theirs.expect("umoci"), &ours));
    }
}

fn devices_are_left_out_and_counted() {
    let mut null = Header::new_ustar();
    null.set_path("null").expect("path");
    null.set_entry_type(tar::EntryType::Char);
    null.set_mode(0o666);
    null.set_uid(0);
    null.set_gid(0);
    null.set_size(0);
    null.set_mtime(TIME);
    null.set_device_major(1).expect("major");
    null.set_device_minor(3).expect("minor");
    null.set_cksum();
    let layers = [
        Layer::new().dir("./").file("null", "a file").end(),
        Layer::new().header(&null, b"").end(),
    ];
    let (dir, flattened) = Memory::new(&layers).flatten(&Caps::default()).expect("flatten");
    assert_eq!((paths(&list(dir.path())), flattened.notes.devices), (vec!["/"], 1));
    if let Some(theirs) = umoci::unpack(&layers) {
        // umoci makes the node. In a guest it would mean nothing: packs are mounted nodev.
        assert_eq!(theirs.expect("umoci")["/null"].kind, "device");
    }
}

fn a_new_file_under_an_old_name_leaves_the_other_names_alone() {
    let (ours, theirs) =
        trees(vec![Layer::new().file("a", "old").hard("b", "a"), Layer::new().file("a", "new")]);
    assert_ne!(ours["/a"].content, ours["/b"].content);
    assert_eq!(ours["/b"].same_as, None);
    if let Some(theirs) = theirs {
        assert_same("umoci", &ours, &theirs.expect("umoci"));
    }
}

pub(crate) fn all() -> Vec<Case> {
    vec![
        (
            "cases::whiteouts_remove_files_and_trees_of_lower_layers",
            whiteouts_remove_files_and_trees_of_lower_layers,
        ),
        (
            "cases::an_opaque_directory_hides_lower_layers_only_wherever_it_stands",
            an_opaque_directory_hides_lower_layers_only_wherever_it_stands,
        ),
        (
            "cases::a_whiteout_spares_what_its_own_layer_brings_before_or_after",
            a_whiteout_spares_what_its_own_layer_brings_before_or_after,
        ),
        (
            "cases::hard_links_hold_within_and_across_layers",
            hard_links_hold_within_and_across_layers,
        ),
        (
            "cases::parents_that_are_links_are_followed_within_the_image",
            parents_that_are_links_are_followed_within_the_image,
        ),
        ("cases::attributes_and_capabilities_are_kept", attributes_and_capabilities_are_kept),
        (
            "cases::attributes_of_other_worlds_are_left_out_and_counted",
            attributes_of_other_worlds_are_left_out_and_counted,
        ),
        ("cases::long_names_of_each_kind_are_whole", long_names_of_each_kind_are_whole),
        ("cases::names_are_bytes", names_are_bytes),
        ("cases::modes_owners_and_times_are_exact", modes_owners_and_times_are_exact),
        ("cases::what_has_another_kind_is_replaced_whole", what_has_another_kind_is_replaced_whole),
        (
            "cases::absolute_names_and_dots_stay_in_the_image",
            absolute_names_and_dots_stay_in_the_image,
        ),
        (
            "cases::of_duplicates_within_a_layer_the_last_counts",
            of_duplicates_within_a_layer_the_last_counts,
        ),
        (
            "cases::times_of_directories_are_what_their_last_entry_says",
            times_of_directories_are_what_their_last_entry_says,
        ),
        ("cases::files_with_holes_are_whole_in_each_form", files_with_holes_are_whole_in_each_form),
        (
            "cases::numbers_in_base_256_and_old_headers_are_read",
            numbers_in_base_256_and_old_headers_are_read,
        ),
        (
            "cases::missing_parents_are_made_with_the_time_of_what_is_in_them",
            missing_parents_are_made_with_the_time_of_what_is_in_them,
        ),
        ("cases::devices_are_left_out_and_counted", devices_are_left_out_and_counted),
        (
            "cases::a_new_file_under_an_old_name_leaves_the_other_names_alone",
            a_new_file_under_an_old_name_leaves_the_other_names_alone,
        ),
    ]
}
