//! `pe image`: a layout made by hand into a store, and out of it again.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use pe_proto::Digest;
use serde_json::{Value, json};

use crate::{bare_pe, output, texts};

pub(crate) fn image(args: &[&str]) -> Command {
    let mut pe = bare_pe();
    pe.env_remove("PE_IMAGES").env_remove("PE_REGISTRIES").env_remove("REGISTRY_AUTH_FILE");
    pe.arg("image").args(args);
    pe
}

/// A tar with one small file.
fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &[u8]| {
        header.iter_mut().skip(at).zip(text).for_each(|(byte, letter)| *byte = *letter);
    };
    put(0, name.as_bytes());
    put(100, b"0000755\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", bytes.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    header.iter_mut().skip(148).zip(sum.bytes()).for_each(|(byte, letter)| *byte = letter);
    let mut tar = header.to_vec();
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

/// A layout of one image for x86_64.
pub(crate) fn layout(dir: &Path, content: &[u8], labels: &Value) -> String {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a directory");
    let blob = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).expect("a file");
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    };
    let layer = tar("hello", content);
    let config = json!({"architecture": "amd64", "os": "linux",
        "config": {"Cmd": ["/hello"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}});
    let manifest = json!({"schemaVersion": 2,
        "config": blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar", &layer)]});
    let manifest =
        blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(dir.join("index.json"), index.to_string()).expect("a file");
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
    dir.display().to_string()
}

/// Another's reader of packs.
pub(crate) fn has_fsck() -> bool {
    let is_there = Command::new("fsck.erofs").arg("-V").output().is_ok();
    if !is_there {
        let _ = writeln!(std::io::stderr(), "SKIPPED: fsck.erofs is not installed (erofs-utils)");
    }
    is_there
}

#[test]
fn an_image_is_imported_listed_and_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let labels = json!({"org.opencontainers.image.title": "Hello"});
    let source = layout(&dir.path().join("hello"), b"#!hello", &labels);
    let store = dir.path().join("images").display().to_string();
    let import = |name: &str| {
        let args =
            ["import", &source, "--name", name, "--arch", "x86_64", "--into", &store, "--json"];
        let done = output(&mut image(&args));
        let (status, out, err) = texts(&done);
        assert_eq!((status, err), (Some(0), ""), "{out}");
        serde_json::from_str::<Value>(out).expect("JSON")
    };
    let first = import("hello:1");
    assert_eq!(first[0]["image"]["title"], "Hello");
    let platform = &first[0]["image"]["platforms"][0];
    assert_eq!(platform["config"]["cmd"], json!(["/hello"]));
    let pack: Digest =
        platform["pack"]["digest"].as_str().expect("text").parse().expect("a digest");
    let file = Path::new(&store).join("packs").join(format!("{}.erofs", pack.hex()));
    assert_eq!(Digest::of(&std::fs::read(&file).expect("a pack")), pack);
    // The same image under another name is the same pack.
    assert_eq!(
        import("again")[0]["image"]["platforms"][0]["pack"]["digest"],
        platform["pack"]["digest"]
    );
    let done = output(&mut image(&["list", "--into", &store]));
    let (status, out, _) = texts(&done);
    assert_eq!(status, Some(0));
    assert!(
        out.contains("hello:1") && out.contains("again:latest") && out.contains(&source),
        "{out}"
    );
    let catalogue = std::fs::read(Path::new(&store).join("catalogue.json")).expect("a catalogue");
    let catalogue: Value = serde_json::from_slice(&catalogue).expect("JSON");
    assert_eq!(catalogue["images"].as_array().map(Vec::len), Some(2));
    let done = output(&mut image(&["rm", "hello:1", "again", "--unused-packs", "--into", &store]));
    let (status, out, err) = texts(&done);
    assert_eq!((status, err), (Some(0), ""));
    assert!(out.contains("1 packs were removed"), "{out}");
    assert!(!file.exists());
    let done = output(&mut image(&["rm", "hello:1", "--into", &store]));
    assert_eq!(texts(&done).0, Some(125));
}

#[test]
fn a_version_is_added_to_a_pack_and_the_catalogue_says_what_is_new() {
    let dir = tempfile::tempdir().expect("a directory");
    let sources = ["1", "2", "3"].map(|tag| {
        let source = layout(&dir.path().join(tag), format!("#!{tag}").as_bytes(), &json!({}));
        format!("hello:{tag}={source}")
    });
    let store = dir.path().join("images").display().to_string();
    let pack = |count: usize, more: &[&str]| {
        let mut args = vec!["pack"];
        args.extend(sources[..count].iter().map(String::as_str));
        args.extend(["--arch", "x86_64", "--into", &store]);
        args.extend(more);
        let done = output(&mut image(&args));
        let (status, out, err) = texts(&done);
        assert_eq!((status, err), (Some(0), ""), "{out}");
        out.to_owned()
    };
    let said = pack(2, &[]);
    assert!(said.contains("was made") && !said.contains("continues"), "{said}");
    let packs = || -> Vec<Value> {
        let catalogue = Path::new(&store).join("catalogue.json");
        let catalogue: Value =
            serde_json::from_slice(&std::fs::read(catalogue).expect("a catalogue")).expect("JSON");
        let images = catalogue["images"].as_array().expect("images");
        images.iter().map(|image| image["platforms"][0]["pack"].clone()).collect()
    };
    let before = packs();
    assert_eq!((before.len(), &before[0]["based_on"]), (2, &Value::Null));
    let said = pack(3, &[]);
    let short = before[0]["digest"].as_str().expect("text")[7..19].to_owned();
    assert!(said.contains(&format!("it continues {short}")), "{said}");
    let after = packs();
    assert_eq!(after.len(), 3);
    for pack in &after {
        assert_eq!(pack["based_on"]["pack"], before[0]["digest"]);
        let [from, to] = ["from", "to"].map(|key| pack["based_on"][key].as_u64().expect("bytes"));
        assert!(from < to && to <= before[0]["bytes"].as_u64().expect("bytes"), "{pack}");
    }
    // The same once more is the same pack, and the former is needed by nobody.
    assert!(pack(3, &[]).contains("was there already"));
    assert_eq!(packs(), after);
    let done = output(&mut image(&["rm", "--unused-packs", "--into", &store]));
    assert!(texts(&done).1.contains("1 packs were removed"), "{}", texts(&done).1);
}

#[test]
fn an_image_is_shown_without_being_unpacked() {
    let dir = tempfile::tempdir().expect("a directory");
    let labels = json!({"a\u{1b}[2J": "b\n\u{1b}]0;x\u{7}"});
    let source = layout(dir.path(), b"x", &labels);
    let done = output(&mut image(&["inspect", &source, "--arch", "x86_64"]));
    let (status, out, err) = texts(&done);
    assert_eq!((status, err), (Some(0), ""));
    assert!(out.contains("1 layers") && out.contains("/hello"), "{out}");
    assert!(!out.contains('\u{1b}') && out.contains("\\u{1b}[2J"), "{out}");
    let done = output(&mut image(&["inspect", &source, "--arch", "x86_64", "--json"]));
    let json: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(json["layers"][0]["packing"], "plain");
    // Not for this one: said, and by which it is.
    let done = output(&mut image(&["inspect", &source, "--arch", "riscv64"]));
    let (status, _, err) = texts(&done);
    assert_eq!(status, Some(125));
    assert!(err.contains("is for linux/amd64"), "{err}");
}

#[test]
fn labels_that_are_not_good_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = layout(dir.path(), b"x", &json!({"program-explorer.playground": "{"}));
    let done = output(&mut image(&["lint", &source, "--arch", "x86_64"]));
    let (status, out, _) = texts(&done);
    assert_eq!(status, Some(1));
    assert!(out.starts_with("error: program-explorer.playground: EOF while parsing"), "{out}");
    assert!(
        out.contains("warning: org.opencontainers.image.title: there is no title")
            && out.contains("program-explorer.playground"),
        "{out}"
    );
}

