//! A result, or a share, in one form and one encoding, and the headers that go with it: made once, and then
//! only cloned, which copies no bytes.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pe_proto::Digest;
use pe_proto::api::AnswerHead;
use tokio::sync::OwnedSemaphorePermit;

use super::memory::Rooms;
use crate::core::form::{Encoding, Form};

/// Where a job's digest is told, and where a client may claim one.
pub const JOB: HeaderName = HeaderName::from_static("pe-job");

/// What a job wrote is never a page of ours, whatever it looks like: no script, no frame, an
/// origin of its own.
pub const SANDBOX: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// What answers depend on beside the path.
pub const VARIES: HeaderValue = HeaderValue::from_static("accept, accept-encoding");

/// One result of one job for ever has these bytes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Names a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The job.
    pub digest: Digest,
    /// The form.
    pub form: Form,
    /// The encoding.
    pub encoding: Encoding,
}

impl Key {
    /// The same without encoding.
    #[must_use]
    pub fn plain(self) -> Self {
        Self { encoding: Encoding::Identity, ..self }
    }

    /// All that there may be of a job.
    pub fn all_of(digest: Digest) -> impl Iterator<Item = Self> {
        Form::ALL.into_iter().flat_map(move |form| {
            Encoding::ALL.into_iter().map(move |encoding| Self { digest, form, encoding })
        })
    }
}

/// See the module.
#[derive(Debug)]
pub struct Representation {
    /// Its name.
    pub key: Key,
    /// Its bytes. Every clone holds the share of memory that they have.
    pub body: Bytes,
    /// Strong: the SHA-256 of the bytes.
    pub etag: HeaderValue,
    /// Of an answer with it.
    pub headers: HeaderMap,
    /// Whether it has a share of the cache's memory.
    pub(crate) has_room: bool,
}

impl Representation {
    /// Of a result.
    pub(super) fn new(key: Key, body: Vec<u8>, rooms: &Rooms) -> Self {
        let mut made = Self::made(key, body, rooms);
        made.headers.insert(VARY, VARIES);
        made.headers.insert(JOB, value(&key.digest.hex()));
        made
    }

    /// Of a share, which has one form.
    pub(crate) fn of_share(key: Key, body: Vec<u8>, rooms: &Rooms) -> Self {
        let mut made = Self::made(key, body, rooms);
        made.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        made
    }

    fn made(key: Key, body: Vec<u8>, rooms: &Rooms) -> Self {
        let hash = Digest::of(&body);
        let room = rooms.take(body.len());
        let has_room = room.is_some();
        let body = Bytes::from_owner(Roomed { body, _room: room });
        let etag = value(&format!("\"{}\"", hash.hex()));
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(key.form.media_type()));
        headers.insert(CACHE_CONTROL, IMMUTABLE);
        headers.insert(ETAG, etag.clone());
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        secure(&mut headers);
        if let Some(encoding) = key.encoding.header() {
            headers.insert(CONTENT_ENCODING, encoding);
        }
        Self { key, body, etag, headers, has_room }
    }
}

/// What every answer with bytes of a job says to browsers.
pub fn secure(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
}

/// What the binary form begins with: `u32le` length · head as JSON.
pub fn binary_prefix(head: &AnswerHead) -> Option<Vec<u8>> {
    let mut prefix = Vec::with_capacity(HEAD_BYTES_USUAL);
    prefix.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut prefix, head).ok()?;
    let length = u32::try_from(prefix.len() - 4).ok()?;
    prefix.first_chunk_mut::<4>()?.copy_from_slice(&length.to_le_bytes());
    Some(prefix)
}

/// What most heads have room in.
const HEAD_BYTES_USUAL: usize = 2048;

/// Hexadecimal digits, quoted or not, are always a value.
fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Bytes and their share of memory.
struct Roomed {
    body: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
