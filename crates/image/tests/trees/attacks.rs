//! Threat cases 28 and 29: layers that were made to do harm.

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use pe_image::flatten::{Cap, Caps, FlattenError, LayerError};
use pe_image::{Descriptor, OciImage, Packing, Source, SourceError};
use pe_proto::{Arch, Digest};
use tar::Header;

use crate::Case;
use crate::image::{Layer, Memory, pack};
use crate::listing::list;

const MIB: u64 = 1024 * 1024;

fn refusal(memory: &Memory, caps: &Caps) -> LayerError {
    match memory.flatten(caps) {
        Err(FlattenError::Layer { source, .. }) => source,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

fn cap_of(memory: &Memory, caps: &Caps) -> Cap {
    let refused = refusal(memory, caps);
    let LayerError::Cap { cap, .. } = refused else { panic!("{refused:?}") };
    cap
}

/// A compressed file of zeros, as one entry or as what follows the end of the archive.
fn zeros(bytes: u64, is_entry: bool, packing: Packing) -> Memory {
    let mut header = Header::new_ustar();
    header.set_path("zeros").expect("path");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(if is_entry { bytes } else { 0 });
    header.set_cksum();
    let layer = header.as_bytes().chain(std::io::repeat(0).take(bytes + 1024));
    let packed = match packing {
        Packing::Zstd => zstd::encode_all(layer, 1).expect("zstd"),
        Packing::Gzip | Packing::Plain => {
            let mut layer = layer;
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::copy(&mut layer, &mut gzip).expect("gzip");
            gzip.finish().expect("gzip")
        }
    };
    Memory::packed([(Digest([0; 32]), packed, packing)])
}

fn case_28_a_compression_bomb_is_refused_by_the_cap_it_reaches() {
    let caps = Caps { unpacked_bytes: 32 * MIB, ..Caps::default() };
    for packing in [Packing::Gzip, Packing::Zstd] {
        for is_entry in [true, false] {
            let bomb = zeros(128 * MIB, is_entry, packing);
            assert!(bomb.image.layers[0].bytes < 2 * MIB);
            assert_eq!(cap_of(&bomb, &caps), Cap::UnpackedBytes);
        }
    }
}

fn case_28_layers_are_counted_together() {
    let layer = Layer::new().raw(b'0', b"a", b"", 0o644, &vec![7; 600 * 1024], &[]).end();
    let caps = Caps { unpacked_bytes: MIB, ..Caps::default() };
    let one = Memory::new(std::slice::from_ref(&layer));
    assert!(one.flatten(&caps).is_ok());
    assert_eq!(cap_of(&Memory::new(&[layer.clone(), layer]), &caps), Cap::UnpackedBytes);
}

fn case_28_holes_count_as_if_they_were_zeros() {
    let dir = tempfile::tempdir().expect("tempdir");
    let line = "truncate -s 900M f && tar -c --sparse --format=gnu f";
    let tar = Command::new("sh").args(["-c", line]).current_dir(&dir).output().expect("tar").stdout;
    assert!(tar.len() < 100_000);
    let caps = Caps { unpacked_bytes: 100 * MIB, ..Caps::default() };
    assert_eq!(cap_of(&Memory::new(&[tar]), &caps), Cap::UnpackedBytes);
}

fn case_28_inodes_paths_and_attributes_have_caps_of_their_own() {
    let caps = Caps { inodes: 100, ..Caps::default() };
    let many = (0..200).fold(Layer::new(), |layer, n| layer.file(&format!("f{n}"), "")).end();
    assert_eq!(cap_of(&Memory::new(&[many]), &caps), Cap::Inodes);
    let again = (0..200).fold(Layer::new(), |layer, _| layer.file("f", "")).end();
    assert_eq!(cap_of(&Memory::new(&[again]), &caps), Cap::Inodes);

    let deep = "d/".repeat(500);
    let deep = Layer::new().raw(b'5', b"d", b"", 0o755, b"", &[("path", deep.as_bytes())]).end();
    assert_eq!(cap_of(&Memory::new(&[deep]), &Caps::default()), Cap::PathDepth);
    let long = ["n".repeat(200).as_str(); 20].join("/");
    let long = Layer::new().raw(b'5', b"d", b"", 0o755, b"", &[("path", long.as_bytes())]).end();
    assert_eq!(cap_of(&Memory::new(&[long]), &Caps::default()), Cap::PathBytes);

    let large = vec![b'v'; 10_000];
    let large =
        Layer::new().raw(b'0', b"f", b"", 0o644, b"", &[("SCHILY.xattr.user.x", &large)]).end();
    assert_eq!(cap_of(&Memory::new(&[large]), &Caps::default()), Cap::XattrBytes);
    let text = vec![b'c'; 2 << 20];
    let text = Layer::new().raw(b'0', b"f", b"", 0o644, b"", &[("comment", &text)]).end();
    assert_eq!(cap_of(&Memory::new(&[text]), &Caps::default()), Cap::ExtensionBytes);
}

fn case_28_time_has_a_cap() {
    let caps = Caps { wall_seconds: 1, ..Caps::default() };
    let slow = Slow(Memory::new(&[Layer::new().file("f", "").end()]));
    let dir = tempfile::tempdir().expect("tempdir");
    let owners = pe_image::confined::Owners::possible().expect("owners");
    let refused =
        pe_image::flatten::flatten(&slow.0.image, &slow, dir.path(), &caps, owners, &mut |_, _| ());
    let said = format!("{:?}", refused.expect_err("late"));
    assert!(said.contains("WallSeconds"), "{said}");
}

/// Never ends.
struct Slow(Memory);

impl Source for Slow {
    fn image(&self, arch: Arch) -> Result<OciImage, SourceError> {
        self.0.image(arch)
    }

    fn open(&self, _: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        // Empty members of a gzip, one after the other.
        Ok(Box::new(Endless(pack(b"", Packing::Gzip))))
    }
}

struct Endless(Vec<u8>);

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let mut at = 0;
        for chunk in into.chunks_exact_mut(self.0.len()) {
            chunk.copy_from_slice(&self.0);
            at += self.0.len();
        }
        Ok(at)
    }
}

