//! Where the things under test were built.

use std::path::{Path, PathBuf};

/// Root of the repository.
pub fn repository() -> PathBuf {
    // By name alone: where the suite runs, the sources need not be.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}

/// One of our release binaries.
///
/// # Errors
/// It was not built; the message tells how.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    existing(repository().join("target/release").join(name))
}

/// Catalogue and packs.
///
/// # Errors
/// As [`binary`].
pub fn images() -> anyhow::Result<PathBuf> {
    existing(repository().join("build/images"))
}

/// Kernel and initramfs.
///
/// # Errors
/// As [`binary`].
pub fn vm_assets() -> anyhow::Result<PathBuf> {
    existing(repository().join("build/vm/x86_64"))
}

/// A program that is built to run in guests.
///
/// # Errors
/// As [`binary`].
pub fn guest_program(name: &str) -> anyhow::Result<PathBuf> {
    let built = repository().join("target/guest-build/x86_64-unknown-linux-gnu/guest");
    existing(built.join(name))
}

fn existing(path: PathBuf) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(path.exists(), "{} is not there: run `make assets`", path.display());
    Ok(path)
}
