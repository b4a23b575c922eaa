//! `pe image` against Debian's registry on loopback, with images that real tools made. A test whose
//! tool is not there is skipped, and says so.

#![expect(clippy::indexing_slicing, reason = "a test that panics fails, as it should")]

mod buildah;
mod ordinary;
mod refresh;
mod tls;
#[path = "../../../image/tests/sources/tools.rs"]
mod tools;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use pe_proto::Digest;
use serde_json::{Value, json};

use crate::image::{image, layout};
use crate::{output, texts};
use tools::{Registry, Tool};

/// What a program in the image could see of a file: type and permissions, owner, and its content,
/// target or nothing. Set-id bits and the first of several names are not told by `fsck.erofs` 1.5.
type Tree = BTreeMap<String, (String, (u32, u32), Vec<u8>)>;

fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let path = entry.expect("an entry").path();
            let meta = std::fs::symlink_metadata(&path).expect("there");
            let content = if meta.is_dir() {
                left.push(path.clone());
                Vec::new()
            } else if meta.is_symlink() {
                std::fs::read_link(&path).expect("a link").as_os_str().as_bytes().to_vec()
            } else {
                std::fs::read(&path).expect("a file")
            };
            let kind = format!("{:o}", meta.mode() & 0o17_0777);
            let name = path.strip_prefix(root).expect("below").display().to_string();
            found.insert(name, (kind, (meta.uid(), meta.gid()), content));
        }
    }
    found
}

/// What is in the pack of the first platform of an entry, taken out by `fsck.erofs`.
fn unpacked(store: &Path, entry: &Value) -> Tree {
    let digest = entry["image"]["platforms"][0]["pack"]["digest"].as_str().expect("text");
    let digest: Digest = digest.parse().expect("a digest");
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("tree");
    let pack = store.join("packs").join(format!("{}.erofs", digest.hex()));
    let done = Command::new("fsck.erofs")
        .arg(format!("--extract={}", to.display()))
        .arg(pack)
        .output()
        .expect("fsck.erofs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    tree(&to)
}

/// Imports it for x86_64, and returns its entry of the catalogue.
fn import(source: &str, registry: &str, store: &Path) -> Value {
    let store = store.display().to_string();
    let args = ["import", source, "--arch", "x86_64", "--into", &store, "--json"];
    let done = output(image(&args).args(["--local-registry", registry]));
    let (status, out, err) = texts(&done);
    assert_eq!((status, err), (Some(0), ""), "{out}");
    serde_json::from_str::<Value>(out).expect("JSON")[0].take()
}

/// Puts an image of one file into a registry, by skopeo.
fn put(skopeo: &Tool, content: &[u8], to: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let labels = json!({"org.opencontainers.image.title": String::from_utf8_lossy(content)});
    let from = format!("oci:{}", layout(dir.path(), content, &labels));
    let to = format!("docker://{to}");
    skopeo.run(&["--insecure-policy", "copy", "--dest-tls-verify=false", &from, &to]);
}

/// skopeo, and an open registry that runs.
fn skopeo_and_registry() -> Option<(Tool, Registry)> {
    let (skopeo, registry) = (Tool::find("skopeo")?, Tool::find("docker-registry")?);
    Some((skopeo, Registry::start(&registry, "")))
}
