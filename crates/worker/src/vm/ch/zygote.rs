//! The zygote: a guest that waits, saved once, restored many times.
//!
//! Owns a directory with the saved machine, which only the VMM that is being saved may write to,
//! and which is read-only to all others once that one is dead; and, for private restores, the
//! saved memory as one memfd, sealed against every write. These and the packs are all that VMs
//! of one zygote have in common; none can change any of it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::SealFlag;
use nix::libc;
use nix::unistd::{Whence, lseek64};

use crate::iofile::{IoFile, memfd, seal};
use crate::jail::ZygoteDir;
use crate::limits::{SAVED_CONFIG_BYTES_MAX, SETTLE};
use crate::vm::boot::{BootingVm, Deadline};
use crate::vm::launch::{Assets, no_memory};
use crate::vm::maker::NoZygote;
use crate::vm::{ReadyVm, StartError};

use super::api::Api;
use super::argv::Restore;
use super::launch::{Keep, Launcher, Start};
use super::saved;

/// A saved guest.
#[derive(Debug)]
pub(super) struct Zygote {
    dir: ZygoteDir,
    /// If it is not in the directory.
    memory: Option<File>,
}

/// The zygote's memory while it lives. It has to have a name, else the VMM would save a copy.
const MEMORY: &str = "memory";

impl Zygote {
    /// Boots a guest, saves it when it waits, and ends it.
    pub(super) async fn build(launcher: &Launcher, assets: &Assets) -> Result<Self, NoZygote> {
        let confinement = launcher.terms.confinement().map_err(NoZygote::NoBoot)?;
        let dir = launcher.terms.jail.zygote_dir(&confinement).map_err(cannot_save);
        let dir = dir.map_err(NoZygote::NoBoot)?;
        let memory = match launcher.restore {
            Restore::Copy | Restore::OnDemand => None,
            Restore::Private => {
                let file = memory_file(&dir.path().join(MEMORY), launcher.terms.memory_bytes());
                Some(file.map_err(no_memory).map_err(NoZygote::NoBoot)?)
            }
        };
        let keep = memory.as_ref().map_or(Keep::Sparse, |file| Keep::In(file.as_fd()));
        let boot = async {
            let deadline = Deadline::after(launcher.terms.boot_within);
            // It looks as every VM's io file does, and is empty.
            let io = IoFile::create().map_err(no_memory)?;
            let start = Start::Kernel(assets, keep);
            let mut vm = launcher.spawn(&io, start, confinement).await?;
            vm.wait_ready(deadline).await?;
            vm.look_around(deadline).await?;
            Ok(vm)
        };
        let vm = boot.await.map_err(NoZygote::NoBoot)?;
        Self::save(vm, dir, memory, launcher.restore).await.map_err(NoZygote::NotSaved)
    }

    async fn save(
        mut vm: BootingVm<Api>,
        dir: ZygoteDir,
        memory: Option<File>,
        restore: Restore,
    ) -> Result<Self, StartError> {
        tokio::time::sleep(SETTLE).await;
        vm.control.pause().await?;
        vm.control.snapshot(format!("file://{}", dir.path().display())).await?;
        let pid = vm.pid();
        // Nothing is taken from the directory while somebody can write to it.
        vm.kill().await;
        let finish = move || -> io::Result<Self> {
            change_config(&dir.path().join(saved::CONFIG), restore)?;
            let memory = memory.map(|file| sealed_copy(&file)).transpose()?;
            if memory.is_some() {
                std::fs::remove_file(dir.path().join(MEMORY))?;
            }
            dir.seal()?;
            Ok(Self { dir, memory })
        };
        let finished = tokio::task::spawn_blocking(finish).await.map_err(io::Error::other);
        let zygote = finished.and_then(|result| result).map_err(cannot_save)?;
        tracing::info!(pid, restore = restore.as_str(), "zygote saved");
        Ok(zygote)
    }

    /// A ready VM like the zygote was, with an io file of its own.
    pub(super) async fn restore(&self, launcher: &Launcher) -> Result<ReadyVm, StartError> {
        let deadline = Deadline::after(launcher.terms.restore_within());
        let io = IoFile::create().map_err(no_memory)?;
        let memory: Option<BorrowedFd<'_>> = self.memory.as_ref().map(|file| file.as_fd());
        let start = Start::Saved(self.dir.path(), memory);
        let confinement = launcher.terms.confinement()?;
        let mut vm = launcher.spawn(&io, start, confinement).await?;
        if !launcher.words.resume {
            vm.greet().await?;
            vm.control.resume().await?;
        }
        vm.look_around(deadline).await?;
        Ok(launcher.terms.ready(vm, io))
    }
}

