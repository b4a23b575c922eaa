//! The files of a store, one an entry. All of this blocks.
//!
//! ```text
//! magic    8 bytes   "PERES\0\0\x01" (the last byte is the version)
//! name     32 bytes  digest of the job, or of a share's name, as in the file's name
//! hash     32 bytes  SHA-256 of the body
//! length   u64le     of the body
//! body     of a result its binary form, of a share its JSON
//! ```
//!
//! A name is the digest's 64 digits, below a folder of the first two. Whatever else lies in the
//! directory is left alone, but for what a writer left that was ended in the middle.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use pe_proto::Digest;

use crate::limits::CACHED_BYTES_MAX;

const MAGIC: [u8; 8] = *b"PERES\0\0\x01";

/// Bytes before the body.
const HEAD_BYTES: usize = 8 + 32 + 32 + 8;

/// What the name of a file that is being written begins with.
const UNFINISHED: &str = "unfinished-";

/// A directory of results.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    root: Arc<Path>,
    names: Arc<AtomicU64>,
}

/// A file that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) length: u64,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRead {
    #[error("there is none")]
    Absent,
    #[error("it is not what it says")]
    Corrupt,
    #[error(transparent)]
    Io(io::Error),
}

impl Files {
    /// Makes the directory if it is not there, for nobody else to read: results are their
    /// clients'.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        // Found out now, not with the first result.
        let probe = root.join(format!("{UNFINISHED}{}-probe", std::process::id()));
        File::create(&probe)?;
        fs::remove_file(&probe)?;
        Ok(Self { root: root.into(), names: Arc::default() })
    }

    /// Writes a result; returns the length of its file.
    pub(crate) fn write(&self, job: Digest, body: &[u8]) -> io::Result<u64> {
        let place = self.place(job);
        if let Some(folder) = place.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.root.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let written =
            write_to(&unfinished, job, body).and_then(|()| fs::rename(&unfinished, &place));
        if let Err(error) = written {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        Ok((HEAD_BYTES + body.len()) as u64)
    }

    /// Reads a result and checks it.
    pub(crate) fn read(&self, job: Digest) -> Result<Vec<u8>, NotRead> {
        let mut file = File::open(self.place(job)).map_err(|error| {
            let is_absent = error.kind() == io::ErrorKind::NotFound;
            if is_absent { NotRead::Absent } else { NotRead::Io(error) }
        })?;
        let mut head = [0; HEAD_BYTES];
        let cut_off = |error: io::Error| {
            let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
            if is_short { NotRead::Corrupt } else { NotRead::Io(error) }
        };
        file.read_exact(&mut head).map_err(cut_off)?;
        let (hash, length) = check_head(&head, job).ok_or(NotRead::Corrupt)?;
        let mut body = Vec::new();
        // One byte more than there should be, to see that there is not.
        file.take(length as u64 + 1).read_to_end(&mut body).map_err(NotRead::Io)?;
        if body.len() != length || Digest::of(&body) != hash {
            return Err(NotRead::Corrupt);
        }
        Ok(body)
    }

    /// Removes results; says how many were there.
    pub(crate) fn remove(&self, jobs: &[Digest]) -> usize {
        jobs.iter().filter(|job| fs::remove_file(self.place(**job)).is_ok()).count()
    }

    /// All results by names and lengths, the oldest first. What cannot be looked at is not there.
    pub(crate) fn scan(&self) -> Vec<Found> {
        let mut found: Vec<(SystemTime, Found)> = Vec::new();
        for folder in list(&self.root) {
            if folder.file_name().is_some_and(is_unfinished) {
                let _ = fs::remove_file(&folder);
                continue;
            }
            for path in list(&folder) {
                let name = path.file_name().and_then(|name| name.to_str());
                let digest = name.and_then(|name| name.parse::<Digest>().ok());
                let Some(digest) = digest.filter(|digest| self.place(*digest) == path) else {
                    continue;
                };
                let Ok(metadata) = fs::symlink_metadata(&path) else {
                    continue;
                };
                if metadata.is_file() {
                    let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push((written, Found { digest, length: metadata.len() }));
                }
            }
        }
        found.sort_unstable_by_key(|(written, found)| (*written, found.digest));
        found.into_iter().map(|(_, found)| found).collect()
    }

    fn place(&self, job: Digest) -> PathBuf {
        let name = job.hex();
        let folder = name.get(..2).unwrap_or_default();
        self.root.join(folder).join(&name)
    }
}

