//! From the first document of an image to all that is known of it: the same steps for a layout,
//! an archive and a registry.

use pe_proto::{Arch, Digest};

use crate::oci::OciImage;

use super::document::{BadDocument, Document, Manifest, Named, Part};
use super::{SourceError, config, platform, verify};

/// Where documents come from. They are checked here, not there.
pub(super) trait Documents {
    /// The bytes of a manifest or an index; no more than its length and one.
    fn manifest(&self, named: &Named) -> Result<Vec<u8>, SourceError>;

    /// The bytes of a config; no more than its length and one.
    fn config(&self, named: &Named) -> Result<Vec<u8>, SourceError>;
}

/// How a document came: its bytes, the digest they have, and what their sender says they are.
#[derive(Debug)]
pub(super) struct First<'a> {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
    pub(super) told: Option<(&'static str, &'a str)>,
}

/// The image that begins with a document which is an image's manifest, or an index of them.
pub(super) fn image(
    documents: &dyn Documents,
    first: First<'_>,
    arch: Arch,
) -> Result<OciImage, SourceError> {
    match Document::read(&first.bytes, first.told)? {
        Document::Image(manifest) => finish(documents, first.digest, &manifest, arch),
        Document::Index(entries) => {
            let named = platform::pick(&entries, arch)?.named()?;
            match fetch(documents, &named)? {
                Document::Image(manifest) => finish(documents, named.digest, &manifest, arch),
                Document::Index(_) => Err(SourceError::Nested),
            }
        }
    }
}

/// The document that an entry names.
pub(super) fn fetch(documents: &dyn Documents, named: &Named) -> Result<Document, SourceError> {
    let bytes = documents.manifest(named)?;
    check(&bytes, named, Part::Manifest)?;
    Document::read(&bytes, named.media_type.as_deref().map(|told| ("its index", told)))
}

/// What a manifest and its config tell together.
pub(super) fn finish(
    documents: &dyn Documents,
    digest: Digest,
    manifest: &Manifest,
    arch: Arch,
) -> Result<OciImage, SourceError> {
    let bytes = documents.config(&manifest.config)?;
    check(&bytes, &manifest.config, Part::Config)?;
    let config = config::read(&bytes, arch, manifest.layers.len())?;
    Ok(OciImage {
        manifest: digest,
        arch,
        config: config.run,
        labels: config.labels,
        diff_ids: config.diff_ids,
        layers: manifest.layers.clone(),
    })
}

fn check(bytes: &[u8], named: &Named, part: Part) -> Result<(), SourceError> {
    let checked = verify::check(bytes, named.digest, named.bytes);
    checked.map_err(|why| BadDocument::from(why).of(part))
}
