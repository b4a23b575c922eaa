//! OCI's image layout: a directory, or a tar of one (OCI image-spec, image-layout.md).

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use pe_proto::{Arch, Digest};
use serde::Deserialize;

use crate::limits::{CONFIG_BYTES_MAX, LAYOUT_MARK_BYTES_MAX, MANIFEST_BYTES_MAX};
use crate::oci::{Descriptor, OciImage, Source};

use super::archive::Tar;
use super::document::{BadDocument, Document, Entry, Named, Part, at_most, printable};
use super::resolve::{self, Documents, First};
use super::verify::Verified;
use super::{SourceError, platform};

/// The file that says that it is one.
pub(super) const MARK: &str = "oci-layout";

/// Names shown in an error.
const NAMES_SHOWN_MAX: usize = 16;

/// Files below a root, by their paths in it.
pub(super) trait Files: Sync {
    /// Where they are, for errors.
    fn root(&self) -> &Path;

    /// The bytes of a file.
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, SourceError>;

    /// A small file, whole.
    fn small(&self, path: &str, what: &'static str, most: u64) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        let read = self.open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| SourceError::File { path: self.root().join(path), error })?;
        at_most(what, u64::try_from(bytes.len()).unwrap_or(u64::MAX), most)?;
        Ok(bytes)
    }
}

/// One image of a layout.
#[derive(Debug)]
pub(super) struct Layout<F> {
    files: F,
    name: Option<String>,
}

/// Files of a directory. What its links point to is not looked at.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    image_layout_version: String,
}

/// The layout in a directory.
pub(super) fn in_directory(
    dir: &Path,
    name: Option<&str>,
) -> Result<Layout<Directory>, SourceError> {
    let layout = Layout { files: Directory(dir.to_owned()), name: name.map(str::to_owned) };
    layout.check_mark()?;
    Ok(layout)
}

/// The layout in an archive.
pub(super) fn in_archive(tar: Tar, name: Option<&str>) -> Layout<Tar> {
    Layout { files: tar, name: name.map(str::to_owned) }
}

impl<F: Files> Layout<F> {
    fn check_mark(&self) -> Result<(), SourceError> {
        let mark = self.files.small(MARK, "bytes of oci-layout", LAYOUT_MARK_BYTES_MAX)?;
        let why = match serde_json::from_slice::<Mark>(&mark) {
            Ok(mark) if mark.image_layout_version.starts_with("1.") => return Ok(()),
            Ok(mark) => {
                let version = printable(&mark.image_layout_version);
                io::Error::other(format!("layout version `{version}`, and only 1.x is known"))
            }
            Err(why) => why.into(),
        };
        Err(SourceError::File { path: self.files.root().join(MARK), error: why })
    }

    /// The entry of `index.json` that is meant.
    fn entry(&self, arch: Arch) -> Result<Entry, SourceError> {
        let index = self.files.small("index.json", "bytes of index.json", MANIFEST_BYTES_MAX)?;
        let mut entries = Document::read_layout_index(&index)?;
        let there: Vec<String> = entries.iter().filter_map(Entry::name).map(printable).collect();
        if let Some(wanted) = &self.name {
            entries.retain(|entry| entry.name() == Some(wanted));
        }
        match entries.as_slice() {
            [only] => return Ok(only.clone()),
            // One image that is in no index of its own, but has an entry per architecture here.
            [_, ..] if entries.iter().all(|entry| entry.platform.is_some()) => {
                return platform::pick(&entries, arch).cloned();
            }
            [] | [_, ..] => {}
        }
        let there = match there.len() {
            0 => format!("{} without names", entries.len()),
            _ => there.into_iter().take(NAMES_SHOWN_MAX).collect::<Vec<_>>().join(", "),
        };
        let path = self.files.root().to_owned();
        Err(SourceError::Which { path, wanted: self.name.as_deref().map(printable), there })
    }
}

impl<F: Files> Source for Layout<F> {
    fn image(&self, arch: Arch) -> Result<OciImage, SourceError> {
        self.check_mark()?;
        let named = self.entry(arch)?.named()?;
        let bytes = self.manifest(&named)?;
        super::verify::check(&bytes, named.digest, named.bytes)
            .map_err(|why| BadDocument::from(why).of(Part::Manifest))?;
        let told = named.media_type.as_deref().map(|told| ("index.json", told));
        resolve::image(self, First { bytes, digest: named.digest, told }, arch)
    }

    fn open(&self, layer: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let inner = self.files.open(&blob(layer.digest))?;
        Ok(Box::new(Verified::new(inner, layer.digest, layer.bytes)))
    }
}

impl<F: Files> Documents for Layout<F> {
    fn manifest(&self, named: &Named) -> Result<Vec<u8>, SourceError> {
        self.files.small(&blob(named.digest), "bytes of a manifest", MANIFEST_BYTES_MAX)
    }

    fn config(&self, named: &Named) -> Result<Vec<u8>, SourceError> {
        self.files.small(&blob(named.digest), "bytes of an image's config", CONFIG_BYTES_MAX)
    }
}

impl Files for Directory {
    fn root(&self) -> &Path {
        &self.0
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let path = self.0.join(path);
        let file = open_file(&path).map_err(|error| SourceError::File { path, error })?;
        Ok(Box::new(file))
    }
}

/// Opens a file that must be one. A fifo would hold us for ever, and a link may lead anywhere.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