fn case_28_nothing_outside_the_tree_is_touched() {
    let outside = tempfile::tempdir().expect("tempdir");
    let victim = outside.path().join("victim");
    fs::write(&victim, "whole").expect("write");
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o701)).expect("mode");
    let before = list(outside.path());
    let to = outside.path().to_str().expect("text");
    let up = format!("{}{to}", "../".repeat(40));
    let layers = [
        // A directory's mode through a link (RUSTSEC-2026-0067), by absolute and relative ways.
        Layer::new()
            .dir("./")
            .link("abs", to)
            .link("rel", &up)
            .link("file", &format!("{to}/victim")),
        Layer::new().raw(b'5', b"abs", b"", 0o777, b"", &[]).raw(
            b'5',
            b"rel/",
            b"",
            0o777,
            b"",
            &[],
        ),
        Layer::new().link("abs", to).link("rel", &up).file("abs/new", "n").file("rel/victim", "n"),
        Layer::new()
            .file("abs/.wh.victim", "")
            .file("rel/.wh..wh..opq", "")
            .file("file", "through"),
        Layer::new().file(&format!("{up}/victim"), "dots").hard("mine", &format!("{up}/victim")),
    ];
    let tars: Vec<Vec<u8>> = layers.into_iter().map(Layer::end).collect();
    let (dir, _) = Memory::new(&tars).flatten(&Caps::default()).expect("flatten");
    assert_eq!(list(outside.path()), before);
    // What was meant for there is in the image, where a program in it would look.
    let inside = list(dir.path());
    assert!(inside.contains_key(&format!("{to}/victim")), "{:?}", inside.keys());
    // Nothing of the host is there to be linked to.
    let stolen = Layer::new().hard("shadow", "/etc/shadow").end();
    assert!(matches!(refusal(&Memory::new(&[stolen]), &Caps::default()), LayerError::Entry { .. }));
}

fn case_28_entries_that_cannot_be_are_refused() {
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("below a file", Layer::new().file("a", "").file("a/b", "").end()),
        ("a loop of links", Layer::new().link("a", "b").link("b", "a").file("a/x", "").end()),
        ("a whiteout of dots", Layer::new().file("a/.wh...", "").end()),
        ("a whiteout of itself", Layer::new().file("a/.wh..", "").end()),
        ("a whiteout of nothing", Layer::new().file("a/.wh.", "").end()),
        ("a link to itself", Layer::new().hard("a", "a").end()),
        ("a hard link to a directory", Layer::new().dir("a").hard("b", "a").end()),
        ("a root that is a file", Layer::new().file("./", "").end()),
        ("an unknown kind", Layer::new().raw(b'?', b"a", b"", 0, b"", &[]).end()),
        (
            "a name with a NUL",
            Layer::new().raw(b'0', b"a", b"", 0o644, b"", &[("path", b"a\0b")]).end(),
        ),
        (
            "a size that lies",
            Layer::new().raw(b'0', b"a", b"", 0o644, b"xx", &[("size", b"9999999")]).end(),
        ),
        (
            "a negative size",
            Layer::new().raw(b'0', b"a", b"", 0o644, b"", &[("size", b"-1")]).end(),
        ),
        ("cut in a header", Layer::new().file("a", "").0[..300].to_vec()),
        ("cut in a body", Layer::new().file("a", "aaaa").0[..514].to_vec()),
        ("no tar", vec![b'x'; 4096]),
    ];
    for (what, layer) in bad {
        let refused = refusal(&Memory::new(&[layer]), &Caps::default());
        assert!(
            matches!(refused, LayerError::Entry { .. } | LayerError::Tar(_)),
            "{what}: {refused}"
        );
    }
}

