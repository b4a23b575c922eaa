//! The worker's own images: fetched while it idles, what jobs wait for first.
//!
//! ```text
//!  link ──wanted, catalogue──► Fetcher ──able, under way──► link
//!                               │  ▲
//!            Stock says what ───┘  └── a pack: from the LB or a web server, to the cellar
//!                               ▼
//!           library (here, withheld) ─► pool (trial) ─► link offers its images
//! ```
//! One task owns the cellar, the list of what is in it, and the transfer that runs; there is one at
//! a time. A pack that has most of its bytes in common with one that is here takes those from
//! there. A transfer that yields to a more urgent one, breaks off or is killed goes on from where
//! it was. A pack that has to go is withdrawn first, and goes when no VM uses it. Nothing here
//! holds a slot, and nothing ends the worker: what cannot be fetched is left alone for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pe_proto::catalogue::{self, Catalogue};
use pe_proto::limits::{OFFERED_IMAGES_MAX, WANTED_IMAGES_MAX};
use pe_proto::link::{Fetching, Wanted};
use pe_proto::{Arch, Digest};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::core::Moment;
use crate::core::stock::{Listed, Step, Stock};
use crate::driver::PoolHandle;
use crate::images::InUse;
use crate::library::Library;
use crate::limits::{
    FETCH_AGAIN_MIN, FETCH_LAST_LEASES, FETCH_REPORT_EVERY, FETCH_UNTOLD, FETCHED_PACK_BYTES_MAX,
};
use crate::link::{Client, LinkTls};
use crate::metrics::{FetchEnd, Metrics};

pub(crate) mod cellar;
mod desk;
mod once;
mod source;
mod transfer;

pub use cellar::Cellar;
use cellar::Found;
pub use desk::Desk;
use desk::NONE;
pub(crate) use desk::Report;
pub use once::{NotSeeded, seed};
use source::Source;
pub(crate) use source::range;
pub use source::{PacksUrl, PacksUrlError};
use transfer::{NotFetched, Order, Progress, fetch};

/// How images are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchConfig {
    /// Disk that packs may take.
    pub budget_bytes: u64,
    /// A web server that has the packs, if they are not to come from the load balancer.
    pub packs_url: Option<PacksUrl>,
}

impl FetchConfig {
    /// The longest pack that may come.
    pub fn pack_bytes_max(&self) -> u64 {
        self.budget_bytes.min(FETCHED_PACK_BYTES_MAX)
    }
}

/// What a fetcher is made with.
#[derive(Debug)]
pub struct FetchTerms {
    /// How.
    pub config: FetchConfig,
    /// Of the guests.
    pub arch: Arch,
    /// Whether packs must be readable by all users.
    pub for_all: bool,
    /// Packs that never go: those of every VM.
    pub pinned: Vec<InUse>,
}

/// See the module.
#[derive(Debug)]
pub struct Fetcher {
    terms: FetchTerms,
    cellar: Arc<Cellar>,
    library: Library,
    pool: PoolHandle,
    desk: Desk,
    metrics: Metrics,
    stock: Stock,
    catalogue: Catalogue,
    /// Of its bytes; zeros if there is none.
    digest: Digest,
    /// What of the packs that are here in part was counted as not fetched again.
    resumed: BTreeMap<Digest, u64>,
    /// Not asked for before this, after it was not to be had.
    catalogue_again: Option<Instant>,
    began: Instant,
}

/// A transfer that runs.
struct Transfer {
    pack: Listed,
    began_at: u64,
    progress: Arc<Progress>,
    ended: BoxFuture<'static, Result<(), NotFetched>>,
}

/// What came of the wish to fetch something.
enum Begun {
    Transfer(Transfer),
    /// Things are not as they were: what is next is to be found out again.
    Again,
    /// There is nothing to be done until then, or until something changes.
    Nothing(Option<Instant>),
}

impl Fetcher {
    /// A fetcher of what is in the cellar now.
    ///
    /// # Errors
    /// The cellar cannot be looked into.
    pub fn new(
        terms: FetchTerms,
        cellar: Arc<Cellar>,
        library: Library,
        pool: PoolHandle,
        desk: Desk,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let stock = Stock::new(terms.config.budget_bytes, terms.config.pack_bytes_max());
        let (catalogue, digest) = kept(&cellar);
        let mut fetcher = Self {
            terms,
            cellar,
            library,
            pool,
            desk,
            metrics,
            stock,
            catalogue,
            digest,
            resumed: BTreeMap::new(),
            catalogue_again: None,
            began: Instant::now(),
        };
        fetcher.take_stock()?;
        Ok(fetcher)
    }

