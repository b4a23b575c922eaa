//! What is to be known of a pack to append to it, as a file beside it.
//!
//! ```text
//!  one line of JSON: version, prefixes, counts │ 12 bytes for each content: hash, block │ the end
//! ```
//! Whoever keeps the file keeps its digest too; this only has to refuse what it does not know.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};

use serde::{Deserialize, Serialize};

use super::AppendError;
use super::contents::Contents;
use crate::erofs::prefixes::Prefixes;
use crate::limits::CONTENTS_MAX;

/// Changes with the meaning of anything in it.
const VERSION: u32 = 1;

/// Prefixes of 64 images, of 256 bytes each, as JSON.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// A pack as it is so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Of a pack that several images may share.
    pub(super) prefixes: Option<Prefixes>,
    /// Inodes of all images.
    pub(super) inodes: u64,
    /// The block that the next section begins at.
    pub(super) end: u32,
    pub(super) contents: Contents,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    version: u32,
    prefixes: Option<Prefixes>,
    inodes: u64,
    end: u32,
    contents: usize,
}

impl State {
    /// Reads an index.
    pub(super) fn read(file: File) -> Result<Self, AppendError> {
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        (&mut file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        let line: Line = serde_json::from_slice(&line)
            .map_err(|error| AppendError::Index(error.to_string().into()))?;
        if line.version != VERSION {
            return Err(AppendError::Index("of another version".into()));
        }
        if line.contents > CONTENTS_MAX {
            return Err(AppendError::Index("more contents than there can be".into()));
        }
        let mut contents = Contents::default();
        for _ in 0..line.contents {
            let (hash, block) = pair(&mut file)?;
            contents.note(hash, block);
        }
        if contents.count() != line.contents || file.read(&mut [0])? != 0 {
            return Err(AppendError::Index("not as long as it says".into()));
        }
        let Line { prefixes, inodes, end, .. } = line;
        Ok(Self { prefixes, inodes, end, contents })
    }

    /// Writes one.
    pub(super) fn write(&self, file: File) -> Result<(), AppendError> {
        let line = Line {
            version: VERSION,
            prefixes: self.prefixes.clone(),
            inodes: self.inodes,
            end: self.end,
            contents: self.contents.count(),
        };
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, &line).map_err(io::Error::from)?;
        file.write_all(b"\n")?;
        for (hash, block) in self.contents.iter() {
            file.write_all(&hash.to_le_bytes())?;
            file.write_all(&block.to_le_bytes())?;
        }
        file.flush()?;
        Ok(())
    }
}

fn pair(file: &mut impl Read) -> io::Result<(u64, u32)> {
    let (mut hash, mut block) = ([0; 8], [0; 4]);
    file.read_exact(&mut hash)?;
    file.read_exact(&mut block)?;
    Ok((u64::from_le_bytes(hash), u32::from_le_bytes(block)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<State, AppendError> {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::write(dir.path().join("index"), bytes).expect("write");
        State::read(File::open(dir.path().join("index")).expect("open"))
    }

    #[test]
    fn an_index_is_read_as_it_was_written_and_nothing_else_is() {
        let mut prefixes = Prefixes::default();
        let above = prefixes.make("gcc/12").expect("a place");
        prefixes.enter("gcc/12", above, 4096).expect("a name");
        let mut contents = Contents::default();
        for (hash, block) in [(7, 1), (u64::MAX, 2), (8, 3)] {
            contents.note(hash, block);
        }
        let state = State { prefixes: Some(prefixes), inodes: 9, end: 77, contents };
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("index");
        state.write(File::create(&path).expect("create")).expect("write");
        let bytes = std::fs::read(&path).expect("read");
        assert_eq!(read(&bytes), Ok(state));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(read(&[&bytes[..], b"x"].concat()).is_err());
        let other = String::from_utf8_lossy(&bytes[..20]).replace(":1,", ":2,");
        assert!(read(&[other.as_bytes(), &bytes[20..]].concat()).is_err());
    }
}
