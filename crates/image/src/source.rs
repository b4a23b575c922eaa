//! Where images come from: an OCI layout, an archive of one, what `docker save` writes, or a
//! registry. Each is a [`Source`].
//!
//! All of them are read as the work of strangers. Documents are small, whole in memory, and
//! checked before anything in them is believed; layers are streams that fail at their end if they
//! are not what was named. Nothing is asked of a place that a document names.

mod archive;
mod config;
mod counted;
mod docker_archive;
mod document;
mod layout;
mod name;
mod platform;
pub mod registry;
mod resolve;
mod verify;

use std::path::PathBuf;

use pe_proto::Arch;

use crate::oci::Source;
use crate::reference::BadReference;

pub use archive::BadArchive;
pub use config::BadConfig;
pub use document::{BadDocument, Part};
pub use name::{BadSourceName, SourceName};
pub use verify::Mismatch;

use registry::{RegistryError, RegistrySource, Settings};

/// Why a source does not give an image.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A limit of [`crate::limits`].
    #[error("too many {what}: {got}, and at most {limit} are taken")]
    Limit {
        /// Of what there is too much.
        what: &'static str,
        /// How much.
        got: u64,
        /// How much may be.
        limit: u64,
    },
    /// A document that is not what it must be.
    #[error("{part} {why}")]
    Document {
        /// Which.
        part: Part,
        /// Why.
        why: Box<BadDocument>,
    },
    /// An index in an index.
    #[error("the index names another index for this architecture, and indexes are not nested")]
    Nested,
    /// Not for this architecture.
    #[error("the image is not there for {wanted}; it is for: {there}")]
    NoPlatform {
        /// What was asked for.
        wanted: Arch,
        /// What there is.
        there: String,
    },
    /// Several images, or none of the name.
    #[error("`{path}` has {}; it has: {there}", match .wanted {
        Some(name) => format!("no image `{name}`"),
        None => "several images, so one must be named, as in `oci:DIR:NAME`".to_owned(),
    })]
    Which {
        /// Where.
        path: PathBuf,
        /// What was asked for, if a name was given.
        wanted: Option<String>,
        /// Names of what there is.
        there: String,
    },
    /// A file that is named is not there, or not a file.
    #[error("`{path}` cannot be read: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// An archive that is not one.
    #[error("`{path}` {why}")]
    Archive {
        /// Which.
        path: PathBuf,
        /// Why.
        why: BadArchive,
    },
    /// Not a name of an image.
    #[error("`{text}` is not a name of an image: {why}")]
    Reference {
        /// What was given.
        text: String,
        /// Why.
        why: BadReference,
    },
    /// A registry.
    #[error("{0}")]
    Registry(#[from] Box<RegistryError>),
}

/// Opens what a name means. Nothing is asked of a registry before its image is.
///
/// # Errors
/// What is not there, is no image, or may not be asked.
pub fn open(name: &SourceName, settings: &Settings) -> Result<Box<dyn Source>, SourceError> {
    match name {
        SourceName::Layout { dir, name } => {
            Ok(Box::new(layout::in_directory(dir, name.as_deref())?))
        }
        SourceName::OciArchive { file, name } => {
            Ok(Box::new(layout::in_archive(archive::Tar::open(file)?, name.as_deref())))
        }
        SourceName::DockerArchive { file, name } => {
            let tar = archive::Tar::open(file)?;
            Ok(Box::new(docker_archive::DockerArchive::new(tar, name.as_deref())))
        }
        SourceName::Path(path) if path.is_dir() => Ok(Box::new(layout::in_directory(path, None)?)),
        SourceName::Path(path) => {
            let tar = archive::Tar::open(path)?;
            // What Docker writes today is both; the layout says more.
            if tar.has(layout::MARK) {
                Ok(Box::new(layout::in_archive(tar, None)))
            } else {
                Ok(Box::new(docker_archive::DockerArchive::new(tar, None)))
            }
        }
        SourceName::Registry(reference) => {
            Ok(Box::new(RegistrySource::new(reference.clone(), settings)?))
        }
    }
}
