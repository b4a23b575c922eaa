//! Where images come from: an OCI layout, an archive of one, what `docker save` writes, or a
//! registry. Each is a [`crate::Source`].

/// Why a source does not give an image.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A limit of [`crate::limits`].
    #[error("{what}: {got}, and at most {limit} are taken")]
    Limit {
        /// Of what there is too much.
        what: &'static str,
        /// How much.
        got: u64,
        /// How much may be.
        limit: u64,
    },
}
