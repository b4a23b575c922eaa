//! Guests whose first process is another one of ours.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::paths;

/// Makes VM assets in a new directory: those that were built, with this program of the guests'
/// build (`pe-rogue-init`, `pe-crun-baseline`) in the place of guest init.
///
/// # Errors
/// Something was not built, or `into` is there.
pub fn with_init(program: &str, assets: &Path, into: &Path) -> anyhow::Result<()> {
    fs::create_dir(into)?;
    for name in ["vmlinuz", "manifest.json"] {
        fs::copy(assets.join(name), into.join(name)).context(name)?;
    }
    // The kernel unpacks one archive after the other; a later /init wins.
    let mut initramfs = fs::read(assets.join("initramfs.cpio"))?;
    initramfs.extend(archive_of_init(&paths::guest_program(program)?)?);
    Ok(fs::write(into.join("initramfs.cpio"), initramfs)?)
}

fn archive_of_init(program: &Path) -> anyhow::Result<Vec<u8>> {
    let dir = tempfile::tempdir()?;
    fs::copy(program, dir.path().join("init")).with_context(|| program.display().to_string())?;
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc", "-R", "0:0"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cpio")?;
    cpio.stdin.take().context("stdin")?.write_all(b"init\n")?;
    let done = cpio.wait_with_output()?;
    anyhow::ensure!(done.status.success(), "cpio: {}", done.status);
    Ok(done.stdout)
}