    /// Fetches until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            // What is half here is gone on with after the next start.
            () = stop.cancelled() => {}
            // It does not end.
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let (mut line, mut wanted) = (self.desk.lines(), self.desk.wanted());
        let mut bad = self.library.watch_bad();
        let mut transfer: Option<Transfer> = None;
        loop {
            let damaged = bad.borrow_and_update().clone();
            self.remove_bad(&damaged).await;
            let client = line.borrow_and_update().clone();
            let wants = wanted.borrow_and_update().clone();
            self.refresh(client.as_ref(), &wants).await;
            self.stock.want(wants.images);
            let mut due = None;
            if let Some(running) = transfer.take_if(|running| self.yields(running)) {
                self.pause(running);
            }
            if transfer.is_none() {
                match self.begin(client.as_ref()).await {
                    Begun::Transfer(begun) => transfer = Some(begun),
                    Begun::Again => continue,
                    Begun::Nothing(until) => due = until,
                }
            }
            self.report(transfer.as_ref());
            let now = Instant::now();
            let tick = transfer.as_ref().map(|_| now + FETCH_REPORT_EVERY);
            let times = [due, tick, self.catalogue_again];
            let due = times.into_iter().flatten().filter(|due| *due > now).min();
            let ended = async {
                match &mut transfer {
                    Some(transfer) => (&mut transfer.ended).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // A pack is here, or is not.
                ended = ended => if let Some(transfer) = transfer.take() {
                    self.ended(transfer, ended).await;
                },
                // The link came or went. The senders are the desk's and the library's.
                _ = line.changed() => {}
                // Something else is wanted.
                _ = wanted.changed() => {}
                // A pack is not what it should be.
                _ = bad.changed() => {}
                // Something may be tried again, or it is time to tell how far it is.
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            }
        }
    }

    /// Whether another pack is more urgent than the one on its way.
    fn yields(&self, running: &Transfer) -> bool {
        if self.stock.is_wanted(running.pack.pack) {
            return false;
        }
        let next = self.stock.next(self.now(), |pack| self.is_in_use(pack));
        matches!(next, Step::Fetch { pack, .. } if self.stock.is_wanted(pack))
    }

    fn pause(&mut self, running: Transfer) {
        let Transfer { pack: Listed { pack, .. }, progress, .. } = running;
        tracing::info!(pack = %pack.hex(), "transfer makes way for another");
        self.metrics.fetch_ended(FetchEnd::Yielded);
        self.stock.part(pack, progress.here());
        self.resumed.insert(pack, progress.resumed());
    }

    /// Begins what is to be fetched next, if there is anything and somebody to ask.
    async fn begin(&mut self, client: Option<&Client>) -> Begun {
        let source = match (&self.terms.config.packs_url, client) {
            (Some(url), _) => Source::Web(url.clone(), LinkTls::default()),
            (None, Some(client)) => Source::Lb(client.clone()),
            (None, None) => return Begun::Nothing(None),
        };
        for (pack, used) in self.library.take_used() {
            self.stock.used(pack, used.saturating_duration_since(self.began));
        }
        let step = self.stock.next(self.now(), |pack| self.is_in_use(pack));
        let (pack, evict) = match step {
            Step::Fetch { pack, evict } => (pack, evict),
            Step::Wait(until) => return Begun::Nothing(self.began.checked_add(until)),
            // Nobody says when a pack in use is not any more.
            Step::Rest => {
                let is_waited_for = self.stock.has_wanted();
                let again = Instant::now() + FETCH_AGAIN_MIN * 2;
                return Begun::Nothing(is_waited_for.then_some(again));
            }
        };
        for gone in evict {
            if !self.evict(gone).await {
                return Begun::Again;
            }
        }
        let Some(listed) = self.stock.listed(pack).cloned() else { return Begun::Again };
        let began_at = self.stock.part_of(pack);
        let resumed = self.resumed.get(&pack).copied().unwrap_or(0);
        let progress = Arc::new(Progress::new(began_at, resumed));
        let (cellar, here, metrics) =
            (Arc::clone(&self.cellar), Arc::clone(&progress), self.metrics.clone());
        let Listed { bytes, basis, .. } = listed;
        let order = Order { pack, bytes, basis };
        tracing::info!(pack = %pack.hex(), bytes, wanted = self.stock.is_wanted(pack), "pack is fetched");
        let ended = async move { fetch(&cellar, &source, order, &here, &metrics).await };
        Begun::Transfer(Transfer { pack: listed, began_at, progress, ended: ended.boxed() })
    }

