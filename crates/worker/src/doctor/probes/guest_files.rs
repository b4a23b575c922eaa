//! Reads kernel and initramfs and compares them with the manifest of their build.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use futures_util::FutureExt as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{DOCTOR_FILES, Probe, blocking};
use crate::config::Config;
use crate::doctor::checks;
use crate::host;
use crate::limits::CATALOGUE_BYTES_MAX;

/// What VMs boot from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestFilesFacts {
    /// One of the two cannot be read.
    Missing {
        /// Which, and why not.
        reason: String,
    },
    /// Both are there.
    Found {
        /// Of the kernel, as its image says.
        release: String,
        /// What differs from the manifest.
        changed: Vec<String>,
        /// Files that the VMs' user cannot read.
        unreadable: Vec<String>,
        /// There is nothing to compare with.
        without_manifest: bool,
    },
}

/// As much of manifest.json as is compared. Other builds write other things into it, too.
#[derive(Debug, Deserialize)]
struct Manifest {
    kernel: KernelEntry,
    #[serde(default)]
    initramfs_sha256: Option<String>,
}

#[derive(Debug, Deserialize)]
struct KernelEntry {
    release: String,
    vmlinuz_sha256: String,
}

/// Asks for the files.
pub(super) fn probe(config: &Config, root: bool) -> Probe {
    let dir = config.vm_assets.clone();
    let ask = async move {
        let found = blocking(move || {
            look(&dir, root).unwrap_or_else(|reason| GuestFilesFacts::Missing { reason })
        });
        vec![checks::vm::guest_files(&found.await)]
    };
    Probe { checks: vec![&checks::GUEST_FILES], within: DOCTOR_FILES, ask: ask.boxed() }
}

fn look(dir: &Path, for_all: bool) -> Result<GuestFilesFacts, String> {
    let (kernel, initramfs) = (dir.join("vmlinuz"), dir.join("initramfs.cpio"));
    let hash = |path: &Path| {
        let sum = || -> io::Result<String> { sha256(File::open(path)?) };
        sum().map_err(|error| format!("{}: {error}", path.display()))
    };
    let (kernel_sha256, initramfs_sha256) = (hash(&kernel)?, hash(&initramfs)?);
    let release = host::kernel_release(&kernel)
        .map_err(|error| format!("{} is no kernel: {error}", kernel.display()))?;
    let manifest = dir.join("manifest.json");
    let stated: Option<Manifest> = match std::fs::metadata(&manifest) {
        Ok(meta) if meta.len() <= CATALOGUE_BYTES_MAX => {
            let text = std::fs::read(&manifest).map_err(|error| error.to_string());
            let parsed = text.and_then(|text| {
                serde_json::from_slice(&text).map_err(|error: serde_json::Error| error.to_string())
            });
            Some(parsed.map_err(|error| format!("{}: {error}", manifest.display()))?)
        }
        _ => None,
    };
    let mut changed = Vec::new();
    if let Some(Manifest { kernel, initramfs_sha256: stated_initramfs }) = &stated {
        if kernel.vmlinuz_sha256 != kernel_sha256 {
            changed.push("vmlinuz".to_owned());
        }
        if kernel.release != release {
            changed.push(format!("release {release} instead of {}", kernel.release));
        }
        if stated_initramfs.as_ref().is_some_and(|stated| *stated != initramfs_sha256) {
            changed.push("initramfs.cpio".to_owned());
        }
    }
    let is_private = |path: &&Path| {
        for_all && std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o004 == 0)
    };
    let unreadable = [kernel.as_path(), initramfs.as_path()].into_iter().filter(is_private);
    Ok(GuestFilesFacts::Found {
        release,
        changed,
        unreadable: unreadable.map(|path| path.display().to_string()).collect(),
        without_manifest: stated.is_none(),
    })
}

/// The digest of a file, in hex.
fn sha256(mut file: File) -> io::Result<String> {
    let mut sum = Sha256::new();
    io::copy(&mut file, &mut sum)?;
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
