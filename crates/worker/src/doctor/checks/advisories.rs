//! Versions of VMMs: which were tested, and which have known holes.

use std::fmt;

/// The numbers of a version that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

const fn version(major: u32, minor: u32) -> Version {
    Version { major, minor }
}

/// A VMM, known by how its `--version` begins.
#[derive(Debug)]
pub struct Product {
    begins: &'static str,
    /// Oldest and newest that the project's own tests ran on.
    pub tested: (Version, Version),
    /// A hole, with the first version that does not have it. Distributions mend old versions, so
    /// only holes of a VMM that is installed from its own releases are here.
    holes: &'static [(&'static str, Version)],
}

const PRODUCTS: [Product; 2] = [
    Product { begins: "QEMU", tested: (version(7, 2), version(7, 2)), holes: &[] },
    Product {
        begins: "cloud-hypervisor",
        tested: (version(50, 0), version(54, 0)),
        holes: &[("CVE-2026-45782 (use after free in the block device)", version(52, 0))],
    },
];

/// Which VMM says this to `--version`.
pub fn product(said: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| said.starts_with(product.begins))
}

impl Product {
    /// What is known to be wrong with a version.
    pub fn holes(&self, version: Version) -> Vec<&'static str> {
        let open = self.holes.iter().filter(|(_, mended)| version < *mended);
        open.map(|(name, _)| *name).collect()
    }
}

/// The first thing in a text that looks like a version: `7.2.22`, `v54.0.0`.
pub fn version_in(said: &str) -> Option<Version> {
    said.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches('v').split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?;
        let end = minor.find(|char: char| !char.is_ascii_digit()).unwrap_or(minor.len());
        Some(Version { major, minor: minor.get(..end)?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_vmms_say() {
        let qemu = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)";
        assert_eq!(version_in(qemu), Some(version(7, 2)));
        assert_eq!(version_in("cloud-hypervisor v54.0.0"), Some(version(54, 0)));
        assert_eq!(version_in("cloud-hypervisor v51.1-12-gabc"), Some(version(51, 1)));
        assert_eq!(version_in("cloud-hypervisor, of some kind"), None);
    }

    #[test]
    fn a_hole_is_named_until_the_version_that_mends_it() {
        let vmm = product("cloud-hypervisor v51.0").expect("known");
        assert_eq!(vmm.holes(version(51, 9)).len(), 1);
        assert_eq!(vmm.holes(version(52, 0)), Vec::<&str>::new());
        assert!(product("bochs 2.7").is_none());
    }
}
