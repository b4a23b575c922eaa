//! One layer on its way: hashed on the registry's thread, read on the caller's.
//!
//! When a connection breaks, the rest is asked for from the byte where it broke. Between the two
//! threads wait a bounded number of pieces; a reader that is slow slows the download.

use std::io::{self, Read};
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderName, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use pe_proto::Digest;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::limits;

use super::super::verify::{Mismatch, Verifier};
use super::RegistryError;
use super::api::{Api, Ask};

/// A layer that is read while it comes. Dropping it ends the download.
#[derive(Debug)]
pub(super) struct Download<'a> {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    is_done: bool,
    task: AbortHandle,
    /// The runtime must be there as long as this is.
    source: PhantomData<&'a Handle>,
}

/// Why a download does not go on.
#[derive(Debug)]
enum Stop {
    /// Nobody reads it.
    Unwanted,
    /// Never.
    Wrong(io::Error),
    /// Not now.
    Broken(RegistryError),
}

/// Begins to download a layer.
pub(super) fn start<'a>(
    runtime: &'a Handle,
    api: &Arc<Api>,
    digest: Digest,
    bytes: u64,
) -> Download<'a> {
    let (sender, pieces) = mpsc::channel(limits::PIECES_WAITING_MAX);
    let api = Arc::clone(api);
    let task = runtime.spawn(async move {
        let end = match download(&api, digest, bytes, &sender).await {
            Ok(()) => Ok(Bytes::new()),
            Err(Stop::Unwanted) => return,
            Err(Stop::Wrong(error)) => Err(error),
            Err(Stop::Broken(error)) => Err(io::Error::other(error)),
        };
        // A reader that is gone needs no end.
        let _ = sender.send(end).await;
    });
    Download {
        pieces,
        piece: Bytes::new(),
        is_done: false,
        task: task.abort_handle(),
        source: PhantomData,
    }
}

async fn download(
    api: &Api,
    digest: Digest,
    bytes: u64,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), Stop> {
    let mut verifier = Verifier::new(digest, bytes);
    let (mut breaks, mut vain) = (0, 0);
    loop {
        let before = verifier.got();
        match part(api, digest, &mut verifier, sender).await {
            Ok(()) => return verifier.finish().map_err(wrong),
            // All is there, only its end was not told.
            Err(Stop::Broken(_)) if verifier.left() == 0 => {
                return verifier.finish().map_err(wrong);
            }
            Err(Stop::Broken(why)) => {
                breaks += 1;
                vain = if verifier.got() > before { 0 } else { vain + 1 };
                if breaks > limits::BREAKS_MAX || vain > limits::REPEATS_MAX {
                    return Err(Stop::Broken(why));
                }
                api.pause(vain).await.map_err(Stop::Broken)?;
            }
            Err(stop) => return Err(stop),
        }
    }
}

/// Downloads from where it stopped to the end, or to where the connection breaks.
async fn part(
    api: &Api,
    digest: Digest,
    verifier: &mut Verifier,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), Stop> {
    let from = verifier.got();
    let asked = api.answer(Ask::Blob { digest, from }).await;
    let response = asked.map_err(|why| stop(why, from))?;
    let mut known = begin(api, &response, verifier)?;
    let mut body = response.into_body();
    let host = api.host();
    loop {
        let frame = api.within(&host, "sent nothing more", api.waits.silence, body.frame()).await;
        let frame = match frame.map_err(|why| stop(why, from))? {
            None if verifier.left() == 0 => return Ok(()),
            None => return Err(verifier.finish().map_or_else(wrong, |()| Stop::Unwanted)),
            Some(Ok(frame)) => frame,
            Some(Err(why)) => {
                let why = why.to_string();
                return Err(Stop::Broken(RegistryError::Broken { host, why }));
            }
        };
        let Ok(mut data) = frame.into_data() else { continue };
        let skipped = usize::try_from(known).unwrap_or(usize::MAX).min(data.len());
        data.advance(skipped);
        known = known.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
        if data.is_empty() {
            continue;
        }
        verifier.update(&data).map_err(wrong)?;
        sender.send(Ok(data)).await.map_err(|_| Stop::Unwanted)?;
    }
}

/// Looks at the head of an answer. How many bytes to leave out: a server that knows no ranges
/// begins at the beginning.
fn begin(api: &Api, response: &Response<Incoming>, verifier: &Verifier) -> Result<u64, Stop> {
    let text = |name: HeaderName| response.headers().get(name)?.to_str().ok();
    let from = verifier.got();
    let named = from + verifier.left();
    let known = match response.status() {
        StatusCode::PARTIAL_CONTENT if from > 0 => {
            let range = text(CONTENT_RANGE).unwrap_or_default();
            let last = named.saturating_sub(1);
            let is_rest = range == format!("bytes {from}-{last}/{named}")
                || range == format!("bytes {from}-{last}/*");
            if !is_rest {
                let why = format!(
                    "it was asked for bytes {from}-{last} of {named}, and gives `{}`",
                    super::super::document::printable(range)
                );
                let answer = RegistryError::Answer { host: api.host(), why };
                return Err(Stop::Wrong(io::Error::other(answer)));
            }
            0
        }
        StatusCode::OK => from,
        status => {
            let what = "a blob".to_owned();
            let answer = RegistryError::Status { host: api.host(), status, what };
            return Err(Stop::Wrong(io::Error::other(answer)));
        }
    };
    let length: Option<u64> = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    match length {
        Some(length) if length > named - (from - known) => Err(wrong(Mismatch::Longer { named })),
        Some(length) if length < named - (from - known) => {
            Err(wrong(Mismatch::Shorter { got: length, named }))
        }
        _ => Ok(known),
    }
}

fn wrong(mismatch: Mismatch) -> Stop {
    Stop::Wrong(mismatch.into())
}

/// What goes wrong before the first byte is not worth as much patience as what does later.
fn stop(why: RegistryError, from: u64) -> Stop {
    let may_pass = if from > 0 { why.may_pass_midway() } else { why.may_pass() };
    if may_pass { Stop::Broken(why) } else { Stop::Wrong(io::Error::other(why)) }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.is_done {
            return Ok(0);
        }
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) if piece.is_empty() => {
                    self.is_done = true;
                    return Ok(0);
                }
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(error),
                None => return Err(io::Error::other("the download ended before its end")),
            }
        }
        let count = buffer.len().min(self.piece.len());
        let taken = self.piece.split_to(count);
        if let Some(room) = buffer.get_mut(..count) {
            room.copy_from_slice(&taken);
        }
        Ok(count)
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
