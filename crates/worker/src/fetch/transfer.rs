//! One pack from somewhere to the disk.
//!
//! Bytes are appended to what is there of the pack, so that a transfer that broke off, or whose
//! worker was killed, goes on from where it was: how long the file is says all. What the catalogue
//! says that another pack here has at the same place is copied from that one when the file's end
//! comes to it (`protocol.md 7`), and asked of nobody.
//!
//! ```text
//!     0 ── asked for ── from ── copied ── to ── asked for ── bytes
//! ```
//! Only at the end it is known whether the bytes are the right ones: then all of the file is read,
//! from its begin. What is wrong is removed. If part of it may be another pack's, all of it is
//! fetched once more, from nobody but the source: a catalogue that is mistaken, or a damaged file,
//! costs time and not the pack.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use pe_proto::Digest;
use pe_proto::catalogue::Basis;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::cellar::{Cellar, Part};
use super::source::Source;
use crate::limits::{FETCH_COPY_BYTES, FETCH_PIECE_BYTES, FETCH_STALL};
use crate::link::LinkError;
use crate::metrics::{FetchEnd, Metrics};

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

/// What is to be fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// Which pack.
    pub(super) pack: Digest,
    /// Its length.
    pub(super) bytes: u64,
    /// What it has in common with another.
    pub(super) basis: Option<Basis>,
}

/// How far a transfer is. Whoever runs it looks from outside, also after it was dropped.
#[derive(Debug, Default)]
pub(super) struct Progress {
    here: AtomicU64,
    resumed: AtomicU64,
}

impl Progress {
    /// So much is here, and so much of it was counted as not fetched again.
    pub(super) fn new(here: u64, resumed: u64) -> Self {
        Self { here: here.into(), resumed: resumed.into() }
    }

    /// How much is here.
    pub(super) fn here(&self) -> u64 {
        self.here.load(Ordering::Relaxed)
    }

    /// How much of it was counted as not fetched again.
    pub(super) fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    fn is_at(&self, bytes: u64) {
        self.here.store(bytes, Ordering::Relaxed);
    }

    /// Nothing is left of it.
    fn is_anew(&self) {
        self.is_at(0);
        self.resumed.store(0, Ordering::Relaxed);
    }

    /// A transfer goes on behind so many bytes. One that stops and goes on often saves the first
    /// of them each time; they count once.
    fn goes_on(&self, behind: u64, metrics: &Metrics) {
        let counted = self.resumed.fetch_max(behind, Ordering::Relaxed);
        metrics.fetch_resumed(behind.saturating_sub(counted));
    }
}

/// Fetches a pack; `progress` follows how much is here.
pub(super) async fn fetch(
    cellar: &Cellar,
    source: &Source,
    mut order: Order,
    progress: &Progress,
    metrics: &Metrics,
) -> Result<(), NotFetched> {
    loop {
        let mut filling = Filling::open(cellar, order, progress, metrics)?;
        filling.fill(source).await?;
        let is_mixed = filling.is_mixed;
        if filling.finish().await? {
            return Ok(());
        }
        progress.is_anew();
        let (true, Some(basis)) = (is_mixed, order.basis.take()) else {
            return Err(NotFetched::Wrong);
        };
        let (pack, based_on) = (order.pack.hex(), basis.pack.hex());
        tracing::error!(pack, based_on, "pack is wrong with what another has; all is fetched");
        metrics.fetch_ended(FetchEnd::Wrong);
    }
}

/// A pack's file while it grows.
struct Filling<'a> {
    order: Order,
    part: Arc<Part>,
    /// Its end.
    at: u64,
    /// What of it was there before.
    had: u64,
    /// The other pack, if it is here.
    other: Option<(Basis, Arc<File>)>,
    /// Whether bytes of the other may be in it.
    is_mixed: bool,
    progress: &'a Progress,
    metrics: &'a Metrics,
}

impl<'a> Filling<'a> {
    fn open(
        cellar: &Cellar,
        order: Order,
        progress: &'a Progress,
        metrics: &'a Metrics,
    ) -> Result<Self, NotFetched> {
        let part = Arc::new(cellar.part(order.pack)?);
        let mut at = part.bytes()?;
        if at > order.bytes {
            part.cut(0)?;
            at = 0;
        }
        progress.is_at(at);
        let open = |basis: Basis| Some((basis, Arc::new(cellar.other(basis)?)));
        let other = order.basis.filter(|basis| at < basis.to).and_then(open);
        if let Some((basis, _)) = &other {
            let copied = basis.to - basis.from.max(at);
            let (pack, based_on) = (order.pack.hex(), basis.pack.hex());
            let fetched = (order.bytes - at).saturating_sub(copied);
            tracing::info!(
                pack,
                based_on,
                fetched,
                copied,
                "pack is fetched less what another has"
            );
        }
        // Whoever wrote what is there may have had the other, though it is gone now.
        let is_mixed = order.basis.is_some_and(|basis| at > basis.from);
        Ok(Self { order, part, at, had: at, other, is_mixed, progress, metrics })
    }

