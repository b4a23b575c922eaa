//! Settings that a reload replaces while requests go on: each request takes the values that hold
//! when it looks, and keeps them for as long as it holds what it took.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use pe_proto::api::RunConfig;
use pe_proto::catalogue::Catalogue;
use pe_proto::{Arch, Digest, JobSpec};

use super::link::stock::Stock;
use super::pages::Pages;
use super::site::Site;
use crate::config::{AdminTerms, Config};
use crate::core::resolve::{Grants, Unresolved, resolve};

/// See the module.
#[derive(Debug)]
pub struct Live(ArcSwap<Settings>);

/// What holds now.
#[derive(Debug)]
pub struct Settings {
    /// Images.
    pub catalogue: Catalogue,
    /// Everything served from memory.
    pub pages: Pages,
    site: Option<Arc<Site>>,
    /// What workers may fetch.
    pub stock: Stock,
    /// What jobs may ask for.
    pub grants: Grants,
    /// Who may ask on the admin listener.
    pub admin: AdminTerms,
}

impl Live {
    /// The settings that the process begins with.
    ///
    /// # Errors
    /// The catalogue cannot be served: a defect.
    pub fn new(config: &Config) -> Result<Self, serde_json::Error> {
        Ok(Self(ArcSwap::from_pointee(Settings::new(config, config.site.clone())?)))
    }

    /// What holds now, for a moment: not to be kept across an await.
    pub fn now(&self) -> Guard<Arc<Settings>> {
        self.0.load()
    }

    /// What a request means by what holds now, for somebody who may ask for `wall_ms_max` at most
    /// if that is less than all may.
    ///
    /// # Errors
    /// See [`resolve()`].
    pub fn resolve(
        &self,
        config: &RunConfig,
        wall_ms_max: Option<u64>,
    ) -> Result<JobSpec, Unresolved> {
        let settings = self.now();
        resolve(config, &settings.catalogue, settings.grants.within(wall_ms_max))
    }

    /// Other settings hold from now on.
    ///
    /// # Errors
    /// The catalogue cannot be served: a defect. Nothing changed.
    pub fn replace(&self, config: &Config) -> Result<(), serde_json::Error> {
        let now = self.0.load();
        let site = config.site.as_ref().map(|site| match &now.site {
            Some(old) => Arc::new(site.after(old)),
            None => Arc::clone(site),
        });
        self.0.store(Arc::new(Settings::new(config, site)?));
        Ok(())
    }
}

impl Settings {
    /// Length of the pack that holds an image; 0 if there is none.
    pub fn pack_bytes(&self, arch: Arch, image: Digest) -> u64 {
        let mut platforms = self.catalogue.images.iter().flat_map(|image| &image.platforms);
        let platform = platforms.find(|it| it.arch == arch && it.digest == image);
        platform.map_or(0, |platform| platform.pack.bytes)
    }

    fn new(config: &Config, site: Option<Arc<Site>>) -> Result<Self, serde_json::Error> {
        Ok(Self {
            pages: Pages::new(&config.catalogue, site.clone())?,
            site,
            stock: Stock::new(&config.catalogue, &config.images_dir)?,
            catalogue: config.catalogue.clone(),
            grants: config.grants,
            admin: config.admin.clone(),
        })
    }
}
