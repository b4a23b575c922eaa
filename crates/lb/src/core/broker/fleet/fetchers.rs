//! Workers that fetch images which they lack: what they could have, and how far they are.
//!
//! It is their word, and only worth a wait: a job is leased to nobody before the image is on
//! offer. Like slots, what is known here ends with the worker's connection.

use std::sync::Arc;

use pe_proto::Digest;

use super::Fleet;
use crate::core::broker::terms::{Fetch, Fetches};
use crate::core::ids::{Fit, WorkerId};

/// As a worker told last.
#[derive(Debug, Default)]
pub(in crate::core::broker) struct Fetcher {
    /// Sorted.
    able: Arc<[Digest]>,
    under_way: Vec<(Digest, Fetch)>,
}

impl From<Fetches> for Fetcher {
    fn from(Fetches { mut able, under_way }: Fetches) -> Self {
        able.sort_unstable();
        Self { able: able.into(), under_way }
    }
}

impl Fleet {
    /// What a worker could fetch from now on.
    pub(in crate::core::broker) fn fetches(&mut self, id: WorkerId, fetches: Fetches) {
        if !self.workers.contains_key(&id) {
            return;
        }
        if fetches.able.is_empty() {
            self.fetchers.remove(&id);
        } else {
            self.fetchers.insert(id, fetches.into());
        }
    }

    /// Whether anybody fetches anything.
    pub(in crate::core::broker) fn has_fetchers(&self) -> bool {
        !self.fetchers.is_empty()
    }

    /// Whether a worker that may get jobs could have it.
    pub(in crate::core::broker) fn could_fetch(&self, fit: Fit) -> bool {
        self.able(fit).next().is_some()
    }

    /// How far the worker is that has the most of it.
    pub(in crate::core::broker) fn fetching(&self, fit: Fit) -> Option<Fetch> {
        let under_way = self.able(fit).flat_map(|fetcher| &fetcher.under_way);
        let of_it = under_way.filter(|(image, _)| *image == fit.image).map(|(_, fetch)| *fetch);
        of_it.max_by_key(|fetch| fetch.bytes)
    }

    fn able(&self, fit: Fit) -> impl Iterator<Item = &Fetcher> {
        self.fetchers.iter().filter_map(move |(id, fetcher)| {
            let offer = self.workers.get(id)?.effective_offer()?;
            let is_able =
                offer.arch() == fit.arch && fetcher.able.binary_search(&fit.image).is_ok();
            is_able.then_some(fetcher)
        })
    }
}