    /// Goes on to the end.
    async fn fill(&mut self, source: &Source) -> Result<(), NotFetched> {
        while self.at < self.order.bytes {
            match self.other.clone() {
                Some((basis, _)) if self.at < basis.from => {
                    self.ask(source, Some(basis.from)).await?;
                }
                Some((basis, file)) if self.at < basis.to => self.copy(basis, file).await?,
                Some(_) | None => self.ask(source, None).await?,
            }
        }
        Ok(())
    }

    /// Takes a piece from the other pack. If that cannot be done, there is none from now on.
    async fn copy(&mut self, basis: Basis, file: Arc<File>) -> Result<(), NotFetched> {
        self.progress.goes_on(self.had, self.metrics);
        let (part, at) = (Arc::clone(&self.part), self.at);
        let wish = (basis.to - at).min(FETCH_COPY_BYTES);
        let copied = spawn_blocking(move || part.copy(&file, at, wish)).await.map_err(lost)?;
        match copied {
            Ok(copied) if copied == wish => {
                self.is_mixed = true;
                self.metrics.fetch_copied(copied);
                self.comes_to(at + copied);
            }
            ended => {
                let error = ended.err().map(tracing::field::display);
                let based_on = basis.pack.hex();
                tracing::warn!(
                    based_on,
                    error,
                    "what another pack has cannot be had; it is fetched"
                );
                self.part.cut(at)?;
                self.other = None;
            }
        }
        Ok(())
    }

    /// Asks for what follows, to before `until` or all of it, and takes what is given.
    async fn ask(&mut self, source: &Source, until: Option<u64>) -> Result<(), NotFetched> {
        let asked = source.pack(self.order.pack, self.at, until);
        let answer = timeout(FETCH_STALL, asked).await.map_err(|_| NotFetched::Stalled)??;
        let until = match answer.status() {
            StatusCode::OK => {
                // It does not know of parts, or none was asked for.
                self.part.cut(0)?;
                (self.at, self.had, self.is_mixed) = (0, 0, false);
                self.progress.is_anew();
                self.order.bytes
            }
            StatusCode::PARTIAL_CONTENT => {
                let given = part_of(answer.headers());
                let given = given.filter(|(first, last)| *first == self.at && last >= first);
                let (_, last) = given.ok_or(NotFetched::Part)?;
                self.progress.goes_on(self.had, self.metrics);
                last.saturating_add(1).min(self.order.bytes)
            }
            status => return Err(NotFetched::Status(status)),
        };
        let mut body = answer.into_body();
        let mut piece = BytesMut::new();
        while self.at < until {
            let frame = timeout(FETCH_STALL, body.frame()).await;
            let (data, ended) = match frame {
                Ok(Some(Ok(frame))) => (frame.into_data().unwrap_or_default(), None),
                Ok(Some(Err(_)) | None) => (bytes::Bytes::new(), Some(NotFetched::Cut)),
                Err(_) => (bytes::Bytes::new(), Some(NotFetched::Stalled)),
            };
            piece.extend_from_slice(&data);
            let here = self.at + piece.len() as u64;
            if here > until {
                self.part.cut(0)?;
                return Err(NotFetched::TooLong);
            }
            if piece.len() >= FETCH_PIECE_BYTES || here == until || ended.is_some() {
                let (file, at, written) = (Arc::clone(&self.part), self.at, piece.split().freeze());
                self.metrics.fetched(written.len());
                spawn_blocking(move || file.write(at, &written)).await.map_err(lost)??;
                self.comes_to(here);
            }
            if let Some(ended) = ended {
                return Err(ended);
            }
        }
        Ok(())
    }

    fn comes_to(&mut self, at: u64) {
        self.at = at;
        self.progress.is_at(at);
    }

    /// Whether it is what it should be; then it has its final name, and else it is gone.
    async fn finish(self) -> Result<bool, NotFetched> {
        let part = Arc::into_inner(self.part).ok_or_else(|| lost("a write goes on"))?;
        Ok(spawn_blocking(move || part.finish()).await.map_err(lost)??)
    }
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> std::io::Error {
    std::io::Error::other(error)
}

/// The first and the last byte of the part that an answer has.
fn part_of(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (first, last) = range.split_once('/')?.0.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}