    async fn ended(&mut self, transfer: Transfer, ended: Result<(), NotFetched>) {
        let Transfer { pack: Listed { pack, bytes, images, .. }, began_at, progress, .. } =
            transfer;
        match ended {
            Ok(()) => {
                self.resumed.remove(&pack);
                self.arrive(pack, bytes, images).await;
            }
            Err(error) => {
                let here = progress.here();
                let (end, kept) = match &error {
                    NotFetched::Cut | NotFetched::Stalled => (FetchEnd::Cut, here),
                    NotFetched::Wrong | NotFetched::TooLong => (FetchEnd::Wrong, 0),
                    NotFetched::Source(_) | NotFetched::Status(_) | NotFetched::Part => {
                        (FetchEnd::Refused, here)
                    }
                    NotFetched::Disk(_) => (FetchEnd::Host, here),
                };
                self.metrics.fetch_ended(end);
                let error = crate::chain(&error);
                tracing::warn!(pack = %pack.hex(), error, here, "pack was not fetched");
                if end == FetchEnd::Cut && here > began_at {
                    self.stock.progressed(pack);
                }
                self.stock.part(pack, kept);
                if kept == 0 {
                    self.resumed.remove(&pack);
                } else {
                    self.resumed.insert(pack, progress.resumed());
                }
                self.stock.failed(pack, self.now());
            }
        }
    }

    /// A pack is here, whole and right: its images are tried, and then offered.
    async fn arrive(&mut self, pack: Digest, bytes: u64, images: Vec<Digest>) {
        let FetchTerms { arch, for_all, .. } = self.terms;
        let stated = catalogue::Pack { digest: pack, bytes, prefix: String::new(), based_on: None };
        let library = self.library.now();
        match library.with(self.cellar.dir(), &stated, &self.catalogue, arch, for_all) {
            Ok(more) => {
                tracing::info!(pack = %pack.hex(), bytes, images = images.len(), "pack is here");
                self.metrics.fetch_ended(FetchEnd::Good);
                self.stock.put(pack, bytes, self.now());
                self.library.place(more);
                self.pool.arrived(images.clone()).await;
                self.library.withhold(&images, false);
            }
            Err(bad) => {
                tracing::error!(pack = %pack.hex(), reason = %bad, "pack cannot be used");
                self.metrics.fetch_ended(FetchEnd::Host);
                self.remove(pack);
                self.stock.hopeless(pack);
            }
        }
    }

    /// Withdraws a pack's images and removes it when nobody uses it. False if somebody does.
    async fn evict(&mut self, pack: Digest) -> bool {
        let images = self.library.now().of_pack(pack);
        if !images.is_empty() {
            self.library.withhold(&images, true);
            let untold = timeout(FETCH_UNTOLD, self.library.untold(&images)).await.is_ok();
            if untold && self.desk.has_line() {
                sleep(FETCH_LAST_LEASES).await;
            }
            if !untold || self.is_in_use(pack) {
                tracing::warn!(pack = %pack.hex(), "pack is still in use");
                self.library.withhold(&images, false);
                self.stock.used(pack, self.now());
                return false;
            }
        }
        self.library.place(self.library.now().without(pack));
        for image in images {
            self.pool.left(image).await;
        }
        tracing::info!(pack = %pack.hex(), "pack makes room");
        self.metrics.evicted();
        self.remove(pack);
        true
    }

    fn remove(&mut self, pack: Digest) {
        match self.cellar.remove(pack) {
            Ok(()) => {
                self.stock.gone(pack);
                self.resumed.remove(&pack);
            }
            Err(error) => tracing::error!(pack = %pack.hex(), %error, "pack cannot be removed"),
        }
    }

    /// Packs that were found damaged are fetched anew.
    async fn remove_bad(&mut self, bad: &BTreeSet<Digest>) {
        for pack in bad {
            if self.library.forgive(*pack) {
                self.evict(*pack).await;
            }
        }
    }

