//! How representations are made of one another, and whose turn it is.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use pe_proto::Digest;
use pe_proto::api::{Answer, AnswerFile, AnswerHead, Content};
use pe_proto::archive::{Bounds, Kind, OUTPUT_PREFIX, Role, STDERR, STDOUT, for_each_entry};
use tokio::sync::{Mutex, MutexGuard};

use crate::core::form::Encoding;
use crate::limits::{APART_BYTES_MIN, PACK_HARD_BYTES_MAX};

/// A quarter less is worth the work of unpacking.
const PAYS_BELOW: (usize, usize) = (3, 4);

/// Level of zstd that is as fast as gzip's and packs better.
const ZSTD_LEVEL: i32 = 6;

/// The best that does not ask more memory of who unpacks: a window of 8 MiB (RFC 9659).
const ZSTD_BEST: i32 = 19;

/// Turns at entries of a job. Jobs share them, a few to one, so their number is fixed.
#[derive(Debug)]
pub(super) struct Turns([Turn; 64]);

#[derive(Debug)]
struct Turn {
    lock: Mutex<()>,
    purges: AtomicU64,
}

/// How many purges there were of a job, and of others that share its turn. That a purge of one of
/// those keeps a result out of the cache costs a run, and happens seldom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(u64);

impl Default for Turns {
    fn default() -> Self {
        Self([const { Turn { lock: Mutex::const_new(()), purges: AtomicU64::new(0) } }; 64])
    }
}

impl Turns {
    /// Waits for the job's turn. Not for the way of a hit.
    pub(super) async fn take(&self, digest: Digest) -> Option<MutexGuard<'_, ()>> {
        Some(self.of(digest)?.lock.lock().await)
    }

    /// The job's turn, if nobody has it.
    pub(super) fn take_if_free(&self, digest: Digest) -> Option<MutexGuard<'_, ()>> {
        self.of(digest)?.lock.try_lock().ok()
    }

    pub(super) fn age(&self, digest: Digest) -> Age {
        Age(self.of(digest).map_or(0, |turn| turn.purges.load(Ordering::Acquire)))
    }

    /// A purge begins. To be called before its turn is taken.
    pub(super) fn grow_old(&self, digest: Digest) {
        if let Some(turn) = self.of(digest) {
            turn.purges.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn of(&self, digest: Digest) -> Option<&Turn> {
        let [first, ..] = digest.0;
        self.0.get(usize::from(first) % self.0.len())
    }
}

/// Makes something, where it does not hold up others if it is large.
pub(crate) async fn apart<T: Send + 'static>(
    bytes: usize,
    make: impl FnOnce() -> Option<T> + Send + 'static,
) -> Option<T> {
    if bytes < APART_BYTES_MIN {
        return make();
    }
    tokio::task::spawn_blocking(make).await.unwrap_or(None)
}

/// The JSON form of a binary one.
pub(super) fn json(binary: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = binary.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (head, archive) = rest.split_at_checked(length)?;
    to_json(serde_json::from_slice(head).ok()?, archive)
}

/// Everything in one object.
pub(crate) fn to_json(head: AnswerHead, archive: &[u8]) -> Option<Vec<u8>> {
    let empty = || Content::Text(String::new());
    let (stdout, stderr) = (empty(), empty());
    let mut answer = Answer { head, stdout, stderr, files: BTreeMap::new() };
    for_each_entry(archive, Bounds::of(Role::Result), |kind, path, bytes| {
        let content = Content::from_bytes(bytes);
        if let Some(name) = path.strip_prefix(OUTPUT_PREFIX) {
            answer.files.insert(name.to_owned(), file(kind, name, content));
        } else if path == STDOUT {
            answer.stdout = content;
        } else if path == STDERR {
            answer.stderr = content;
        }
    })
    .ok()?;
    serde_json::to_vec(&answer).ok()
}

fn file(kind: Kind, name: &str, content: Content) -> AnswerFile {
    AnswerFile::new(kind, content, mime_guess::from_path(name).first_raw())
}

/// How much work a packing is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Of what comes and goes.
    Often,
    /// Of what is packed once and sent to everybody.
    Once,
}

/// The bytes in an encoding, if that pays.
pub(crate) fn packed(plain: &[u8], encoding: Encoding, effort: Effort) -> Option<Vec<u8>> {
    let (gzip, zstd) = match effort {
        Effort::Once if plain.len() <= PACK_HARD_BYTES_MAX => (Compression::best(), ZSTD_BEST),
        Effort::Once | Effort::Often => (Compression::default(), ZSTD_LEVEL),
    };
    let packed = match encoding {
        Encoding::Identity => return None,
        Encoding::Gzip => {
            let mut packer = GzEncoder::new(Vec::new(), gzip);
            packer.write_all(plain).ok()?;
            packer.finish().ok()?
        }
        Encoding::Zstd => zstd::bulk::compress(plain, zstd).ok()?,
    };
    let (few, of) = PAYS_BELOW;
    (packed.len() < plain.len() / of * few).then_some(packed)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn files_keep_their_kind_and_get_a_media_type() {
        let content = || Content::Text("x".to_owned());
        let check =
            |kind, name: &str, mime: &str| assert_eq!(file(kind, name, content()).mime, mime);
        check(Kind::File, "a.png", "image/png");
        check(Kind::File, "a.html", "text/html");
        check(Kind::File, "a.stl", "model/stl");
        check(Kind::File, "a.OBJ", "model/obj");
        check(Kind::File, "a", "application/octet-stream");
        check(Kind::Symlink, "a.png", "inode/symlink");
        check(Kind::Directory, "a", "inode/directory");
        assert!(file(Kind::Executable, "a", content()).executable);
    }

    #[test]
    fn what_gets_smaller_is_packed_and_unpacks_to_the_same() {
        let plain = b"the same again and again; ".repeat(100);
        let gzip = packed(&plain, Encoding::Gzip, Effort::Often).unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
        let zstd = packed(&plain, Encoding::Zstd, Effort::Once).unwrap();
        assert_eq!(zstd::bulk::decompress(&zstd, plain.len()).unwrap(), plain);
        // A hash chain looks random enough.
        let noise: Vec<u8> = (0..100_u8).flat_map(|seed| Digest::of(&[seed]).0).collect();
        assert_eq!(packed(&noise, Encoding::Gzip, Effort::Once), None);
        assert_eq!(packed(&noise, Encoding::Zstd, Effort::Often), None);
        assert_eq!(packed(&plain, Encoding::Identity, Effort::Often), None);
    }
}
