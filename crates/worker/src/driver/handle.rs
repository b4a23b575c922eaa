//! How others reach the pool's task.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt as _;
use pe_proto::Digest;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::Offer;
use crate::limits::POOL_QUEUE;

/// What the pool is told by others.
#[derive(Debug)]
pub(super) enum News {
    /// A job of an image was answered, or lost.
    Image(Digest, bool),
    /// An image's pack is not what it should be.
    Condemned(Digest),
    /// Images have come that are to be tried first; it is said when this is known.
    Arrived(Vec<Digest>, oneshot::Sender<()>),
    /// An image is not here any more.
    Left(Digest),
    /// Somebody wants a new zygote.
    Rebuild,
}

/// The pool's ends of a handle.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) wants: mpsc::Receiver<oneshot::Sender<Offer>>,
    pub(super) news: mpsc::Receiver<News>,
    pub(super) drain: CancellationToken,
}

pub(super) fn pair(quarantine: watch::Receiver<Arc<BTreeSet<Digest>>>) -> (Asked, PoolHandle) {
    let (want, wants) = mpsc::channel(POOL_QUEUE);
    let (tell, news) = mpsc::channel(POOL_QUEUE);
    let drain = CancellationToken::new();
    let handle = PoolHandle { wants: want, news: tell, drain: drain.clone(), quarantine };
    (Asked { wants, news, drain }, handle)
}

/// How others reach the pool.
#[derive(Debug, Clone)]
pub struct PoolHandle {
    wants: mpsc::Sender<oneshot::Sender<Offer>>,
    news: mpsc::Sender<News>,
    drain: CancellationToken,
    quarantine: watch::Receiver<Arc<BTreeSet<Digest>>>,
}

impl PoolHandle {
    /// The next VM that is ready; `None` once the pool is gone.
    ///
    /// # Cancel safety
    /// A VM that was on its way goes back to the pool.
    pub async fn take(&self) -> Option<Offer> {
        let (reply, answer) = oneshot::channel();
        self.wants.send(reply).await.ok()?;
        Taking(answer).await
    }

    /// Starts nothing more; what waits is killed.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// How a job of an image went, as far as VM and image are concerned. Many of these at once
    /// say no more than a few, so one that finds no room is lost.
    pub fn report(&self, image: Digest, sound: bool) {
        let _ = self.news.try_send(News::Image(image, sound));
    }

    /// An image is not what it should be.
    pub async fn condemn(&self, image: Digest) {
        let _ = self.news.send(News::Condemned(image)).await;
    }

    /// Images have come. When this resolves, they are left out until they have passed a trial.
    pub async fn arrived(&self, images: Vec<Digest>) {
        let (told, heard) = oneshot::channel();
        if self.news.send(News::Arrived(images, told)).await.is_ok() {
            let _ = heard.await;
        }
    }

    /// An image is not here any more.
    pub async fn left(&self, image: Digest) {
        let _ = self.news.send(News::Left(image)).await;
    }

    /// Makes a new zygote, of what kernel and initramfs are now.
    pub async fn rebuild(&self) {
        let _ = self.news.send(News::Rebuild).await;
    }

    /// Images that are not to be offered.
    pub fn quarantine(&self) -> watch::Receiver<Arc<BTreeSet<Digest>>> {
        self.quarantine.clone()
    }
}

/// The wait for an offer; when it is given up, an offer that came in the same moment goes back.
struct Taking(oneshot::Receiver<Offer>);

impl Future for Taking {
    type Output = Option<Offer>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.0.poll_unpin(context).map(Result::ok)
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.close();
        if let Ok(offer) = self.0.try_recv() {
            offer.give_back();
        }
    }
}
