//! The files that a zygote is made of, and whether they are still the same ones.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use tokio::time::Instant;

use crate::limits::INPUTS_EVERY;

/// Files that are looked at, without being opened.
#[derive(Debug, Default)]
pub struct Inputs {
    paths: Vec<PathBuf>,
    known: Vec<Option<Print>>,
    looked: Option<Instant>,
}

/// What changes when a file is replaced or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Inputs {
    /// Remembers what these files are now.
    pub fn of(paths: Vec<PathBuf>) -> Self {
        let known = look(&paths);
        Self { paths, known, looked: None }
    }

    /// Whether one of them has become another since the last time. Looked at once in a while
    /// only; files that are missing for a moment, as when they are replaced, are no change yet.
    pub(super) fn changed(&mut self) -> bool {
        let recent = |at: Instant| at.elapsed() < INPUTS_EVERY;
        if self.paths.is_empty() || self.looked.is_some_and(recent) {
            return false;
        }
        self.looked = Some(Instant::now());
        let now = look(&self.paths);
        if now == self.known || now.iter().any(Option::is_none) {
            return false;
        }
        self.known = now;
        true
    }
}

fn look(paths: &[PathBuf]) -> Vec<Option<Print>> {
    let print = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some(Print {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        })
    };
    paths.iter().map(print).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_replaced_or_written_to_has_changed_and_one_that_is_gone_has_not() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("vmlinuz");
        let later = || tokio::time::advance(INPUTS_EVERY + Duration::from_millis(1));
        std::fs::write(&path, "one").expect("write");
        let mut inputs = Inputs::of(vec![path.clone()]);
        assert!(!inputs.changed());
        std::fs::write(&path, "longer").expect("write");
        assert!(!inputs.changed(), "looked at a moment ago");
        later().await;
        assert!(inputs.changed());
        later().await;
        assert!(!inputs.changed(), "known by now");
        std::fs::remove_file(&path).expect("remove");
        later().await;
        assert!(!inputs.changed());
        std::fs::write(dir.path().join("new"), "longer").expect("write");
        std::fs::rename(dir.path().join("new"), &path).expect("rename");
        later().await;
        assert!(inputs.changed());
    }
}
