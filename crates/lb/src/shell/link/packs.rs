//! `GET /worker/v1/catalogue`, `GET /worker/v1/packs/{digest}` (`protocol.md 6.6`).
//!
//! A pack is read from the disk piece by piece as its stream takes it. HTTP/2 gives streams turns
//! frame by frame, and a stream has its window: a transfer takes its share of the connection, and
//! leases take theirs. There are few transfers of a connection at a time, and a bounded number of
//! all; one whose worker takes nothing for a while is cut off.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    RANGE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use pe_proto::Digest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::Link;
use super::stock;
use crate::core::range::{Wanted, wanted};
use crate::limits::{
    PACK_PIECE_BYTES, PACK_STALL, PACK_TRANSFERS_MAX, PACK_TRANSFERS_PER_WORKER, PIECE_BYTES,
};
use crate::metrics::{PackMetrics, Part};
use crate::respond::LinkRefusal;
use crate::shell::outgoing::{Aborted, Outgoing};

/// All transfers.
#[derive(Debug)]
pub struct Transfers {
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Default for Transfers {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(PACK_TRANSFERS_MAX)), tasks: TaskTracker::new() }
    }
}

/// Places for the transfers of one connection.
pub(super) fn places_of_one() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PACK_TRANSFERS_PER_WORKER))
}

/// A pack, or a part of it, as it is read.
#[derive(Debug)]
pub struct PackBody {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
    left: u64,
}

impl PackBody {
    /// The next piece of the stream.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.piece.is_empty() {
            match self.pieces.poll_recv(cx) {
                Poll::Ready(Some(piece)) => self.piece = piece,
                Poll::Ready(None) => return Poll::Ready(Some(Err(Aborted::Broken))),
                Poll::Pending => return Poll::Pending,
            }
        }
        let piece = self.piece.split_to(self.piece.len().min(PIECE_BYTES));
        self.left = self.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(piece)))
    }

    /// How much is to come.
    pub fn bytes_left(&self) -> u64 {
        self.left
    }
}

impl Link {
    /// The catalogue, or word that the worker has it.
    pub(super) fn catalogue(&self, headers: &HeaderMap) -> Response<Outgoing> {
        let settings = self.app.live.now();
        let etag = tag(settings.stock.digest);
        let mut response = if names(headers, &etag) {
            let mut response = Response::new(Outgoing::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(Outgoing::whole(settings.stock.json.clone()))
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, etag);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// A pack that the catalogue names.
    pub(super) async fn pack(
        &self,
        method: &Method,
        name: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Outgoing>, LinkRefusal> {
        let digest: Digest =
            name.parse().ok().filter(|_| name.len() == 64).ok_or(LinkRefusal::Malformed)?;
        let found = self.app.live.now().stock.pack(digest);
        let (bytes, path) = found.ok_or(LinkRefusal::NoPack)?;
        let etag = tag(digest);
        if names(headers, &etag) {
            let mut response = Response::new(Outgoing::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().insert(ETAG, etag);
            return Ok(response);
        }
        let length = usize::try_from(bytes).map_err(|_| LinkRefusal::NoPack)?;
        // A part of something else is of no use.
        let is_of_this = headers.get(IF_RANGE).is_none_or(|given| *given == etag);
        let range = headers.get(RANGE).filter(|_| is_of_this && *method == Method::GET);
        let wanted = range.map_or(Wanted::Whole, |range| wanted(range.as_bytes(), length));
        let (status, part, said) = match wanted {
            Wanted::Whole => (StatusCode::OK, 0..bytes, None),
            Wanted::Part(part) => {
                let said = format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1));
                (StatusCode::PARTIAL_CONTENT, part.start as u64..part.end as u64, Some(said))
            }
            Wanted::Nothing => {
                (StatusCode::RANGE_NOT_SATISFIABLE, 0..0, Some(format!("bytes */{length}")))
            }
        };
        let opened = spawn_blocking(move || stock::open(&path, bytes)).await;
        let file = match opened.map_err(|_| LinkRefusal::Busy)? {
            Ok(file) => file,
            Err(error) => {
                warn!(pack = %digest, %error, "pack of the catalogue cannot be served");
                return Err(LinkRefusal::NoPack);
            }
        };
        let sent = part.end - part.start;
        let body = if *method == Method::HEAD || sent == 0 {
            Outgoing::empty()
        } else {
            Outgoing::pack(self.begin(file, part, status)?)
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(ETAG, etag);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(sent));
        if let Some(said) = said.and_then(|said| HeaderValue::try_from(said).ok()) {
            headers.insert(CONTENT_RANGE, said);
        }
        Ok(response)
    }

    /// Begins to read a part of a file, if there is a place for that.
    fn begin(
        &self,
        file: File,
        part: Range<u64>,
        status: StatusCode,
    ) -> Result<PackBody, LinkRefusal> {
        let place = |places: &Arc<Semaphore>| {
            Arc::clone(places).try_acquire_owned().map_err(|_| LinkRefusal::Transfers)
        };
        let places = [place(&self.transfers)?, place(&self.app.transfers.places)?];
        let metrics = self.app.metrics.packs.clone();
        metrics.began(if status == StatusCode::OK { Part::Whole } else { Part::Rest });
        let (sender, pieces) = mpsc::channel(1);
        let left = part.end - part.start;
        self.app.transfers.tasks.spawn(read(Arc::new(file), part, sender, places, metrics));
        Ok(PackBody { pieces, piece: Bytes::new(), left })
    }
}

/// Reads on as long as somebody takes what was read.
async fn read(
    file: Arc<File>,
    mut part: Range<u64>,
    sender: mpsc::Sender<Bytes>,
    _places: [OwnedSemaphorePermit; 2],
    metrics: PackMetrics,
) {
    let _counted = metrics.under_way();
    while !part.is_empty() {
        let (source, from) = (Arc::clone(&file), part.clone());
        let piece = match spawn_blocking(move || read_piece(&source, &from)).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return warn!(%error, "pack cannot be read"),
            Err(_) => return,
        };
        let len = piece.len() as u64;
        part.start += len;
        match timeout(PACK_STALL, sender.send(piece)).await {
            Ok(Ok(())) => metrics.bytes(len),
            // The worker reset the stream, or is gone.
            Ok(Err(_)) => return,
            Err(_) => return debug!("a worker takes nothing of its pack"),
        }
    }
}

fn read_piece(file: &File, part: &Range<u64>) -> io::Result<Bytes> {
    let len = usize::try_from(part.end - part.start).unwrap_or(usize::MAX).min(PACK_PIECE_BYTES);
    let mut piece = vec![0; len];
    file.read_exact_at(&mut piece, part.start)?;
    Ok(piece.into())
}

/// The strong tag of what has this digest.
fn tag(digest: Digest) -> HeaderValue {
    // Hexadecimal digits in quotes are a valid value.
    HeaderValue::try_from(format!("\"{}\"", digest.hex()))
        .unwrap_or(HeaderValue::from_static("\"\""))
}

fn names(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|tag| tag.trim().as_bytes() == etag.as_bytes())
}
