//! The images of a worker as they are now. Most workers have the same ones for ever; one that
//! fetches has others every now and then.
//!
//! An image that is here can be run; one that is here and not *withheld* is on offer, if the pool
//! has nothing against it. So an image comes in two steps, and goes in two: whoever fetches it puts
//! it here, has it tried, and lets it be offered; before a pack goes, its images are withheld and
//! the load balancer was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use pe_proto::Digest;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::images::{Images, Place};

/// See the module. Copies are of the same library.
#[derive(Debug, Clone)]
pub struct Library(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shelves: watch::Sender<Shelves>,
    /// What the load balancer was told last that it may send jobs of; nothing without a link.
    told: watch::Sender<BTreeSet<Digest>>,
    /// When packs were last used. A leaf lock, held for a look-up.
    used: Mutex<BTreeMap<Digest, Instant>>,
    /// Packs that are not what their names say.
    bad: watch::Sender<BTreeSet<Digest>>,
}

/// What is here.
#[derive(Debug, Clone, Default)]
pub struct Shelves {
    images: Arc<Images>,
    withheld: Arc<BTreeSet<Digest>>,
}

impl Shelves {
    /// Images that may be offered.
    pub fn offered(&self) -> Vec<Digest> {
        let mut all = self.images.digests();
        all.retain(|image| !self.withheld.contains(image));
        all
    }

    /// All that is here.
    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }
}

impl Library {
    /// With these images.
    pub fn new(images: Images) -> Self {
        let shelves = Shelves { images: Arc::new(images), withheld: Arc::default() };
        let shelves = watch::Sender::new(shelves);
        let (told, bad) = (watch::Sender::default(), watch::Sender::default());
        Self(Arc::new(Shared { shelves, told, used: Mutex::default(), bad }))
    }

    /// All images that are here.
    pub fn now(&self) -> Arc<Images> {
        Arc::clone(&self.0.shelves.borrow().images)
    }

    /// To be told of changes.
    pub fn watch(&self) -> watch::Receiver<Shelves> {
        self.0.shelves.subscribe()
    }

    /// Where an image is, for a job in it.
    pub fn lend(&self, image: Digest) -> Option<Place> {
        let place = self.now().place(image).cloned()?;
        self.used().insert(place.pack.digest(), Instant::now());
        Some(place)
    }

    /// When packs were used since this was asked last.
    pub fn take_used(&self) -> BTreeMap<Digest, Instant> {
        std::mem::take(&mut self.used())
    }

    /// Other images are here; those that are new are withheld.
    pub fn place(&self, images: Images) {
        self.0.shelves.send_modify(|shelves| {
            let withheld = Arc::make_mut(&mut shelves.withheld);
            let is_new = |image: &Digest| shelves.images.pack(*image).is_none();
            withheld.extend(images.digests().into_iter().filter(is_new));
            withheld.retain(|image| images.pack(*image).is_some());
            shelves.images = Arc::new(images);
        });
    }

    /// Lets images be offered, or not.
    pub fn withhold(&self, images: &[Digest], is_withheld: bool) {
        self.0.shelves.send_modify(|shelves| {
            let withheld = Arc::make_mut(&mut shelves.withheld);
            for image in images {
                if is_withheld {
                    withheld.insert(*image);
                } else {
                    withheld.remove(image);
                }
            }
        });
    }

    /// A pack is not what its name says.
    pub fn found_bad(&self, pack: Digest) {
        self.0.bad.send_modify(|bad| {
            bad.insert(pack);
        });
    }

    /// Such packs.
    pub fn watch_bad(&self) -> watch::Receiver<BTreeSet<Digest>> {
        self.0.bad.subscribe()
    }

    /// What was held against a pack holds no more. False if there was nothing.
    pub fn forgive(&self, pack: Digest) -> bool {
        let mut was_bad = false;
        self.0.bad.send_if_modified(|bad| {
            was_bad = bad.remove(&pack);
            false
        });
        was_bad
    }

    /// The load balancer knows from now on that these are on offer, and no others.
    pub fn told(&self, images: impl IntoIterator<Item = Digest>) {
        self.0.told.send_replace(images.into_iter().collect());
    }

    /// Whether it knows just that.
    pub fn is_told(&self, images: &[Digest]) -> bool {
        let told = self.0.told.borrow();
        told.len() == images.len() && images.iter().all(|image| told.contains(image))
    }

    /// Waits until the load balancer thinks of none of these that they are on offer.
    ///
    /// # Cancel safety
    /// Nothing is lost by asking again.
    pub async fn untold(&self, images: &[Digest]) {
        let mut told = self.0.told.subscribe();
        // The sender is ours.
        let _ = told.wait_for(|told| !images.iter().any(|image| told.contains(image))).await;
    }

    fn used(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Instant>> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
