//! Writing returned files below `--out`, and nowhere else.
//!
//! Every step is relative to an open directory and follows no symbolic link, so neither a name
//! from a server nor a link that is there already can lead outside. An existing file is replaced
//! by removing the name and making a new file: never written through, so a hard link to it keeps
//! its content. What cannot be written is said and does not stop the rest.

mod link;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use pe_proto::archive::Kind;
use pe_proto::path;

use crate::answer::ReturnedFile;
use crate::words::printable;

/// The directory named by `--out`.
#[derive(Debug)]
pub struct OutDir {
    root: OwnedFd,
    shown: PathBuf,
    force: bool,
}

/// What became of the files.
#[derive(Debug, Default)]
pub struct Kept {
    /// Files, links and empty directories that are there now.
    pub count: usize,
    /// Sentences about what is not there because it may not be; the result is as good as it gets.
    pub notes: Vec<String>,
    /// Sentences about what is not there and should be.
    pub failures: Vec<String>,
}

/// Why one of the files is not there.
#[derive(Debug, thiserror::Error)]
enum Unkept {
    #[error("it exists with other content; --force replaces it")]
    Exists,
    #[error("a directory of that name is there")]
    IsDirectory,
    #[error("`{}` is there and is not a directory", printable(.0))]
    NotDirectory(String),
    #[error("it is a symbolic link that leads outside of the directory")]
    LinkOutside,
    #[error("{0}")]
    Path(#[from] path::BadPath),
    #[error("{}", .0.desc())]
    Os(#[from] Errno),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl OutDir {
    /// Makes the directory if it is not there, and opens it. It is the person's own word, so
    /// links on the way to it are followed.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn open(path: &Path, force: bool) -> std::io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let file = File::open(path)?;
        if !file.metadata()?.is_dir() {
            return Err(std::io::Error::from(std::io::ErrorKind::NotADirectory));
        }
        Ok(Self { root: file.into(), shown: path.to_owned(), force })
    }

    /// Writes all that can be written.
    pub fn keep(&self, files: &[ReturnedFile]) -> Kept {
        let mut kept = Kept::default();
        for file in files {
            let shown = printable(&self.shown.join(&file.path).to_string_lossy());
            match self.keep_one(file) {
                Ok(()) => kept.count += 1,
                Err(why @ Unkept::LinkOutside) => {
                    kept.notes.push(format!("`{shown}` was left out: {why}"));
                }
                Err(why) => kept.failures.push(format!("cannot write `{shown}`: {why}")),
            }
        }
        kept
    }

    fn keep_one(&self, file: &ReturnedFile) -> Result<(), Unkept> {
        // The decoder checked it; this border does not rely on that.
        path::check_str(&file.path)?;
        if file.kind == Kind::Directory {
            self.directory(&file.path)?;
            return Ok(());
        }
        let (parent, name) = match file.path.rsplit_once('/') {
            Some((parent, name)) => (Some(self.directory(parent)?), name),
            None => (None, file.path.as_str()),
        };
        let parent = parent.as_ref().unwrap_or(&self.root).as_fd();
        match file.kind {
            Kind::Symlink => self.link(parent, name, file),
            Kind::File | Kind::Executable | Kind::Directory => self.file(parent, name, file),
        }
    }

    /// Opens a directory below the root, made if it is not there.
    fn directory(&self, path: &str) -> Result<OwnedFd, Unkept> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut current = self.root.try_clone()?;
        for name in path.split('/') {
            let mode = Mode::from_bits_truncate(0o777);
            match mkdirat(&current, name, mode) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            current = openat(&current, name, flags, Mode::empty()).map_err(|error| {
                // A symbolic link is one or the other, depending on the system.
                if matches!(error, Errno::ENOTDIR | Errno::ELOOP) {
                    Unkept::NotDirectory(name.to_owned())
                } else {
                    error.into()
                }
            })?;
        }
        Ok(current)
    }

    fn file(&self, dir: BorrowedFd<'_>, name: &str, file: &ReturnedFile) -> Result<(), Unkept> {
        let executable = file.kind == Kind::Executable;
        let mode = Mode::from_bits_truncate(if executable { 0o777 } else { 0o666 });
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = match openat(dir, name, flags, mode) {
            Err(Errno::EEXIST) => {
                if is_same_file(dir, name, file) {
                    return Ok(());
                }
                self.make_room(dir, name)?;
                openat(dir, name, flags, mode)?
            }
            opened => opened?,
        };
        File::from(fd).write_all(&file.data)?;
        Ok(())
    }

    fn link(&self, dir: BorrowedFd<'_>, name: &str, file: &ReturnedFile) -> Result<(), Unkept> {
        let target = std::str::from_utf8(&file.data).map_err(|_| Unkept::LinkOutside)?;
        if !link::stays_inside(&file.path, target) {
            return Err(Unkept::LinkOutside);
        }
        match symlinkat(target, dir, name) {
            Err(Errno::EEXIST) => {
                if readlinkat(dir, name).is_ok_and(|there| there == target) {
                    return Ok(());
                }
                self.make_room(dir, name)?;
                Ok(symlinkat(target, dir, name)?)
            }
            made => Ok(made?),
        }
    }

    /// Removes what has the name, if that is allowed; never a directory.
    fn make_room(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), Unkept> {
        let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR {
            return Err(Unkept::IsDirectory);
        }
        if !self.force {
            return Err(Unkept::Exists);
        }
        Ok(unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?)
    }
}

/// Whether the file is there already just as it came back: then there is nothing to do, and a
/// job can be repeated into the same directory.
fn is_same_file(dir: BorrowedFd<'_>, name: &str, file: &ReturnedFile) -> bool {
    // Without O_NONBLOCK a named pipe of that name would wait for a writer.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(fd) = openat(dir, name, flags, Mode::empty()) else {
        return false;
    };
    let there = File::from(fd);
    let Ok(metadata) = there.metadata() else {
        return false;
    };
    let executable = {
        use std::os::unix::fs::PermissionsExt as _;
        metadata.permissions().mode() & 0o111 != 0
    };
    let len = file.data.len() as u64;
    if !metadata.is_file() || metadata.len() != len || executable != (file.kind == Kind::Executable)
    {
        return false;
    }
    let mut bytes = Vec::with_capacity(file.data.len());
    there.take(len + 1).read_to_end(&mut bytes).is_ok() && bytes == file.data
}

#[cfg(test)]
mod tests;
