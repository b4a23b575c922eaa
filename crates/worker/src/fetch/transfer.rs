//! One pack from somewhere to the disk.
//!
//! Bytes are appended to what is there of the pack, so that a transfer that broke off, or whose
//! worker was killed, goes on from where it was. Only at the end it is known whether they are the
//! right ones: then all of the file is read, from its begin. What is wrong is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use pe_proto::Digest;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::cellar::{Cellar, Part};
use super::source::Source;
use crate::limits::{FETCH_PIECE_BYTES, FETCH_STALL};
use crate::link::LinkError;
use crate::metrics::Metrics;

/// Why a pack is not here.
#[derive(Debug, thiserror::Error)]
pub enum NotFetched {
    /// Nobody answers.
    #[error("cannot ask for it")]
    Source(#[from] LinkError),
    /// The answer is none.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// It is another part than was asked for.
    #[error("the answer is another part than was asked for")]
    Part,
    /// The stream broke off. What came is kept.
    #[error("the transfer broke off")]
    Cut,
    /// Nothing came for a while. What came is kept.
    #[error("nothing came for {} s", FETCH_STALL.as_secs())]
    Stalled,
    /// The bytes are not those of its digest. They are gone.
    #[error("the bytes that came are not those of its digest")]
    Wrong,
    /// There is more of it than the catalogue says. It is gone.
    #[error("more bytes came than the catalogue says")]
    TooLong,
    /// The disk.
    #[error("it cannot be written")]
    Disk(#[from] std::io::Error),
}

/// Fetches a pack of this length; `progress` follows how much is here.
pub(super) async fn fetch(
    cellar: &Cellar,
    source: &Source,
    (pack, bytes): (Digest, u64),
    progress: &AtomicU64,
    metrics: &Metrics,
) -> Result<(), NotFetched> {
    let part = Arc::new(cellar.part(pack)?);
    let mut at = part.bytes()?;
    if at > bytes {
        part.cut(0)?;
        at = 0;
    }
    progress.store(at, Ordering::Relaxed);
    if at < bytes {
        let answer = timeout(FETCH_STALL, source.pack(pack, at)).await;
        let answer = answer.map_err(|_| NotFetched::Stalled)??;
        match answer.status() {
            StatusCode::OK => {
                // It does not know of parts, or there was none.
                part.cut(0)?;
                at = 0;
            }
            StatusCode::PARTIAL_CONTENT if begins_at(answer.headers(), at) => {
                metrics.fetch_resumed(at);
            }
            StatusCode::PARTIAL_CONTENT => return Err(NotFetched::Part),
            status => return Err(NotFetched::Status(status)),
        }
        let mut body = answer.into_body();
        let mut piece = BytesMut::new();
        while at < bytes {
            let frame = timeout(FETCH_STALL, body.frame()).await;
            let (data, ended) = match frame {
                Ok(Some(Ok(frame))) => (frame.into_data().unwrap_or_default(), None),
                Ok(Some(Err(_)) | None) => (bytes::Bytes::new(), Some(NotFetched::Cut)),
                Err(_) => (bytes::Bytes::new(), Some(NotFetched::Stalled)),
            };
            piece.extend_from_slice(&data);
            let here = at + piece.len() as u64;
            if here > bytes {
                part.cut(0)?;
                return Err(NotFetched::TooLong);
            }
            if piece.len() >= FETCH_PIECE_BYTES || here == bytes || ended.is_some() {
                let (file, written) = (Arc::clone(&part), piece.split().freeze());
                metrics.fetched(written.len());
                spawn_blocking(move || file.write(at, &written)).await.map_err(lost)??;
                at = here;
                progress.store(at, Ordering::Relaxed);
            }
            if let Some(ended) = ended {
                return Err(ended);
            }
        }
    }
    let part = Arc::into_inner(part).ok_or_else(|| lost("a write goes on"))?;
    match spawn_blocking(move || finish(part)).await.map_err(lost)?? {
        true => Ok(()),
        false => Err(NotFetched::Wrong),
    }
}

fn finish(part: Part) -> std::io::Result<bool> {
    part.finish()
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> std::io::Error {
    std::io::Error::other(error)
}

/// Whether a part begins where it should.
fn begins_at(headers: &HeaderMap, at: u64) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    first.and_then(|(first, _)| first.parse().ok()) == Some(at)
}
