//! The page that was built of `web/`, held in memory (`protocol.md 8.12`).
//!
//! It owns every byte that it answers with: the directory is read whole when settings are read,
//! and never again until the next time. A path finds what was read under that name and nothing
//! else, so no request ever becomes the name of a file. If the directory is not what it should
//! be, there is no site, and whoever reads settings says why.

mod folder;
mod policy;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use pe_proto::Digest;
use pe_proto::api::ProblemKind;

use super::pages::Page;
use crate::cache::derive::Effort;
use crate::core::share::ShareId;
use crate::respond::Failure;
use policy::{FETCH_DEST, Kind};

pub use folder::NotRead;

/// What files are named by what they are: their names never mean anything else.
const HASHED: &str = "/assets/";

/// See the module.
pub struct Site {
    /// By path.
    pages: HashMap<String, Arc<Page>>,
    /// What pages that are open were built with: hashed files of the site before this one.
    kept: HashMap<String, Arc<Page>>,
    digest: Digest,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("files", &self.pages.len()).finish_non_exhaustive()
    }
}

impl Site {
    /// Reads a directory.
    ///
    /// # Errors
    /// The first thing that cannot be served.
    pub fn read(dir: &Path) -> Result<Self, NotRead> {
        let files = folder::read(dir)?;
        let digest = digest(&files);
        if !files.contains_key("index.html") {
            return Err(NotRead::NoIndex);
        }
        let mut pages = HashMap::new();
        for (name, content) in files {
            let kind = Kind::of(&name);
            let path = path_of(&name);
            if is_taken(&path) {
                return Err(NotRead::Taken(name));
            }
            let page = Page::new(content, policy::headers(&name, kind), Effort::Once);
            pages.insert(path, Arc::new(page));
        }
        // The same page in a frame of somebody else's, unless it has one of its own for that.
        if let (Some(index), false) = (pages.get("/"), pages.contains_key("/embed")) {
            let embed = index.with_headers(policy::headers("embed.html", Kind::Embed));
            pages.insert("/embed".to_owned(), Arc::new(embed));
        }
        Ok(Self { pages, kept: HashMap::new(), digest })
    }

    /// What is at a path.
    pub fn find(&self, path: &str) -> Option<&Page> {
        let path = match path.rsplit_once("/s/") {
            // The page looks for the share itself; a name that can be none is nothing.
            Some(("", id)) if ShareId::parse(id).is_some() => "/",
            Some(("/embed", id)) if ShareId::parse(id).is_some() => "/embed",
            Some(_) | None => path,
        };
        self.pages.get(path).or_else(|| self.kept.get(path)).map(AsRef::as_ref)
    }

    /// Takes the place of another: what pages that are open now may still load stays, until the
    /// next time.
    #[must_use]
    pub fn after(&self, old: &Self) -> Self {
        let is_kept = |path: &str| path.starts_with(HASHED) && !self.pages.contains_key(path);
        // The same site again is no reason to forget the one before.
        let left = if self.digest == old.digest { &old.kept } else { &old.pages };
        let kept = left.iter().filter(|(path, _)| is_kept(path));
        let kept = kept.map(|(path, page)| (path.clone(), Arc::clone(page))).collect();
        Self { pages: self.pages.clone(), kept, digest: self.digest }
    }

    /// Of all files and their names.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Whether a path may be asked for in this way: output is looked at inside of the page only. In a
/// window of its own under our name, it could say that it is us.
///
/// # Errors
/// It may not.
pub fn may_be_asked(path: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let asked_for = headers.get(FETCH_DEST).map(HeaderValue::as_bytes);
    if path == "/sandbox" && asked_for.is_some_and(|what| what != b"iframe") {
        let detail = "output of jobs is shown inside of the page only";
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    Ok(())
}

/// `index.html` is `/`, other pages are their name without its end, files are files.
fn path_of(name: &str) -> String {
    match name.strip_suffix(".html") {
        Some("index") => "/".to_owned(),
        Some(page) => format!("/{page}"),
        None => format!("/{name}"),
    }
}

/// What the load balancer answers itself.
fn is_taken(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let is_below = path.trim_start_matches('/').contains('/');
    match first {
        "api" | "worker" | "admin" | "docs" | "healthz" | "readyz" | "metrics" | "s" => true,
        "embed" | "sandbox" => is_below,
        _ => false,
    }
}

fn digest(files: &BTreeMap<String, Vec<u8>>) -> Digest {
    let mut list = String::new();
    for (name, content) in files {
        list.push_str(&format!("{name} {}\n", Digest::of(content).hex()));
    }
    Digest::of(list.as_bytes())
}

#[cfg(test)]
mod tests;