    /// Takes another catalogue over, if the load balancer has one.
    async fn refresh(&mut self, client: Option<&Client>, wants: &Wanted) {
        let is_stale = wants.catalogue != NONE && wants.catalogue != self.digest;
        let is_early = self.catalogue_again.is_some_and(|at| at > Instant::now());
        let Some(client) = client.filter(|_| is_stale && !is_early) else {
            return;
        };
        self.catalogue_again = None;
        let json = match client.catalogue().await {
            Ok(json) => json,
            Err(error) => {
                let error = crate::chain(&error);
                tracing::warn!(error, "catalogue was not fetched");
                self.catalogue_again = Some(Instant::now() + FETCH_AGAIN_MIN * 8);
                return;
            }
        };
        let catalogue = match serde_json::from_slice(&json) {
            Ok(catalogue) => catalogue,
            Err(error) => {
                tracing::error!(%error, "the lb's catalogue is none that is understood here");
                self.catalogue_again = Some(Instant::now() + FETCH_AGAIN_MIN * 60);
                return;
            }
        };
        if let Err(error) = self.cellar.keep_catalogue(&json) {
            tracing::warn!(%error, "catalogue is not kept");
        }
        self.digest = Digest::of(&json);
        if self.digest != wants.catalogue {
            // It was replaced in the same moment; word of that is on its way.
            self.catalogue_again = Some(Instant::now() + FETCH_AGAIN_MIN);
        }
        self.catalogue = catalogue;
        tracing::info!(images = self.catalogue.images.len(), "catalogue has come");
        let relisted = self.library.now().relisted(&self.catalogue, self.terms.arch);
        let before: BTreeSet<Digest> = self.library.now().digests().into_iter().collect();
        let mut new = relisted.digests();
        new.retain(|image| !before.contains(image));
        self.library.place(relisted);
        if !new.is_empty() {
            self.pool.arrived(new.clone()).await;
            self.library.withhold(&new, false);
        }
        if let Err(error) = self.take_stock() {
            tracing::error!(%error, "packs cannot be listed");
        }
    }

    /// Finds out what is on the disk. A file that is whole by its name, but was not opened, is
    /// looked at as the beginning of a pack is: it may be the whole of it.
    fn take_stock(&mut self) -> std::io::Result<()> {
        let listed = list(&self.catalogue, self.terms.arch);
        let library = self.library.now();
        for found in self.cellar.list()? {
            match found {
                Found::Whole(pack, bytes) => {
                    let is_open = library.packs().iter().any(|it| it.digest() == pack);
                    if !is_open && listed.iter().any(|it| it.pack == pack) {
                        self.cellar.reopen(pack)?;
                        self.stock.part(pack, bytes);
                    } else {
                        self.stock.put(pack, bytes, Moment::ZERO);
                    }
                }
                Found::Part(pack, bytes) => self.stock.part(pack, bytes),
            }
        }
        self.stock.list(listed);
        Ok(())
    }

    fn report(&self, transfer: Option<&Transfer>) {
        let mut able = self.stock.able(|pack| self.is_in_use(pack));
        able.truncate(OFFERED_IMAGES_MAX);
        let under_way = transfer.into_iter().flat_map(|transfer| {
            let bytes_total = transfer.pack.bytes;
            let bytes = transfer.progress.here().min(bytes_total);
            let of = move |image: &Digest| Fetching { image: *image, bytes, bytes_total };
            transfer.pack.images.iter().map(of)
        });
        self.desk.report(Report { able, under_way: under_way.take(WANTED_IMAGES_MAX).collect() });
        // What has come since the transfer began is not in the books yet.
        let come = |it: &Transfer| it.progress.here().saturating_sub(it.began_at);
        let used = self.stock.bytes().saturating_add(transfer.map_or(0, come));
        self.metrics.disk(self.terms.config.budget_bytes, used);
    }

    fn is_in_use(&self, pack: Digest) -> bool {
        self.library.now().packs().iter().any(|it| it.digest() == pack && it.is_in_use())
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }
}

/// The catalogue that was kept when the worker ran last, if it can still be read.
fn kept(cellar: &Cellar) -> (Catalogue, Digest) {
    let bytes = std::fs::read(cellar.catalogue()).unwrap_or_default();
    match serde_json::from_slice(&bytes) {
        Ok(catalogue) => (catalogue, Digest::of(&bytes)),
        Err(_) => (Catalogue { version: catalogue::VERSION, images: Vec::new() }, NONE),
    }
}

/// The packs of a catalogue for guests of this architecture, each once.
fn list(catalogue: &Catalogue, arch: Arch) -> Vec<Listed> {
    let mut listed: Vec<Listed> = Vec::new();
    let platforms = catalogue.images.iter().flat_map(|image| &image.platforms);
    for platform in platforms.filter(|platform| platform.arch == arch) {
        let catalogue::Pack { digest, bytes, .. } = platform.pack;
        let basis = platform.pack.basis();
        match listed.iter_mut().find(|it| it.pack == digest) {
            Some(known) if known.images.contains(&platform.digest) => {}
            Some(known) => known.images.push(platform.digest),
            None => {
                let images = vec![platform.digest];
                listed.push(Listed { pack: digest, bytes, basis, images });
            }
        }
    }
    listed
}

#[cfg(test)]
mod tests;
