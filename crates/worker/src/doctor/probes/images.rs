//! Opens the catalogue as the worker does, and reads every byte of every pack.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use pe_proto::Arch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{DOCTOR_BOOT, DOCTOR_FILES, Probe, blocking};
use crate::config::Config;
use crate::doctor::{Needs, checks};
use crate::images::Images;

/// What can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageFacts {
    /// There is no catalogue.
    None {
        /// Why not.
        reason: String,
    },
    /// They are fetched when the worker serves, and none has been yet.
    ToCome,
    /// There is one.
    Read {
        /// Images that can be run.
        images: usize,
        /// Files they are in.
        packs: usize,
        /// Their size.
        mib: u64,
        /// Images that cannot be run, with reasons.
        left_out: Vec<String>,
        /// Packs whose bytes are not those of their digest.
        damaged: Vec<String>,
        /// Every pack was read to its end.
        hashed_all: bool,
    },
}

/// Asks for the images.
pub(super) fn probe(
    config: &Config,
    needs: &Arc<Needs>,
    root: bool,
    booted: CancellationToken,
) -> Probe {
    let (dir, arch, fetches) = (config.images.clone(), needs.arch, config.fetch.is_some());
    let enough = Arc::new(AtomicBool::new(false));
    let late = Arc::clone(&enough);
    let ask = async move {
        let Some(arch) = arch else {
            let reason = "guests of this architecture are not known".to_owned();
            return vec![checks::service::images(&ImageFacts::None { reason })];
        };
        booted.cancelled().await;
        let mut reading =
            std::pin::pin!(blocking(move || look(&dir, arch, root, fetches, &enough)));
        let found = tokio::select! {
            biased;
            // All was read.
            found = &mut reading => found,
            // What was read until now must do.
            () = sleep(DOCTOR_FILES) => {
                late.store(true, Ordering::Relaxed);
                reading.await
            }
        };
        vec![checks::service::images(&found)]
    };
    Probe {
        checks: vec![&checks::IMAGES],
        within: DOCTOR_BOOT * 2 + DOCTOR_FILES * 2,
        ask: ask.boxed(),
    }
}

fn look(dir: &Path, arch: Arch, for_all: bool, fetches: bool, enough: &AtomicBool) -> ImageFacts {
    if fetches && !dir.join("catalogue.json").exists() {
        return ImageFacts::ToCome;
    }
    let (images, bad) = match Images::survey(dir, arch, for_all) {
        Ok(surveyed) => surveyed,
        Err(error) => return ImageFacts::None { reason: crate::chain(&error) },
    };
    let mut damaged = Vec::new();
    let mut hashed_all = true;
    for pack in images.packs() {
        match pack.verify(|_| !enough.load(Ordering::Relaxed)) {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => hashed_all = false,
            Ok(false) | Err(_) => damaged.push(format!("packs/{}.erofs", pack.digest().hex())),
        }
    }
    // What is missing will be fetched.
    let bad = bad.into_iter().filter(|_| !fetches);
    if fetches && images.packs().is_empty() {
        return ImageFacts::ToCome;
    }
    let left_out = bad.map(|(image, reason)| format!("{image}: {reason}"));
    ImageFacts::Read {
        images: images.digests().len(),
        packs: images.packs().len(),
        mib: images.packs().iter().map(|pack| pack.bytes()).sum::<u64>() / (1024 * 1024),
        left_out: left_out.collect(),
        damaged,
        hashed_all,
    }
}

#[cfg(test)]
mod tests;
