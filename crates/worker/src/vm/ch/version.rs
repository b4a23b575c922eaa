//! Which cloud-hypervisor this is, and what that version can be used for.

use std::io;
use std::path::{Path, PathBuf};

use crate::host;

/// Its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v{}.{}", self.major, self.minor)
    }
}

/// What has a version that it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Anything at all.
    Everything,
    /// [`Restore::Private`](super::argv::Restore).
    PrivateRestore,
    /// [`Restore::OnDemand`](super::argv::Restore), and saying which kind of restore it is.
    RestoreMode,
    /// A guest that goes on without being told once more.
    ResumeWord,
    /// A block device.
    Disk,
    /// Being used without a word of warning.
    Quiet,
}

/// Every version that something begins with, and why. Advisories belong here: to the part that
/// they are about.
const MINIMUMS: [(Part, u32, &str); 6] = [
    (Part::Everything, 50, "older releases were never looked at"),
    (Part::PrivateRestore, 51, "v50 opens guest memory for writing even if it is mapped privately"),
    (Part::RestoreMode, 52, "v52 brought memory_restore_mode"),
    (Part::ResumeWord, 52, "v52 brought resume=true"),
    (Part::Disk, 52, "CVE-2026-45782: use after free in the block device, fixed in v52"),
    (Part::Quiet, 52, "v52 fixed panics that a guest can cause, and CVE-2026-45782"),
];

/// The worker gives no VM a disk; so what is wrong with them does not concern it.
pub(super) const USED: [Part; 1] = [Part::Everything];

impl Version {
    /// Whether a part can be used.
    pub(super) fn has(self, part: Part) -> bool {
        self.lacks(part).is_none()
    }

    /// Why a part cannot be used.
    pub(super) fn lacks(self, part: Part) -> Option<(u32, &'static str)> {
        let minimum = MINIMUMS.iter().find(|(it, ..)| *it == part);
        minimum.filter(|(_, major, _)| self.major < *major).map(|(_, major, why)| (*major, *why))
    }

    fn parse(said: &str) -> Option<Self> {
        let word = said.strip_prefix("cloud-hypervisor v")?.split_whitespace().next()?;
        // A build from a working tree says `v54.0-12-gabcdef-dirty`.
        let mut numbers = word.split(|letter: char| !letter.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Some(Self { major, minor })
    }
}

/// A cloud-hypervisor that can be used.
#[derive(Debug, Clone)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it says to `--version`.
    pub said: String,
    /// Its release.
    pub version: Version,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoProgram {
    /// It is not there.
    #[error("no cloud-hypervisor in {}: install it, or name it with --cloud-hypervisor", PLACES.join(", "))]
    Missing,
    /// It does not run.
    #[error("{} cannot be run", path.display())]
    Run {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} says `{said}`, not which cloud-hypervisor it is", path.display())]
    Other {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        said: String,
    },
    /// It is too old.
    #[error("{} is {version}; v{least} or later is needed: {why}", path.display())]
    Old {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        version: Version,
        /// What it should be.
        least: u32,
        /// Why.
        why: &'static str,
    },
}

const PLACES: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/libexec", "/opt/cloud-hypervisor"];

impl Program {
    /// Looks where it usually is, if it is not named, and at its version.
    ///
    /// # Errors
    /// It is not there, or cannot be used.
    pub fn find(named: Option<&Path>) -> Result<Self, NoProgram> {
        let usual = || {
            let mut paths = PLACES.iter().map(|dir| Path::new(dir).join("cloud-hypervisor"));
            paths.find(|path| path.exists())
        };
        let path = named.map(Path::to_owned).or_else(usual).ok_or(NoProgram::Missing)?;
        let run = |source| NoProgram::Run { path: path.clone(), source };
        let path = path.canonicalize().map_err(run)?;
        let said = host::version(path.as_os_str()).map_err(run)?;
        let Some(version) = Version::parse(&said) else {
            return Err(NoProgram::Other { path, said });
        };
        for part in USED {
            if let Some((least, why)) = version.lacks(part) {
                return Err(NoProgram::Old { path, version, least, why });
            }
        }
        if let Some((least, why)) = version.lacks(Part::Quiet) {
            tracing::warn!(%version, "cloud-hypervisor should be v{least} or later: {why}");
        }
        Ok(Self { path, said, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32) -> Version {
        Version { major, minor: 0 }
    }

    #[test]
    fn a_version_is_read_as_released_and_as_built() {
        let parse = |said: &str| Version::parse(said).map(|version| version.to_string());
        assert_eq!(parse("cloud-hypervisor v54.0.0").as_deref(), Some("v54.0"));
        assert_eq!(parse("cloud-hypervisor v50.1-12-gabc-dirty").as_deref(), Some("v50.1"));
        assert_eq!(parse("cloud-hypervisor v52"), Some("v52.0".to_owned()));
        for other in ["", "QEMU emulator version 7.2", "cloud-hypervisor vx", "cloud-hypervisor"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn each_part_has_the_version_it_begins_with() {
        for (part, least, _) in MINIMUMS {
            assert!(!version(least - 1).has(part), "{part:?}");
            assert!(version(least).has(part), "{part:?}");
        }
    }

    /// Threat case 15: whatever an advisory names is refused below its fix wherever it is used.
    #[test]
    fn the_block_device_advisory_would_refuse_a_version_if_a_vm_had_a_disk() {
        assert!(!version(51).has(Part::Disk));
        assert!(version(52).has(Part::Disk));
        assert!(!USED.contains(&Part::Disk), "a VM with a disk needs Part::Disk in USED");
    }

    fn fake(said: &str) -> Result<Program, NoProgram> {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("ch");
        std::fs::write(&path, format!("#!/bin/sh\necho '{said}'\n")).expect("write");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("mode");
        Program::find(Some(&path))
    }

    #[test]
    fn one_that_is_too_old_or_something_else_is_refused_by_name() {
        assert_eq!(fake("cloud-hypervisor v50.0.0").expect("fits").version, version(50));
        let error = fake("cloud-hypervisor v49.0.0").expect_err("too old").to_string();
        assert!(error.contains("is v49.0; v50 or later is needed"), "{error}");
        let error = fake("QEMU").expect_err("another").to_string();
        assert!(error.contains("says `QEMU`"), "{error}");
        let missing = Program::find(Some(Path::new("/nonexistent/ch"))).expect_err("missing");
        assert!(missing.to_string().contains("/nonexistent/ch cannot be run"), "{missing}");
    }
}
