//! Which registries `pe image` asks, and as whom: options to the library's settings.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pe_image::limits::{CREDENTIALS_BYTES_MAX, RULES_BYTES_MAX};
use pe_image::source::registry::Settings;
use pe_image::source::registry::credentials::Credentials;
use pe_image::source::registry::policy::{Policy, Rule};

use crate::arguments::image::RegistryArgs;

use super::ImageFailure;

/// Reads the files that the options name.
pub(super) fn settings(args: &RegistryArgs) -> Result<Settings, ImageFailure> {
    let mut policy = match &args.registries {
        Some(path) => {
            let bytes = read(path, RULES_BYTES_MAX)?;
            let text = String::from_utf8_lossy(&bytes);
            Policy::read(&text).map_err(|why| ImageFailure::Policy { path: path.clone(), why })?
        }
        None => Policy::well_known(),
    };
    for registry in &args.allow_registry {
        policy.allow(Rule::public(registry.clone()));
    }
    for registry in &args.local_registry {
        policy.allow(Rule::local(registry.clone()));
    }
    let mut settings = Settings::new(policy);
    let auth_file = args.auth_file.clone().or_else(dockers);
    if let Some(path) = auth_file {
        let bytes = read(&path, CREDENTIALS_BYTES_MAX)?;
        settings.credentials =
            Credentials::read(&bytes).map_err(|why| ImageFailure::Credentials { why })?;
    }
    Ok(settings)
}

/// Where `docker login` keeps credentials, if it did.
fn dockers() -> Option<PathBuf> {
    let path = std::env::home_dir()?.join(".docker/config.json");
    path.is_file().then_some(path)
}

pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, ImageFailure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    let read = read.and_then(|count| match u64::try_from(count) {
        Ok(count) if count <= most => Ok(()),
        _ => Err(std::io::Error::other(format!("it is longer than {most} bytes"))),
    });
    read.map_err(|error| ImageFailure::File { path: path.to_owned(), error })?;
    Ok(bytes)
}
