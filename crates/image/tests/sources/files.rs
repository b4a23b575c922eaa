//! Layouts and archives made by hand.

use std::io::{Read as _, Write as _};
use std::path::Path;

use pe_image::source::registry::Settings;
use pe_image::source::registry::policy::Policy;
use pe_image::source::{self, BadArchive, BadDocument, Part};
use pe_image::{OciImage, Packing, Source, SourceError};
use pe_proto::{Arch, Digest};
use serde_json::{Value, json};

use super::made::{INDEX, MANIFEST, Made, descriptor, index, text};

/// Opens a source by its name, as the command line does.
pub(crate) fn open(name: &str) -> Result<Box<dyn Source>, SourceError> {
    source::open(&name.parse().expect("a name"), &Settings::new(Policy::default()))
}

pub(crate) fn image(name: &str) -> Result<OciImage, SourceError> {
    open(name)?.image(Arch::X86_64)
}

/// All layers, read to their ends.
pub(crate) fn layers(source: &dyn Source, image: &OciImage) -> std::io::Result<Vec<Vec<u8>>> {
    let read = |layer| {
        let mut bytes = Vec::new();
        source.open(layer).map_err(std::io::Error::other)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    image.layers.iter().map(read).collect()
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn layout_of(dir: &Path) -> String {
    format!("oci:{}", dir.display())
}

/// A tar of all files of a directory, as `tar -C dir -c .` writes it.
fn tar_of(dir: &Path, file: &Path) {
    let mut tar = tar::Builder::new(std::fs::File::create(file).expect("a file"));
    tar.append_dir_all(".", dir).expect("a tar");
    tar.finish().expect("a tar");
}

#[test]
fn a_layout_and_a_tar_of_it_give_the_same_image() {
    let (dir, made) = (dir(), Made::image("amd64", &[b"lower", b"upper"]));
    let layout = dir.path().join("layout");
    made.write(&layout, &made.index());
    let tar = dir.path().join("layout.tar");
    tar_of(&layout, &tar);
    for name in [
        layout_of(&layout),
        layout.display().to_string(),
        format!("oci-archive:{}", tar.display()),
        tar.display().to_string(),
    ] {
        let source = open(&name).expect("a source");
        let image = source.image(Arch::X86_64).expect("an image");
        assert_eq!(image.manifest, Digest::of(&made.manifest), "{name}");
        assert_eq!(image.config.entrypoint, ["/bin/sh"]);
        assert_eq!(image.config.cmd, Vec::<String>::new());
        assert_eq!(image.config.env, ["PATH=/bin"]);
        assert_eq!((image.config.workdir.as_str(), image.config.user.as_str()), ("/w", "1000"));
        assert_eq!(image.labels["org.opencontainers.image.title"], "Made");
        assert_eq!(image.diff_ids, [Digest::of(b"lower"), Digest::of(b"upper")]);
        assert_eq!(image.layers[1].packing, Packing::Plain);
        assert_eq!(layers(&*source, &image).expect("layers"), made.layers);
    }
}

#[test]
fn the_image_for_an_architecture_is_found_in_an_index() {
    let dir = dir();
    let (x86, arm) = (Made::image("amd64", &[b"x86"]), Made::image("arm64", &[b"arm"]));
    let entry = |made: &Made, platform: Value| {
        let mut entry = descriptor(MANIFEST, &made.manifest);
        entry["platform"] = platform;
        entry
    };
    let entries = vec![
        entry(&x86, json!({"os": "windows", "architecture": "amd64"})),
        entry(&x86, json!({"os": "unknown", "architecture": "unknown"})),
        entry(&x86, json!({"os": "linux", "architecture": "amd64", "variant": "v3"})),
        entry(&arm, json!({"os": "linux", "architecture": "arm64", "variant": "v8"})),
        entry(&x86, json!({"os": "linux", "architecture": "amd64"})),
    ];
    let inner = index(entries.clone());
    let mut all = x86.clone();
    all.blobs.extend(arm.blobs.clone());
    all.add(MANIFEST, &arm.manifest);
    all.add(INDEX, &text(&inner));
    // Both are usual: `index.json` names an index, or is the index.
    for top in [index(vec![descriptor(INDEX, &text(&inner))]), inner] {
        all.write(dir.path(), &top);
        let source = open(&layout_of(dir.path())).expect("a layout");
        for (arch, made) in [(Arch::X86_64, &x86), (Arch::Aarch64, &arm)] {
            let image = source.image(arch).expect("an image");
            assert_eq!((image.arch, image.manifest), (arch, Digest::of(&made.manifest)));
        }
        match source.image(Arch::Riscv64) {
            Err(SourceError::NoPlatform { there, .. }) => {
                assert_eq!(there, "windows/amd64, linux/amd64/v3, linux/arm64/v8, linux/amd64");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_image_of_several_in_a_layout_is_named() {
    let dir = dir();
    let (one, two) = (Made::image("amd64", &[b"one"]), Made::image("amd64", &[b"two"]));
    let named = |made: &Made, name: &str| {
        let mut entry = descriptor(MANIFEST, &made.manifest);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        entry
    };
    one.write(dir.path(), &json!({}));
    two.write(dir.path(), &index(vec![named(&one, "one"), named(&two, "two:2")]));
    let layout = layout_of(dir.path());
    let found = image(&format!("{layout}:two:2")).expect("an image");
    assert_eq!(found.manifest, Digest::of(&two.manifest));
    for (name, wanted) in [(layout.clone(), None), (format!("{layout}:x"), Some("x".to_owned()))] {
        match image(&name) {
            Err(SourceError::Which { wanted: found, there, .. }) => {
                assert_eq!((found, there.as_str()), (wanted, "one, two:2"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn case_27_bytes_that_are_not_those_that_were_named_are_refused() {
    let dir = dir();
    let made = Made::image("amd64", &[b"lower"]);
    let layout = layout_of(dir.path());
    let blob = |bytes: &[u8]| dir.path().join("blobs/sha256").join(Digest::of(bytes).hex());
    // A manifest of the right length, and one that is longer.
    for bad in [made.manifest.iter().rev().copied().collect(), [&made.manifest[..], b" "].concat()]
    {
        made.write(dir.path(), &made.index());
        std::fs::write(blob(&made.manifest), bad).expect("a file");
        match image(&layout) {
            Err(SourceError::Document { part: Part::Manifest, why }) => {
                assert!(matches!(*why, BadDocument::Bytes(_)), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    // A config.
    made.write(dir.path(), &made.index());
    let config: Value = serde_json::from_slice(&made.manifest).expect("JSON");
    let config = config["config"]["digest"].as_str().expect("a digest").to_owned();
    let config = dir.path().join("blobs/sha256").join(config.trim_start_matches("sha256:"));
    std::fs::write(&config, "{}").expect("a file");
    let found = image(&layout);
    assert!(matches!(found, Err(SourceError::Document { part: Part::Config, .. })), "{found:?}");
    // Layers are only seen to be wrong when they are read.
    for bad in [&b"lowes"[..], b"lowe", b"lower and more"] {
        made.write(dir.path(), &made.index());
        std::fs::write(blob(b"lower"), bad).expect("a file");
        let source = open(&layout).expect("a layout");
        let image = source.image(Arch::X86_64).expect("an image");
        let error = layers(&*source, &image).expect_err("refused");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    }
}

#[test]
fn case_27_indexes_are_not_nested_and_configs_agree_with_manifests() {
    let dir = dir();
    let mut made = Made::image("amd64", &[b"x"]);
    let layout = layout_of(dir.path());
    let inner = text(&made.index());
    made.add(INDEX, &inner);
    let middle = text(&index(vec![descriptor(INDEX, &inner)]));
    made.add(INDEX, &middle);
    made.write(dir.path(), &index(vec![descriptor(INDEX, &middle)]));
    assert!(matches!(image(&layout), Err(SourceError::Nested)));
    // Itself, under a digest that it cannot have.
    let loop_entry =
        json!({"mediaType": INDEX, "digest": Digest::of(&inner), "size": inner.len() + 1});
    made.write(dir.path(), &index(vec![loop_entry]));
    assert!(matches!(image(&layout), Err(SourceError::Document { part: Part::Manifest, .. })));
    // More layers than the config knows, and another architecture than was asked for.
    let extra = Made::image("amd64", &[b"x"]).with(|manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"].as_array_mut().expect("a list").push(layer);
    });
    for bad in [extra, Made::image("riscv64", &[b"x"])] {
        bad.write(dir.path(), &bad.index());
        let found = image(&layout);
        let config = matches!(&found, Err(SourceError::Document { part: Part::Config, why })
            if matches!(**why, BadDocument::Content(_)));
        assert!(config, "{found:?}");
    }
}

#[test]
fn a_layout_of_fifos_links_and_endless_files_neither_hangs_nor_leads_out() {
    let dir = dir();
    let made = Made::image("amd64", &[b"lower"]);
    let layout = layout_of(dir.path());
    made.write(dir.path(), &made.index());
    let index = dir.path().join("index.json");
    let check = |what: &str| match image(&layout) {
        Err(SourceError::File { path, .. }) if path == index => {}
        Err(SourceError::Limit { what: "bytes of index.json", .. }) if what == "large" => {}
        other => panic!("{what}: {other:?}"),
    };
    std::fs::remove_file(&index).expect("a file");
    check("absent");
    nix::unistd::mkfifo(&index, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    check("fifo");
    std::fs::remove_file(&index).expect("a file");
    std::os::unix::fs::symlink("/etc/passwd", &index).expect("a link");
    check("link");
    std::fs::remove_file(&index).expect("a file");
    let large = std::fs::File::create(&index).expect("a file");
    large.set_len(1 << 40).expect("a sparse file");
    check("large");
}

/// A tar of what `docker save` writes.
fn docker_tar(file: &Path, manifest: &Value, files: &[(&str, &[u8])], links: &[(&str, &str)]) {
    let mut tar = tar::Builder::new(std::fs::File::create(file).expect("a file"));
    let add = |tar: &mut tar::Builder<std::fs::File>, name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).expect("a tar");
    };
    for (name, bytes) in files {
        add(&mut tar, name, bytes);
    }
    for (name, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, name, target).expect("a tar");
    }
    add(&mut tar, "manifest.json", &text(manifest));
    tar.finish().expect("a tar");
}

fn docker_config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    text(&json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}}))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

#[test]
fn what_docker_saves_is_read_with_its_links_and_packed_layers() {
    let dir = dir();
    let file = dir.path().join("saved.tar");
    let config = docker_config(&[b"lower", b"upper", b"lower"]);
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let packed = gzip(b"upper");
    let manifest = json!([{"Config": config_name, "RepoTags": ["made:1"],
        "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]}]);
    let files: &[(&str, &[u8])] =
        &[(&config_name, &config), ("a/layer.tar", b"lower"), ("b/layer.tar", &packed)];
    docker_tar(&file, &manifest, files, &[("c/layer.tar", "../a/layer.tar")]);
    for name in [
        file.display().to_string(),
        format!("docker-archive:{}", file.display()),
        format!("docker-archive:{}:made:1", file.display()),
    ] {
        let source = open(&name).expect("a source");
        let image = source.image(Arch::X86_64).expect("an image");
        let packings: Vec<Packing> = image.layers.iter().map(|layer| layer.packing).collect();
        assert_eq!(packings, [Packing::Plain, Packing::Gzip, Packing::Plain]);
        let read = layers(&*source, &image).expect("layers");
        assert_eq!(read, [b"lower".to_vec(), packed.clone(), b"lower".to_vec()]);
    }
    let other = image(&format!("docker-archive:{}:made:2", file.display()));
    assert!(matches!(other, Err(SourceError::Which { .. })), "{other:?}");
}

#[test]
fn case_27_archives_that_lie_are_refused() {
    let dir = dir();
    let file = dir.path().join("saved.tar");
    let name = file.display().to_string();
    let config = docker_config(&[b"lower"]);
    let listed = |config: &str, layers: Value| json!([{"Config": config, "RepoTags": null, "Layers": layers}]);
    // A config that is not what its name says.
    let wrong = format!("{}.json", Digest::of(b"another").hex());
    let files: &[(&str, &[u8])] = &[(&wrong, &config), ("l.tar", b"lower")];
    docker_tar(&file, &listed(&wrong, json!(["l.tar"])), files, &[]);
    assert!(matches!(image(&name), Err(SourceError::Document { part: Part::Config, .. })));
    // No layers; one that is not there; one that is a link to nowhere or out of the archive.
    let files: &[(&str, &[u8])] = &[("c.json", &config), ("l.tar", b"other")];
    docker_tar(&file, &listed("c.json", json!([])), files, &[]);
    assert!(matches!(image(&name), Err(SourceError::Document { part: Part::DockerIndex, .. })));
    let links = [("m.tar", "../../etc/passwd"), ("n.tar", "/etc/passwd"), ("o.tar", "o.tar")];
    for layer in ["m.tar", "n.tar", "o.tar", "p.tar", "/etc/passwd", "../l.tar"] {
        docker_tar(&file, &listed("c.json", json!([layer])), files, &links);
        match image(&name) {
            Err(SourceError::Archive { why: BadArchive::Missing(path), .. }) => {
                assert_eq!(path, layer);
            }
            other => panic!("{layer}: {other:?}"),
        }
    }
    // A layer that is not the one of the config.
    docker_tar(&file, &listed("c.json", json!(["l.tar"])), files, &[]);
    let source = open(&name).expect("an archive");
    let found = source.image(Arch::X86_64).expect("an image");
    let error = layers(&*source, &found).expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    // A file twice.
    let files: &[(&str, &[u8])] = &[("c.json", &config), ("c.json", b"{}")];
    docker_tar(&file, &listed("c.json", json!(["l.tar"])), files, &[]);
    let found = image(&name);
    assert!(
        matches!(found, Err(SourceError::Archive { why: BadArchive::Twice(_), .. })),
        "{found:?}"
    );
    // Packed as a whole, no tar at all, and names that are as long as the file.
    std::fs::write(&file, gzip(b"tar")).expect("a file");
    assert!(matches!(
        image(&name),
        Err(SourceError::Archive { why: BadArchive::Packed("gzip"), .. })
    ));
    std::fs::write(&file, vec![b'x'; 4096]).expect("a file");
    assert!(matches!(image(&name), Err(SourceError::Archive { why: BadArchive::Tar(_), .. })));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_path("././@LongLink").expect("a name");
    header.set_size(1 << 40);
    header.set_cksum();
    std::fs::write(&file, header.as_bytes()).expect("a file");
    let sparse = std::fs::OpenOptions::new().write(true).open(&file).expect("a file");
    sparse.set_len((1 << 40) + 2048).expect("a sparse file");
    let found = image(&name);
    assert!(
        matches!(found, Err(SourceError::Archive { why: BadArchive::Tar(_), .. })),
        "{found:?}"
    );
}
