//! Images made in memory, layer by layer, byte by byte.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write as _};

use pe_image::confined::Owners;
use pe_image::flatten::{Caps, FlattenError, Flattened, flatten};
use pe_image::{Descriptor, OciImage, Packing, Source, SourceError};
use pe_proto::catalogue::ImageConfig;
use pe_proto::{Arch, Digest};
use tar::{EntryType, Header};

/// A layer that is being made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer(pub(crate) Vec<u8>);

/// What most entries have in common.
pub(crate) const TIME: u64 = 1_600_000_000;

impl Layer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Any entry. `pax` are records of an extended header before it.
    pub(crate) fn raw(
        mut self,
        kind: u8,
        path: &[u8],
        link: &[u8],
        mode: u32,
        body: &[u8],
        pax: &[(&str, &[u8])],
    ) -> Self {
        // What a plain header has no place for.
        let long = [("path", path), ("linkpath", link)];
        let long = long.iter().filter(|(key, value)| value.len() > 100 && !has(pax, key));
        let pax: Vec<_> = pax.iter().chain(long).collect();
        if !pax.is_empty() {
            let mut text = Vec::new();
            for (key, value) in pax {
                text.extend(record(key.as_bytes(), value));
            }
            self = self.block(b'x', b"pax", b"", 0o644, &text);
        }
        self.block(kind, path, link, mode, body)
    }

    fn block(mut self, kind: u8, path: &[u8], link: &[u8], mode: u32, body: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::new(kind));
        let old = header.as_old_mut();
        old.name[..path.len().min(100)].copy_from_slice(&path[..path.len().min(100)]);
        old.linkname[..link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(TIME);
        header.set_size(u64::try_from(body.len()).expect("length"));
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.body(body)
    }

    /// A header as it is, and its body.
    pub(crate) fn header(mut self, header: &Header, body: &[u8]) -> Self {
        self.0.extend_from_slice(header.as_bytes());
        self.body(body)
    }

    fn body(mut self, body: &[u8]) -> Self {
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, body: &str) -> Self {
        self.raw(b'0', path.as_bytes(), b"", 0o644, body.as_bytes(), &[])
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.raw(b'5', path.as_bytes(), b"", 0o755, b"", &[])
    }

    pub(crate) fn link(self, path: &str, to: &str) -> Self {
        self.raw(b'2', path.as_bytes(), to.as_bytes(), 0o777, b"", &[])
    }

    pub(crate) fn hard(self, path: &str, to: &str) -> Self {
        self.raw(b'1', path.as_bytes(), to.as_bytes(), 0o644, b"", &[])
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn has(pax: &[(&str, &[u8])], key: &str) -> bool {
    pax.iter().any(|(known, _)| *known == key)
}

fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// An image in memory.
pub(crate) struct Memory {
    pub(crate) image: OciImage,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Memory {
    /// Of layers that end already; the packing of each is the next of the three.
    pub(crate) fn new(layers: &[Vec<u8>]) -> Self {
        let packings = [Packing::Gzip, Packing::Plain, Packing::Zstd];
        let packed = layers.iter().zip(packings.into_iter().cycle());
        Self::packed(
            packed.map(|(layer, packing)| (Digest::of(layer), pack(layer, packing), packing)),
        )
    }

    pub(crate) fn packed(layers: impl IntoIterator<Item = (Digest, Vec<u8>, Packing)>) -> Self {
        let mut blobs = BTreeMap::new();
        let mut image = OciImage {
            manifest: Digest([0; 32]),
            arch: Arch::X86_64,
            config: ImageConfig::default(),
            labels: BTreeMap::new(),
            diff_ids: Vec::new(),
            layers: Vec::new(),
        };
        let mut all = Vec::new();
        for (diff_id, bytes, packing) in layers {
            let digest = Digest::of(&bytes);
            let length = u64::try_from(bytes.len()).expect("length");
            image.diff_ids.push(diff_id);
            image.layers.push(Descriptor { digest, bytes: length, packing });
            all.extend(diff_id.0);
            blobs.insert(digest, bytes);
        }
        image.manifest = Digest::of(&all);
        Self { image, blobs }
    }

    /// Flattens it into a new directory.
    pub(crate) fn flatten(
        &self,
        caps: &Caps,
    ) -> Result<(tempfile::TempDir, Flattened), FlattenError> {
        let dir = tempfile::tempdir().expect("tempdir");
        let owners = Owners::possible().expect("owners");
        let flattened = flatten(&self.image, self, dir.path(), caps, owners, &mut |_, _| ())?;
        Ok((dir, flattened))
    }
}

impl Source for Memory {
    fn image(&self, _: Arch) -> Result<OciImage, SourceError> {
        Ok(self.image.clone())
    }

    fn open(&self, layer: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        Ok(Box::new(Cursor::new(self.blobs.get(&layer.digest).expect("a layer of it"))))
    }
}

pub(crate) fn pack(layer: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => layer.to_vec(),
        Packing::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(layer).expect("gzip");
            gzip.finish().expect("gzip")
        }
        Packing::Zstd => zstd::encode_all(layer, 1).expect("zstd"),
    }
}
