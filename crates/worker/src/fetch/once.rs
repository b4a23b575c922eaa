//! `pe-worker fetch IMAGE...`: packs fetched before a worker serves, and nothing else.

use std::sync::Arc;

use pe_proto::Arch;
use pe_proto::catalogue::Catalogue;
use tokio::time::sleep;

use super::cellar::{Cellar, Found};
use super::source::Source;
use super::transfer::{NotFetched, Order, Progress, fetch};
use crate::config::Config;
use crate::limits::{FETCH_AGAIN_MIN, FETCH_FAILURES_MAX};
use crate::link::{LbAddress, LinkError, LinkTls, Silent, Token};
use crate::metrics::Metrics;

/// Why not all of them are here.
#[derive(Debug, thiserror::Error)]
pub enum NotSeeded {
    /// There is no directory for them.
    #[error("images_cache: expected a directory; it is not set")]
    NoCache,
    /// Guests of this architecture are not known.
    #[error("guests of this architecture are not known")]
    Arch,
    /// The directory cannot be used.
    #[error("cannot keep packs there")]
    Cellar(#[source] std::io::Error),
    /// The token cannot be read.
    #[error("token_file")]
    Token(#[source] std::io::Error),
    /// The load balancer does not let us in, or is not there.
    #[error("cannot ask the load balancer")]
    Link(#[from] LinkError),
    /// What it gives is no catalogue.
    #[error("the catalogue cannot be read")]
    Catalogue(#[from] serde_json::Error),
    /// Not in the catalogue.
    #[error("the catalogue has no image `{0}` for this host")]
    Unknown(String),
    /// They do not fit.
    #[error("they take {needed} bytes together, and disk_budget_mib allows {budget}")]
    Budget {
        /// All of them.
        needed: u64,
        /// What there is.
        budget: u64,
    },
    /// One of them does not come.
    #[error("image `{name}` does not come")]
    Fetch {
        /// Which.
        name: String,
        /// Why not.
        source: NotFetched,
    },
    /// A defect.
    #[error("metrics cannot be registered")]
    Registry(#[from] prometheus::Error),
}

/// Fetches the packs of these images; those that are here already are not asked for.
///
/// # Errors
/// Not all are here in the end. What came is kept.
pub async fn seed(config: &Config, lb: LbAddress, names: &[String]) -> Result<(), NotSeeded> {
    let terms = config.fetch.as_ref().ok_or(NotSeeded::NoCache)?;
    let arch = Arch::of_this_host().ok_or(NotSeeded::Arch)?;
    let cellar = Cellar::open(&config.images).map_err(NotSeeded::Cellar)?;
    let token = config.token_file.as_deref().map(Token::read).transpose();
    let token = token.map_err(NotSeeded::Token)?;
    let visit = Silent::open(config, &lb, token.as_ref(), arch).await?;
    let json = visit.client().catalogue().await?;
    let catalogue: Catalogue = serde_json::from_slice(&json)?;
    cellar.keep_catalogue(&json).map_err(NotSeeded::Cellar)?;
    let packs = resolve(&catalogue, arch, names)?;
    let needed = packs.iter().map(|(_, order)| order.bytes).sum();
    if needed > terms.budget_bytes {
        return Err(NotSeeded::Budget { needed, budget: terms.budget_bytes });
    }
    let here = cellar.list().map_err(NotSeeded::Cellar)?;
    let metrics = Metrics::new()?;
    let source = match &terms.packs_url {
        Some(url) => Source::Web(url.clone(), LinkTls::default()),
        None => Source::Lb(visit.client().clone()),
    };
    let cellar = Arc::new(cellar);
    for (name, order) in packs {
        let Order { pack, bytes, .. } = order;
        if here.contains(&Found::Whole(pack, bytes)) {
            tracing::info!(image = name, "image is here");
            continue;
        }
        tracing::info!(image = name, bytes, "image is fetched");
        let progress = Progress::default();
        let mut failures = 0;
        while let Err(source) = fetch(&cellar, &source, order, &progress, &metrics).await {
            failures += 1;
            if failures >= FETCH_FAILURES_MAX {
                return Err(NotSeeded::Fetch { name: name.to_owned(), source });
            }
            let error = crate::chain(&source);
            tracing::warn!(image = name, error, "image does not come; again");
            sleep(FETCH_AGAIN_MIN * failures).await;
        }
        tracing::info!(image = name, "image has come");
    }
    visit.close().await;
    Ok(())
}

/// Each pack once, with a name that was given for it.
fn resolve<'a>(
    catalogue: &Catalogue,
    arch: Arch,
    names: &'a [String],
) -> Result<Vec<(&'a str, Order)>, NotSeeded> {
    let mut packs: Vec<(&str, Order)> = Vec::new();
    for name in names {
        let found = catalogue.find(name, Some(arch));
        let (_, platform) = found.ok_or_else(|| NotSeeded::Unknown(name.clone()))?;
        let stated = &platform.pack;
        if !packs.iter().any(|(_, it)| it.pack == stated.digest) {
            let (pack, bytes, basis) = (stated.digest, stated.bytes, stated.basis());
            packs.push((name, Order { pack, bytes, basis }));
        }
    }
    Ok(packs)
}