#[test]
fn mistakes_and_refusals_say_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().display().to_string();
    let check = |args: &[&str], expected: i32, wanted: &str| {
        let done = output(&mut image(args));
        let (status, out, err) = texts(&done);
        assert_eq!((status, out), (Some(expected), ""), "{args:?}: {err}");
        assert!(err.contains(wanted), "{args:?}: {err}");
    };
    let arch = "--arch=x86_64";
    check(&["inspect", "oci:", arch], 2, "names no path");
    check(&["inspect", "UPPER", arch], 2, "neither a path");
    check(&["inspect", &dir, arch], 125, "oci-layout");
    check(
        &["inspect", "docker://registry.example/x", arch],
        125,
        "--allow-registry registry.example",
    );
    check(&["inspect", "docker://127.0.0.1:1/x", arch], 125, "not on the list");
    let given = ["inspect", "docker://127.0.0.1:1/x", arch, "--allow-registry", "127.0.0.1:1"];
    check(&given, 125, "this machine's own");
    check(&["inspect", "docker://2130706433:80/x", arch], 2, "number");
    check(&["import", "./x", "--name", "A", arch], 2, "not a name for an image");
    let absent = format!("{dir}/absent.toml");
    check(&["inspect", "docker://gcc", arch, "--registries", &absent], 2, "absent.toml");
    let secret = format!("{dir}/config.json");
    std::fs::write(&secret, r#"{"auths": {"ghcr.io": {}}, "credsStore": "desktop"}"#)
        .expect("a file");
    let given = ["inspect", "docker://ghcr.io/a/b", arch, "--auth-file", &secret];
    check(&given, 125, "docker-credential-desktop");
}
