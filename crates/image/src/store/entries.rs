//! Entries: which images there are, under which names and tags, and in which packs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pe_proto::Digest;
use pe_proto::catalogue::{Catalogue, Image, VERSION};
use serde::{Deserialize, Serialize};

use super::work::remove_file;
use super::{Lock, Store, StoreError, at, write_whole};

const CATALOGUE: &str = "catalogue.json";

/// One image under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it was built from, of an image that `images/build.sh` builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// What it was imported from, as the person called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// When its registry last said what its tag names, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_unix_s: Option<u64>,
    /// What the catalogue says of it.
    pub image: Image,
}

/// What the store takes on the disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Packs that an entry names.
    pub packs: u64,
    /// Packs that none does.
    pub packs_unused: u64,
}

impl Store {
    /// All entries, by the name of their files, which is how the catalogue has them.
    ///
    /// # Errors
    /// One cannot be read or is none.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let found = self.files()?.into_iter().map(|path| {
            let bytes = fs::read(&path).map_err(at(&path))?;
            serde_json::from_slice(&bytes).map_err(|source| StoreError::Parse { path, source })
        });
        found.collect()
    }

    fn files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(at(&self.dir))? {
            let path = entry.map_err(at(&self.dir))?.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if name.ends_with(b".json") && name != CATALOGUE.as_bytes() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Packs that no entry names.
    ///
    /// # Errors
    /// Entries or packs cannot be read.
    pub fn unused(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let entries = self.entries()?;
        let platforms = entries.iter().flat_map(|entry| &entry.image.platforms);
        let used: BTreeSet<Digest> = platforms.map(|platform| platform.pack.digest).collect();
        Ok(self.packs()?.into_iter().filter(|(digest, _)| !used.contains(digest)).collect())
    }

    /// All packs and their lengths.
    fn packs(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let dir = self.dir.join("packs");
        let mut packs = Vec::new();
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let entry = entry.map_err(at(&dir))?;
            let name = entry.file_name();
            let hex = name.to_str().and_then(|name| name.strip_suffix(".erofs"));
            if let Some(Ok(digest)) = hex.map(str::parse::<Digest>) {
                packs.push((digest, entry.metadata().map_err(at(&entry.path()))?.len()));
            }
        }
        packs.sort();
        Ok(packs)
    }

    /// What it takes on the disk.
    ///
    /// # Errors
    /// Entries or packs cannot be read.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let total = |packs: &[(Digest, u64)]| packs.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let packs_unused = total(&self.unused()?);
        let packs = total(&self.packs()?) - packs_unused;
        Ok(Usage { packs, packs_unused })
    }
}

impl Lock<'_> {
    /// Puts an entry into the store and the catalogue. Tags that another entry of the same name
    /// has become this one's; an entry that has none left goes.
    ///
    /// # Errors
    /// It has no name or no tag, or a file cannot be written.
    pub fn put(&self, entry: &Entry) -> Result<(), StoreError> {
        let file = self.file(entry)?;
        for path in self.store.files()?.into_iter().filter(|path| *path != file) {
            let bytes = fs::read(&path).map_err(at(&path))?;
            let parse = |source| StoreError::Parse { path: path.clone(), source };
            let mut other: Entry = serde_json::from_slice(&bytes).map_err(parse)?;
            let before = other.image.tags.len();
            if other.image.name == entry.image.name {
                other.image.tags.retain(|tag| !entry.image.tags.contains(tag));
            }
            if other.image.tags.is_empty() {
                remove_file(&path)?;
            } else if other.image.tags.len() < before {
                self.write(&path, &other)?;
            }
        }
        self.write(&file, entry)?;
        self.list()
    }

    /// Removes an image by `name:tag`, or all of a `name`, from entries and catalogue. Returns
    /// what was removed. Its pack stays.
    ///
    /// # Errors
    /// There is none, or a file cannot be written.
    pub fn remove(&self, reference: &str) -> Result<Vec<Entry>, StoreError> {
        let (name, tag) = match reference.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (reference, None),
        };
        let mut removed = Vec::new();
        for (path, mut entry) in self.store.files()?.into_iter().zip(self.store.entries()?) {
            let tags = &entry.image.tags;
            let is_meant = tag.is_none_or(|tag| tags.iter().any(|each| each == tag));
            if entry.image.name != name || !is_meant {
                continue;
            }
            removed.push(entry.clone());
            entry.image.tags.retain(|each| tag.is_some_and(|tag| each != tag));
            if entry.image.tags.is_empty() {
                remove_file(&path)?;
            } else {
                self.write(&path, &entry)?;
            }
        }
        if removed.is_empty() {
            return Err(StoreError::Unknown(reference.to_owned()));
        }
        self.list()?;
        Ok(removed)
    }

    /// Removes packs that no entry names. Returns them and their lengths.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn remove_unused(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let unused = self.store.unused()?;
        for (digest, _) in &unused {
            remove_file(&self.store.pack(*digest))?;
            remove_file(&self.store.index(*digest))?;
        }
        Ok(unused)
    }

    /// Writes the catalogue anew.
    ///
    /// # Errors
    /// An entry cannot be read, or the catalogue not be written.
    pub fn list(&self) -> Result<(), StoreError> {
        let images = self.store.entries()?.into_iter().map(|entry| entry.image).collect();
        let catalogue = Catalogue { version: VERSION, images };
        self.write(&self.store.dir.join(CATALOGUE), &catalogue)
    }

    fn write(&self, path: &Path, what: &impl Serialize) -> Result<(), StoreError> {
        let parse = |source| StoreError::Parse { path: path.to_owned(), source };
        let mut text = serde_json::to_vec_pretty(what).map_err(parse)?;
        text.push(b'\n');
        write_whole(path, &text)
    }

    /// `NAME.json` of what is built here, else `NAME:TAG.json`; what is more than letters, digits
    /// and `._-` is written as `%` and its byte.
    fn file(&self, entry: &Entry) -> Result<PathBuf, StoreError> {
        let name = &entry.image.name;
        let bad = || StoreError::Name(name.clone());
        let tag = entry.image.tags.first().ok_or_else(bad)?;
        let called = if entry.stamp.is_some() { name.clone() } else { format!("{name}:{tag}") };
        if name.is_empty() || called.len() > 200 || name.starts_with('.') {
            return Err(bad());
        }
        let mut file = String::new();
        for byte in called.bytes() {
            if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
                file.push(char::from(byte));
            } else {
                file.push_str(&format!("%{byte:02x}"));
            }
        }
        Ok(self.store.dir.join(format!("{file}.json")))
    }
}
