//! Lengths and digests, checked while bytes go by.

use std::io::{self, Read};

use pe_proto::Digest;
use sha2::{Digest as _, Sha256};

/// Bytes that are not those that were named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Too many.
    #[error("is longer than the {named} bytes that were named")]
    Longer {
        /// By its descriptor.
        named: u64,
    },
    /// Too few.
    #[error("ends after {got} of {named} bytes")]
    Shorter {
        /// Bytes that came.
        got: u64,
        /// By its descriptor.
        named: u64,
    },
    /// Others.
    #[error("has the digest {got}, and {named} was named")]
    Digest {
        /// Of what came.
        got: Digest,
        /// By its descriptor.
        named: Digest,
    },
}

impl From<Mismatch> for io::Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::new(io::ErrorKind::InvalidData, mismatch)
    }
}

/// Compares what goes by with what was named.
#[derive(Debug, Clone)]
pub(super) struct Verifier {
    sha: Sha256,
    got: u64,
    named: u64,
    digest: Digest,
}

impl Verifier {
    /// For bytes that are named by their digest and length.
    pub(super) fn new(digest: Digest, bytes: u64) -> Self {
        Self { sha: Sha256::new(), got: 0, named: bytes, digest }
    }

    /// Bytes that went by.
    pub(super) fn got(&self) -> u64 {
        self.got
    }

    /// Bytes that are to come.
    pub(super) fn left(&self) -> u64 {
        self.named - self.got
    }

    /// The next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > self.left() {
            return Err(Mismatch::Longer { named: self.named });
        }
        self.got += length;
        self.sha.update(bytes);
        Ok(())
    }

    /// Nothing more comes.
    pub(super) fn finish(&self) -> Result<(), Mismatch> {
        if self.left() > 0 {
            return Err(Mismatch::Shorter { got: self.got, named: self.named });
        }
        let got = Digest(self.sha.clone().finalize().into());
        if got == self.digest { Ok(()) } else { Err(Mismatch::Digest { got, named: self.digest }) }
    }
}

/// A reader whose end is an error if what was read is not what was named.
#[derive(Debug)]
pub(super) struct Verified<R> {
    inner: R,
    verifier: Verifier,
}

impl<R: Read> Verified<R> {
    pub(super) fn new(inner: R, digest: Digest, bytes: u64) -> Self {
        Self { inner, verifier: Verifier::new(digest, bytes) }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            self.verifier.finish()?;
            return Ok(0);
        };
        self.verifier.update(bytes)?;
        Ok(count)
    }
}

/// A whole document in memory, compared with what was named.
pub(super) fn check(bytes: &[u8], digest: Digest, length: u64) -> Result<(), Mismatch> {
    let mut verifier = Verifier::new(digest, length);
    verifier.update(bytes)?;
    verifier.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_reached_only_by_the_bytes_that_were_named() {
        let good = Digest::of(b"hello");
        let check = |bytes: &[u8], digest: Digest, length: u64, expected: Option<Mismatch>| {
            let mut read = Vec::new();
            let result = Verified::new(bytes, digest, length).read_to_end(&mut read);
            match expected {
                None => {
                    result.expect("all of it");
                    assert_eq!(read, bytes);
                }
                Some(mismatch) => {
                    let error = result.expect_err("a mismatch");
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                    assert_eq!(error.to_string(), mismatch.to_string());
                    assert!(read.len() as u64 <= length);
                }
            }
        };
        check(b"hello", good, 5, None);
        check(b"hello", good, 4, Some(Mismatch::Longer { named: 4 }));
        check(b"hello", good, 6, Some(Mismatch::Shorter { got: 5, named: 6 }));
        let other = Digest::of(b"hullo");
        check(b"hello", other, 5, Some(Mismatch::Digest { got: good, named: other }));
        check(b"", Digest::of(b""), 0, None);
    }
}