/// For everyone who can enter the directory, which is one VMM; the worker keeps it open.
fn memory_file(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o666))?;
    file.set_len(bytes)?;
    Ok(file)
}

/// Opened without following what its writer may have put in its place.
fn change_config(path: &Path, restore: Restore) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = options.open(path)?;
    let mut config = Vec::new();
    (&file).take(SAVED_CONFIG_BYTES_MAX).read_to_end(&mut config)?;
    let config = saved::for_restore(&config, restore).map_err(io::Error::other)?;
    file.set_len(0)?;
    std::io::Seek::rewind(&mut file)?;
    file.write_all(&config)
}

/// The same bytes, holes left out, in memory that nobody can change any more.
fn sealed_copy(file: &File) -> io::Result<File> {
    let bytes = file.metadata()?.len();
    let copy = memfd(c"pe-ram", bytes)?;
    let mut piece = vec![0; COPY_BYTES];
    let mut at = 0;
    while let Some(data) = seek(file, at, Whence::SeekData)? {
        let hole = seek(file, data, Whence::SeekHole)?.unwrap_or(bytes);
        at = data;
        while at < hole {
            let most = usize::try_from(hole - at).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let piece = piece.get_mut(..most).unwrap_or_default();
            file.read_exact_at(piece, at)?;
            copy.write_all_at(piece, at)?;
            at += u64::try_from(most).unwrap_or(u64::MAX);
        }
    }
    seal(&copy, SealFlag::all() - SealFlag::F_SEAL_FUTURE_WRITE)?;
    Ok(copy)
}

/// Copied at a time.
const COPY_BYTES: usize = 1024 * 1024;

/// `None` beyond the last of what is sought.
fn seek(file: &File, from: u64, what: Whence) -> io::Result<Option<u64>> {
    let from = i64::try_from(from).map_err(io::Error::other)?;
    match lseek64(file, from, what) {
        Ok(at) => Ok(u64::try_from(at).ok()),
        Err(nix::errno::Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn cannot_save(source: io::Error) -> StartError {
    StartError::Host { what: "keep a saved guest", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_copied_with_its_holes_and_sealed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = memory_file(&dir.path().join(MEMORY), 64 << 20).expect("file");
        file.write_all_at(b"start", 0).expect("write");
        file.write_all_at(b"middle", (5 << 20) - 3).expect("write");
        file.write_all_at(b"end", (64 << 20) - 3).expect("write");
        let copy = sealed_copy(&file).expect("copy");
        assert_eq!(copy.metadata().expect("metadata").len(), 64 << 20);
        let read = |at: u64, length: usize| {
            let mut bytes = vec![0; length];
            copy.read_exact_at(&mut bytes, at).expect("read");
            bytes
        };
        assert_eq!(read(0, 6), b"start\0");
        assert_eq!(read((5 << 20) - 3, 6), b"middle");
        assert_eq!(read((64 << 20) - 3, 3), b"end");
        copy.write_all_at(b"x", 0).expect_err("sealed");
        let blocks = std::os::unix::fs::MetadataExt::blocks(&copy.metadata().expect("metadata"));
        assert!(blocks * 512 < 8 << 20, "{blocks} blocks");
    }

    #[test]
    fn a_config_that_is_a_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let target = dir.path().join("target");
        std::fs::write(&target, b"{}").expect("write");
        let link = dir.path().join(saved::CONFIG);
        std::os::unix::fs::symlink(&target, &link).expect("link");
        change_config(&link, Restore::Copy).expect_err("refused");
        assert_eq!(std::fs::read(&target).expect("read"), b"{}");
    }

    #[test]
    fn a_config_is_changed_in_place() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join(saved::CONFIG);
        let long = r#"{"payload":{"kernel":"k","initramfs":"a longer one than what is left"}}"#;
        std::fs::write(&path, long).expect("write");
        change_config(&path, Restore::Copy).expect("changed");
        let changed = std::fs::read_to_string(&path).expect("read");
        assert_eq!(changed, r#"{"payload":{"kernel":"k"}}"#);
    }
}
