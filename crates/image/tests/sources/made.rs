//! Images made by hand: a few blobs and the documents that name them.

use std::collections::BTreeMap;
use std::path::Path;

use pe_proto::Digest;
use serde_json::{Value, json};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Blobs and one manifest over them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Made {
    /// An image for an architecture, as Go names it, of these layers, which are not packed.
    pub(crate) fn image(architecture: &str, layers: &[&[u8]]) -> Self {
        let mut made =
            Self { layers: layers.iter().map(|layer| layer.to_vec()).collect(), ..Self::default() };
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": {
                "Entrypoint": ["/bin/sh"], "Cmd": null, "Env": ["PATH=/bin"], "WorkingDir": "/w",
                "User": "1000", "Labels": {"org.opencontainers.image.title": "Made"},
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": [],
        });
        let config = made.add("application/vnd.oci.image.config.v1+json", &text(&config));
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let layers: Vec<Value> = layers.iter().map(|layer| made.add(kind, layer)).collect();
        made.manifest = text(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        }));
        made
    }

    /// Keeps a blob; its descriptor.
    pub(crate) fn add(&mut self, kind: &str, bytes: &[u8]) -> Value {
        self.blobs.insert(Digest::of(bytes), bytes.to_vec());
        descriptor(kind, bytes)
    }

    /// With its manifest changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut manifest = serde_json::from_slice(&self.manifest).expect("JSON");
        change(&mut manifest);
        self.manifest = text(&manifest);
        self
    }

    /// Writes it as a layout with this `index.json`.
    pub(crate) fn write(&self, dir: &Path, index: &Value) {
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("a directory");
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("a file");
        std::fs::write(dir.join("index.json"), text(index)).expect("a file");
        for (digest, bytes) in &self.blobs {
            std::fs::write(blobs.join(digest.hex()), bytes).expect("a file");
        }
        let manifest = blobs.join(Digest::of(&self.manifest).hex());
        std::fs::write(manifest, &self.manifest).expect("a file");
    }

    /// An index with its manifest alone.
    pub(crate) fn index(&self) -> Value {
        index(vec![descriptor(MANIFEST, &self.manifest)])
    }
}

pub(crate) fn index(entries: Vec<Value>) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
}

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()})
}

pub(crate) fn text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON")
}
