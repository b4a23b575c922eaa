//! A job's archive, built of files that came in any other form.

use pe_proto::archive::{Encoder, EntryRefused, INPUT_PREFIX, Kind, STDIN};

use super::NotTaken;
use crate::core::resolve::pointer;
use crate::limits::INPUT_BYTES;

/// See the module. Files are added in the order of their paths, standard input last.
#[derive(Debug, Default)]
pub(super) struct Tree(Encoder);

/// What ends an archive.
const END_BYTES: usize = 5;

impl Tree {
    /// Adds a file or a directory below `/input`.
    pub(super) fn file(&mut self, kind: Kind, name: &str, bytes: &[u8]) -> Result<(), NotTaken> {
        let added = self.0.push(kind, &format!("{INPUT_PREFIX}{name}"), bytes);
        added.map_err(|refused| refused_entry(&refused, pointer(&["files", name])))?;
        self.check_size()
    }

    /// Adds standard input. Empty input is no input: the same job has one digest.
    pub(super) fn stdin(&mut self, bytes: &[u8]) -> Result<(), NotTaken> {
        if bytes.is_empty() {
            return Ok(());
        }
        let added = self.0.push(Kind::File, STDIN, bytes);
        added.map_err(|refused| refused_entry(&refused, "/stdin".to_owned()))?;
        self.check_size()
    }

    /// The archive.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0.finish()
    }

    fn check_size(&self) -> Result<(), NotTaken> {
        if self.0.len() + END_BYTES > INPUT_BYTES {
            return Err(NotTaken::FilesTooLarge);
        }
        Ok(())
    }
}

fn refused_entry(refused: &EntryRefused, pointer: String) -> NotTaken {
    let problem = match refused {
        EntryRefused::Path(_, bad) => bad.to_string(),
        EntryRefused::Order(_) => "the same path is there twice".to_owned(),
        EntryRefused::BelowLeaf(_) => "lies below something that is not a directory".to_owned(),
        EntryRefused::DirectoryData(_) | EntryRefused::TooLarge(_) | EntryRefused::TooMany => {
            refused.to_string()
        }
    };
    NotTaken::Field { pointer, problem }
}
