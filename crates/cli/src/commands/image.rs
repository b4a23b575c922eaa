//! `pe image`: images into packs and the catalogue, on this machine. No server is asked.
//!
//! All of it blocks, so it runs on one blocking thread. Ctrl-C leaves that thread behind: what it had
//! begun is in a working directory of the store that the next writer removes, and the processes that
//! unpack for it end with it.

mod import;
mod inspect;
mod names;
mod settings;
mod store;
mod watch;

use std::path::PathBuf;

use pe_image::labels::BadDescription;
use pe_image::pack::PackError;
use pe_image::source::registry::credentials::BadCredentials;
use pe_image::source::registry::policy::BadPolicy;
use pe_image::source::{BadSourceName, SourceError};
use pe_image::store::StoreError;
use pe_proto::Arch;

use crate::arguments::ArchArg;
use crate::arguments::image::{ImageArgs, ImageCommand};
use crate::exit_status::{FAILED, USAGE};

use super::{Failure, blocking, print_now};

/// Why nothing was done with an image.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImageFailure {
    #[error(transparent)]
    SourceName(#[from] BadSourceName),
    #[error(transparent)]
    Name(#[from] names::BadName),
    #[error("--registries `{path}`: {why}")]
    Policy { path: PathBuf, why: BadPolicy },
    #[error("{why}")]
    Credentials { why: BadCredentials },
    #[error("`{path}` cannot be read: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("`{path}`: {why}")]
    Description { path: PathBuf, why: BadDescription },
    #[error("this machine's architecture is not one of ours: say --arch")]
    Arch,
    #[error("{0}")]
    Source(SourceError),
    #[error("{}", chain(.0))]
    Pack(PackError),
    #[error("{}", chain(.0))]
    Store(StoreError),
    #[error("cannot be shown as JSON: {0}")]
    Json(serde_json::Error),
}

impl ImageFailure {
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            Self::SourceName(_)
            | Self::Name(_)
            | Self::Policy { .. }
            | Self::Credentials { .. }
            | Self::File { .. }
            | Self::Description { .. }
            | Self::Arch => USAGE,
            Self::Source(_) | Self::Pack(_) | Self::Store(_) | Self::Json(_) => FAILED,
        }
    }
}

impl From<SourceError> for ImageFailure {
    fn from(why: SourceError) -> Self {
        Self::Source(why)
    }
}

impl From<PackError> for ImageFailure {
    fn from(why: PackError) -> Self {
        Self::Pack(why)
    }
}

impl From<StoreError> for ImageFailure {
    fn from(why: StoreError) -> Self {
        Self::Store(why)
    }
}

pub(super) async fn image(args: ImageArgs) -> Result<u8, Failure> {
    let (text, status) = blocking(move || match args.what {
        ImageCommand::Import(args) => import::import(&args),
        ImageCommand::Pack(args) => import::pack(&args),
        ImageCommand::List(args) => store::list(&args),
        ImageCommand::Rm(args) => store::remove(&args),
        ImageCommand::Inspect(args) => inspect::inspect(&args),
        ImageCommand::Lint(args) => inspect::lint(&args),
    })
    .await??;
    blocking(move || print_now(text.as_bytes())).await??;
    Ok(status)
}

/// The architecture that is meant.
fn arch(asked: Option<ArchArg>) -> Result<Arch, ImageFailure> {
    asked.map(Arch::from).or_else(Arch::of_this_host).ok_or(ImageFailure::Arch)
}

/// An error and what it comes from, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        // Some say what they come from themselves.
        if !line.contains(&said) {
            line.push_str(": ");
            line.push_str(&said);
        }
        source = inner.source();
    }
    line
}

/// Pretty JSON with a line's end.
fn pretty(value: &impl serde::Serialize) -> Result<String, ImageFailure> {
    let text = serde_json::to_string_pretty(value).map_err(ImageFailure::Json)?;
    Ok(format!("{text}\n"))
}