fn case_28_a_size_in_a_pax_header_is_the_size_and_nothing_hides_behind_it() {
    // A reader that believes the plain header would find an entry in the body
    // (RUSTSEC-2026-0068, CVE-2025-62518).
    let hidden = Layer::new().file("hidden", "").0;
    let length = hidden.len().to_string();
    let mut layer =
        Layer::new().dir("./").raw(b'0', b"a", b"", 0o644, b"", &[("size", length.as_bytes())]).0;
    layer.extend(&hidden);
    let layer = Layer(layer).file("after", "").end();
    let (dir, _) =
        Memory::new(std::slice::from_ref(&layer)).flatten(&Caps::default()).expect("flatten");
    let ours = list(dir.path());
    assert_eq!(ours.keys().collect::<Vec<_>>(), ["/", "/a", "/after"]);
    if let Some(theirs) = crate::umoci::unpack(&[layer]) {
        crate::listing::assert_same("umoci", &ours, &theirs.expect("umoci"));
    }
}

fn case_28_bytes_that_are_not_those_of_the_config_are_refused() {
    let layer = Layer::new().file("a", "a").end();
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let other = Memory::packed([(Digest([1; 32]), pack(&layer, packing), packing)]);
        assert_eq!(refusal(&other, &Caps::default()), LayerError::DiffId);
    }
    let mut broken = pack(&layer, Packing::Gzip);
    let middle = broken.len() / 2;
    broken[middle] ^= 0xff;
    let broken = Memory::packed([(Digest::of(&layer), broken, Packing::Gzip)]);
    assert!(!matches!(refusal(&broken, &Caps::default()), LayerError::Host(_)));
    // What follows the archive belongs to the layer, too.
    let longer = Memory::new(&[[layer, b"more".to_vec()].concat()]);
    assert!(longer.flatten(&Caps::default()).is_ok());
}

fn case_28_memory_is_bounded_whatever_the_size_of_a_layer() {
    let mut layer = Layer::new().dir("./");
    let body = vec![b'x'; 3000];
    for n in 0..20_000 {
        layer = layer.raw(
            b'0',
            format!("d{}/{n}", n % 300).as_bytes(),
            b"",
            0o644,
            &body[..n % 3000],
            &[],
        );
    }
    let (_dir, flattened) = Memory::new(&[layer.end()]).flatten(&Caps::default()).expect("flatten");
    assert_eq!(flattened.cost.inodes, 20_300);
    assert!(flattened.notes.memory_bytes < 64 * MIB, "{:?}", flattened.notes);
    // And if it were not, it would end: a window that zstd may want is larger than what there is.
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 19).expect("zstd");
    zstd.window_log(27).expect("window");
    zstd.long_distance_matching(true).expect("long");
    zstd.write_all(&vec![0; 300 << 10]).expect("zstd");
    let wide = Memory::packed([(Digest([0; 32]), zstd.finish().expect("zstd"), Packing::Zstd)]);
    assert!(matches!(refusal(&wide, &Caps::default()), LayerError::Packing(_)));
}

fn case_28_layers_are_unpacked_by_a_process_that_can_do_little_else() {
    let dir = tempfile::tempdir().expect("tempdir");
    let watched = Watched {
        memory: Memory::new(&[Layer::new().file("a", "").end()]),
        dir: dir.path().to_owned(),
        seen: Mutex::default(),
    };
    let owners = pe_image::confined::Owners::possible().expect("owners");
    let image = &watched.memory.image;
    pe_image::flatten::flatten(
        image,
        &watched,
        dir.path(),
        &Caps::default(),
        owners,
        &mut |_, _| (),
    )
    .expect("flatten");
    let seen = watched.seen.into_inner().expect("seen");
    let has = |line: &str| assert!(seen.contains(line), "no `{line}` in\n{seen}");
    has("Seccomp:\t2");
    has("NoNewPrivs:\t1");
    // Change of owner, access, set-id bits, capabilities of files; nothing else.
    has("CapPrm:\t000000008000001b");
    has(&format!("root {}", dir.path().display()));
    has("Max core file size        0 ");
    has("Max data size             67108864 ");
    has("network apart");
}

/// Looks at the process that reads from it, once that is confined.
struct Watched {
    memory: Memory,
    /// Where it works; other tests have such processes too.
    dir: PathBuf,
    seen: Mutex<String>,
}

impl Source for Watched {
    fn image(&self, arch: Arch) -> Result<OciImage, SourceError> {
        self.memory.image(arch)
    }

