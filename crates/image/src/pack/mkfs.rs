//! mkfs.erofs: found, told what to do, confined.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pe_proto::Digest;

use super::PackError;
use crate::confined::{Order, Owners, run};
use crate::flatten::Caps;
use crate::oci::{OciImage, Source};
use crate::store::Work;

/// The tree, the file that is made of it, and a place for temporary files, in a working directory.
pub(super) const ROOT: &str = "root";
pub(super) const PACK: &str = "pack";
const TMP: &str = "tmp";

/// Changes whenever the same images would give another pack: policies of flattening, flags.
const FORM: &str = "pe-pack 1";

/// `SOURCE_DATE_EPOCH`, which is the volume's time, and the latest that a file can have. The flag
/// `-T` would give its time to all files, and without either the volume has the time of day.
const TIME_OF_VOLUMES: &str = "8589934591";

/// Where it may be. Not on everyone's PATH.
const DIRS: [&str; 6] =
    ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Pieces of files that are stored once, if images share a pack. Smaller ones took more time, for a
/// pack of one image that was hardly smaller (decision 0014); on two versions they were not tried.
const CHUNK_BYTES: u32 = 64 * 1024;

/// The program.
#[derive(Debug)]
pub(super) struct Mkfs {
    program: PathBuf,
    version: String,
}

impl Mkfs {
    pub(super) fn find() -> Result<Self, PackError> {
        let mut places = DIRS.iter().map(|dir| Path::new(dir).join("mkfs.erofs"));
        let program = places.find(|path| path.is_file()).ok_or(PackError::NoMkfs)?;
        let said = Command::new(&program).arg("-V").stdin(Stdio::null()).output()?;
        let version = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or("").to_owned();
        Ok(Self { program, version })
    }

    /// Makes [`PACK`] of [`ROOT`].
    pub(super) fn make(
        &self,
        work: &Work<'_>,
        recipe: &Recipe,
        caps: &Caps,
        owners: Owners,
    ) -> Result<(), PackError> {
        let tmp = work.path().join(TMP);
        fs::create_dir(&tmp)?;
        let mut args: Vec<String> = Vec::new();
        // Only a file on whole pages of its own can be mapped straight from pmem.
        args.extend(["--quiet", "-E", "noinline_data"].map(str::to_owned));
        args.extend(["-U", &recipe.uuid_text()].map(str::to_owned));
        if recipe.is_shared {
            args.push(format!("--chunksize={CHUNK_BYTES}"));
        }
        args.extend([PACK, ROOT].map(str::to_owned));
        let (program, time) = (self.program.clone(), TIME_OF_VOLUMES.to_owned());
        let order = Order::Mkfs { program, args, time, tmp, caps: *caps };
        run(&order, work.path(), owners).map_err(PackError::Mkfs)
    }
}

/// What a pack is made of.
#[derive(Debug)]
pub(super) struct Recipe {
    hash: Digest,
    /// Several images share it, or may some day.
    pub(super) is_shared: bool,
}

impl Recipe {
    pub(super) fn new(
        images: &[(&str, &OciImage, &dyn Source)],
        mkfs: &Mkfs,
        owners: Owners,
    ) -> Self {
        let is_shared = images.iter().any(|(prefix, ..)| !prefix.is_empty());
        let mut text = format!("{FORM}\n{}\n{}\n", mkfs.version, owners.are_kept());
        for (prefix, image, _) in images {
            text.push_str(&format!("{} {prefix}\n", image.manifest));
        }
        Self { hash: Digest::of(text.as_bytes()), is_shared }
    }

    /// A name for it.
    pub(super) fn name(&self) -> String {
        self.hash.hex()
    }

    /// The volume's uuid.
    pub(super) fn uuid(&self) -> [u8; 16] {
        let mut uuid = [0; 16];
        for (to, from) in uuid.iter_mut().zip(self.hash.0) {
            *to = from;
        }
        uuid
    }

    fn uuid_text(&self) -> String {
        let hex = self.name();
        let part = |from, to| hex.get(from..to).unwrap_or_default();
        let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
        parts.join("-")
    }
}