fn write_to(path: &Path, job: Digest, body: &[u8]) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&job.0);
    head.extend_from_slice(&Digest::of(body).0);
    head.extend_from_slice(&(body.len() as u64).to_le_bytes());
    let mut file = File::create_new(path)?;
    file.write_all(&head)?;
    file.write_all(body)
}

/// Hash and length of the body, if the head is that of this job.
fn check_head(head: &[u8; HEAD_BYTES], job: Digest) -> Option<(Digest, usize)> {
    let (magic, rest) = head.split_first_chunk::<8>()?;
    let (of, rest) = rest.split_first_chunk::<32>()?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let length = u64::from_le_bytes(*rest.first_chunk::<8>()?);
    let is_fine = *magic == MAGIC && *of == job.0 && length <= CACHED_BYTES_MAX;
    is_fine.then_some((Digest(*hash), usize::try_from(length).ok()?))
}

fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(UNFINISHED))
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: Digest = Digest([7; 32]);
    const BODY: &[u8] = b"some result";

    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path().join("cache")).unwrap();
        (dir, files)
    }

    #[test]
    fn a_result_is_read_as_it_was_written_and_found_by_its_name() {
        let (_dir, files) = files();
        assert!(matches!(files.read(JOB), Err(NotRead::Absent)));
        let length = files.write(JOB, BODY).unwrap();
        assert_eq!(files.read(JOB).unwrap(), BODY);
        assert_eq!(files.scan(), [Found { digest: JOB, length }]);
        files.write(JOB, b"another").unwrap();
        assert_eq!(files.read(JOB).unwrap(), b"another");
        files.remove(&[JOB, Digest([8; 32])]);
        assert!(matches!(files.read(JOB), Err(NotRead::Absent)));
        assert_eq!(files.scan(), []);
    }

    #[test]
    fn a_file_that_was_changed_anywhere_is_corrupt() {
        let (_dir, files) = files();
        files.write(JOB, BODY).unwrap();
        let place = files.place(JOB);
        let good = fs::read(&place).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&place, &bad).unwrap();
            assert!(matches!(files.read(JOB), Err(NotRead::Corrupt)), "byte {at}");
            fs::write(&place, &good[..at]).unwrap();
            assert!(matches!(files.read(JOB), Err(NotRead::Corrupt)), "cut at {at}");
        }
        fs::write(&place, [good.as_slice(), b"x"].concat()).unwrap();
        assert!(matches!(files.read(JOB), Err(NotRead::Corrupt)), "a byte more");
        // Another job's file under this name.
        files.write(Digest([8; 32]), BODY).unwrap();
        fs::rename(files.place(Digest([8; 32])), &place).unwrap();
        assert!(matches!(files.read(JOB), Err(NotRead::Corrupt)));
    }

    #[test]
    fn what_is_no_result_is_left_alone_and_what_is_unfinished_goes() {
        let (_dir, files) = files();
        fs::write(files.root.join("README"), b"mine").unwrap();
        fs::write(files.root.join(format!("{UNFINISHED}1-1")), b"half").unwrap();
        let folder = files.place(JOB).parent().unwrap().to_owned();
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("notes"), b"mine").unwrap();
        fs::write(folder.join("8".repeat(64)), b"in another's folder").unwrap();
        std::os::unix::fs::symlink("/dev/zero", files.place(JOB)).unwrap();
        assert_eq!(files.scan(), []);
        assert!(files.root.join("README").exists() && folder.join("notes").exists());
        assert!(!files.root.join(format!("{UNFINISHED}1-1")).exists());
    }
}