    fn open(&self, layer: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let mine = format!("PPid:\t{}\n", std::process::id());
        let status = |pid: &Path| fs::read_to_string(pid.join("status")).unwrap_or_default();
        // It is there by now, and is confined before it reads.
        let begun = std::time::Instant::now();
        while begun.elapsed().as_secs() < 60 {
            let all = fs::read_dir("/proc").expect("proc").map(|it| it.expect("entry").path());
            for pid in all.filter(|pid| status(pid).contains(&mine)) {
                let text = status(&pid);
                let root = fs::read_link(pid.join("root")).unwrap_or_default();
                if !text.contains("Seccomp:\t2")
                    || root != self.dir
                    || !text.contains("Name:\ttrees")
                {
                    continue;
                }
                let limits = fs::read_to_string(pid.join("limits")).unwrap_or_default();
                let net = |pid: &Path| fs::read_link(pid.join("ns/net")).unwrap_or_default();
                let apart =
                    if net(&pid) == net(Path::new("/proc/self")) { "shared" } else { "apart" };
                let seen = format!("{text}root {}\n{limits}network {apart}\n", root.display());
                *self.seen.lock().expect("lock") = seen;
                return self.memory.open(layer);
            }
            std::thread::yield_now();
        }
        panic!("no confined process");
    }
}

fn case_29_no_file_system_of_strangers_is_mounted_by_the_host() {
    // An erofs in a layer is a file like any other, and the table of mounts stays as it is.
    let dir = tempfile::tempdir().expect("tempdir");
    fs::create_dir(dir.path().join("tree")).expect("mkdir");
    let made =
        Command::new("mkfs.erofs").args(["--quiet", "it", "tree"]).current_dir(&dir).status();
    assert!(made.expect("mkfs.erofs").success());
    let erofs = fs::read(dir.path().join("it")).expect("read");
    let mounts = || fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let before = mounts();
    let layer = Layer::new().dir("./").raw(b'0', b"image.erofs", b"", 0o644, &erofs, &[]).end();
    let (tree, _) = Memory::new(&[layer]).flatten(&Caps::default()).expect("flatten");
    assert_eq!(list(tree.path())["/image.erofs"].content, Digest::of(&erofs).hex());
    assert_eq!(mounts(), before);
    // Nothing of the host that mounts anything names the type of file system that packs are.
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for host in ["cli", "image", "lb", "worker"] {
        let mut dirs = vec![crates.join(host).join("src")];
        while let Some(dir) = dirs.pop() {
            for path in fs::read_dir(dir).expect("list").map(|it| it.expect("entry").path()) {
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let text =
                        String::from_utf8_lossy(&fs::read(&path).expect("read")).into_owned();
                    let mounts_one = text.contains("\"erofs\"") && text.contains("mount");
                    assert!(!mounts_one, "{} mounts one", path.display());
                }
            }
        }
    }
}

pub(crate) fn all() -> Vec<Case> {
    vec![
        (
            "attacks::case_28_a_compression_bomb_is_refused_by_the_cap_it_reaches",
            case_28_a_compression_bomb_is_refused_by_the_cap_it_reaches,
        ),
        ("attacks::case_28_layers_are_counted_together", case_28_layers_are_counted_together),
        (
            "attacks::case_28_holes_count_as_if_they_were_zeros",
            case_28_holes_count_as_if_they_were_zeros,
        ),
        (
            "attacks::case_28_inodes_paths_and_attributes_have_caps_of_their_own",
            case_28_inodes_paths_and_attributes_have_caps_of_their_own,
        ),
        ("attacks::case_28_time_has_a_cap", case_28_time_has_a_cap),
        (
            "attacks::case_28_nothing_outside_the_tree_is_touched",
            case_28_nothing_outside_the_tree_is_touched,
        ),
        (
            "attacks::case_28_entries_that_cannot_be_are_refused",
            case_28_entries_that_cannot_be_are_refused,
        ),
        (
            "attacks::case_28_a_size_in_a_pax_header_is_the_size_and_nothing_hides_behind_it",
            case_28_a_size_in_a_pax_header_is_the_size_and_nothing_hides_behind_it,
        ),
        (
            "attacks::case_28_bytes_that_are_not_those_of_the_config_are_refused",
            case_28_bytes_that_are_not_those_of_the_config_are_refused,
        ),
        (
            "attacks::case_28_memory_is_bounded_whatever_the_size_of_a_layer",
            case_28_memory_is_bounded_whatever_the_size_of_a_layer,
        ),
        (
            "attacks::case_28_layers_are_unpacked_by_a_process_that_can_do_little_else",
            case_28_layers_are_unpacked_by_a_process_that_can_do_little_else,
        ),
        (
            "attacks::case_29_no_file_system_of_strangers_is_mounted_by_the_host",
            case_29_no_file_system_of_strangers_is_mounted_by_the_host,
        ),
    ]
}
