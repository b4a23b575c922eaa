//! The reference: `umoci unpack` of the same layers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pe_image::Packing;
use pe_proto::Digest;

use crate::image::pack;
use crate::listing::{Listing, list};

/// Where umoci is; `None`, said once, if it cannot be had or we are not root, without whom it
/// gives files to nobody.
pub(crate) fn umoci() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tools = Command::new(root.join("vm-assets/tools.sh")).arg("umoci").output();
        let umoci = root.join("build/tools/usr/bin/umoci");
        let is_root = nix::unistd::geteuid().is_root();
        let is_there = tools.is_ok_and(|it| it.status.success()) && umoci.is_file();
        if !is_root || !is_there {
            eprintln!("SKIPPED: the comparison with umoci (root: {is_root}, umoci: {is_there})");
        }
        (is_root && is_there).then_some(umoci)
    };
    FOUND.get_or_init(find).clone()
}

/// What umoci makes of layers, or what it says.
pub(crate) fn unpack(layers: &[Vec<u8>]) -> Option<Result<Listing, String>> {
    let umoci = umoci()?;
    let dir = tempfile::tempdir().expect("tempdir");
    let layout = dir.path().join("layout");
    write_layout(&layout, layers);
    let bundle = dir.path().join("bundle");
    let output = Command::new(umoci)
        .args(["unpack", "--image"])
        .arg(format!("{}:it", layout.display()))
        .arg(&bundle)
        .output()
        .expect("umoci");
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Some(Ok(list(&bundle.join("rootfs"))))
}

/// An OCI layout with gzip layers.
pub(crate) fn write_layout(layout: &Path, layers: &[Vec<u8>]) {
    fs::create_dir_all(layout.join("blobs/sha256")).expect("mkdir");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write");
    let blob = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).expect("write");
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{}}}"#,
            bytes.len()
        )
    };
    let diff_ids: Vec<String> = layers.iter().map(|it| format!("\"{}\"", Digest::of(it))).collect();
    let blobs: Vec<String> =
        layers.iter().map(|layer| blob("layer.v1.tar+gzip", &pack(layer, Packing::Gzip))).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let config = blob("config.v1+json", config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[{}]}}"#,
        blobs.join(",")
    );
    let manifest = blob("manifest.v1+json", manifest.as_bytes());
    let named =
        manifest.replacen('{', r#"{"annotations":{"org.opencontainers.image.ref.name":"it"},"#, 1);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{named}]}}"#);
    fs::write(layout.join("index.json"), index).expect("write");
}
