//! SHA-256 digests: of images and packs, and the digest that names a job (`protocol.md 3`).

use bincode::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use crate::job::JobSpec;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Digest(pub [u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, optionally after `sha256:`")]
pub struct NotADigest;

impl Digest {
    /// Digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 64 lower-case hexadecimal digits, with no prefix.
    pub fn hex(&self) -> String {
        // Without formatting machinery: every job's digest is written several times.
        let digit =
            |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble });
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl std::str::FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        let mut bytes = [0u8; 32];
        if hex.len() != 64 {
            return Err(NotADigest);
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let &[high, low] = pair else {
                return Err(NotADigest);
            };
            *byte = (nibble(high)? << 4) | nibble(low)?;
        }
        Ok(Self(bytes))
    }
}

/// Only lower case: one digest has one spelling, so a cache key can be compared as text.
fn nibble(digit: u8) -> Result<u8, NotADigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotADigest),
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digest({})", self.hex())
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes the digest of bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct Digester(Sha256);

impl Digester {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Computes a job's digest while its archive streams by (`protocol.md 3`).
///
/// The digest is SHA-256 over: the 8 bytes `PEJOB\0\0\x01`, the canonical encoding of the
/// [`JobSpec`] behind its u32le length, and the archive's bytes. An archive has exactly one
/// encoding, so every form of a request for the same job has the same digest.
#[derive(Debug, Clone)]
pub struct JobDigester(Sha256);

impl JobDigester {
    /// Starts with everything but the archive.
    pub fn new(spec: &JobSpec) -> Self {
        let mut sha = Sha256::new();
        sha.update(b"PEJOB\0\0\x01");
        let canonical = spec.canonical();
        sha.update(u32::try_from(canonical.len()).unwrap_or(u32::MAX).to_le_bytes());
        sha.update(canonical);
        Self(sha)
    }

    /// Takes the next bytes of the archive.
    pub fn update(&mut self, archive_bytes: &[u8]) {
        self.0.update(archive_bytes);
    }

    /// The digest, once the whole archive went through.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
