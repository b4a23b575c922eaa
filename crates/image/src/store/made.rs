//! Packs that were made: by which recipe, and what is needed to continue them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use pe_proto::Digest;
use pe_proto::catalogue::Basis;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Lock, StoreError, Work, at, write_whole};
use crate::limits::READ_PIECE_BYTES;
use crate::pack::append::{INDEX, PACK};
use crate::pack::sparse::write_sparse;

/// The note of a pack that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    /// Of its bytes.
    pub(crate) digest: Digest,
    /// Its length.
    pub(crate) bytes: u64,
    /// Where its last section ends, and the next would begin.
    pub(crate) end: u64,
    /// What it continues.
    pub(crate) based_on: Option<Basis>,
    /// Digest of its index, if it can be continued.
    pub(crate) index: Option<Digest>,
}

impl Lock<'_> {
    /// The pack that was made by a recipe, if it is still there.
    pub(crate) fn made(&self, recipe: &str) -> Option<Made> {
        let note = fs::read(self.store.dir.join("made").join(recipe)).ok()?;
        let made: Made = serde_json::from_slice(&note).ok()?;
        let there = fs::metadata(self.store.pack(made.digest)).ok()?;
        (there.is_file() && there.len() == made.bytes).then_some(made)
    }

    /// Puts a pack that was made into its place, with its index, and notes how it was made.
    pub(crate) fn keep_pack(
        &self,
        work: &Work<'_>,
        made: Made,
        recipe: &str,
    ) -> Result<Made, StoreError> {
        let made = Made { index: self.keep_index(work, made.digest)?, ..made };
        let pack = self.store.pack(made.digest);
        fs::rename(work.path().join(PACK), &pack).map_err(at(&pack))?;
        let packs = self.store.dir.join("packs");
        File::open(&packs).and_then(|dir| dir.sync_all()).map_err(at(&packs))?;
        let path = self.store.dir.join("made").join(recipe);
        let note = serde_json::to_vec(&made)
            .map_err(|source| StoreError::Parse { path: path.clone(), source })?;
        write_whole(&path, &note)?;
        Ok(made)
    }

    fn keep_index(&self, work: &Work<'_>, pack: Digest) -> Result<Option<Digest>, StoreError> {
        let made = work.path().join(INDEX);
        let file = match File::open(&made) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&made)(error)),
        };
        let path = self.store.index(pack);
        let kept = file
            .sync_all()
            .and_then(|()| digest(file, &mut |_, _| Ok(())))
            .and_then(|digest| fs::rename(&made, &path).map(|()| digest));
        kept.map(Some).map_err(at(&path))
    }

    /// Copies a pack and its index to where they are continued. `false` if there is no index, or if
    /// either is not what it was when it was made: then nothing is there.
    pub(crate) fn copy_pack(&self, made: &Made, work: &Work<'_>) -> Result<bool, StoreError> {
        let Some(index) = made.index else {
            return Ok(false);
        };
        let pack = (self.store.pack(made.digest), work.path().join(PACK), made.digest);
        let index = (self.store.index(made.digest), work.path().join(INDEX), index);
        for (from, to, expected) in [&index, &pack] {
            match copy(from, to) {
                Ok(found) if found == *expected => {}
                Ok(_) | Err(_) => {
                    for (_, to, _) in [&index, &pack] {
                        super::work::remove_file(to)?;
                    }
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Copies a file, and says what was read.
fn copy(from: &Path, to: &Path) -> io::Result<Digest> {
    let from = File::open(from)?;
    let length = from.metadata()?.len();
    let to = File::create_new(to)?;
    let digest = digest(from, &mut |at, piece| write_sparse(&to, at, piece))?;
    to.set_len(length)?;
    Ok(digest)
}

fn digest(
    mut file: File,
    also: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; READ_PIECE_BYTES];
    let mut at = 0;
    loop {
        // Whole pieces, so that each begins at the offset of a block.
        let mut length = 0;
        while length < READ_PIECE_BYTES {
            match file.read(piece.get_mut(length..).unwrap_or_default())? {
                0 => break,
                got => length += got,
            }
        }
        let read = piece.get(..length).unwrap_or_default();
        if read.is_empty() {
            return Ok(Digest(hasher.finalize().into()));
        }
        hasher.update(read);
        also(at, read)?;
        at += u64::try_from(length).unwrap_or(u64::MAX);
    }
}
