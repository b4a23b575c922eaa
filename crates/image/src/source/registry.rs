//! Images of a registry (OCI distribution-spec): a small client over hyper, hidden behind
//! [`Source`].
//!
//! A registry is asked only if a rule names it ([`policy`]), and every connection, whatever led to
//! it, goes to an address that was looked at ([`connect`]). Why no ready-made client does this is in
//! decision 0013. The source owns a runtime of one thread, on which layers are downloaded and
//! hashed while their reader unpacks what came before; dropping a reader ends its download, and
//! dropping the source ends them all. A broken download goes on where it broke, a bounded number
//! of times; nothing of it can take longer than [`Waits`] say.

pub mod addresses;
mod api;
mod challenge;
mod connect;
pub mod credentials;
mod download;
mod error;
pub mod policy;
mod token;
mod url;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use pe_proto::{Arch, Digest};
use tokio::runtime::{Handle, Runtime};

use crate::limits;
use crate::oci::{Descriptor, OciImage, Source};
use crate::reference::Reference;

use super::SourceError;
use super::document::{Named, at_most};
use super::resolve::{self, Documents, First};

use api::{Api, Ask};
pub use connect::{Resolve, SystemResolver};
use credentials::Credentials;
pub use error::{BadAuth, BadTurn, ConnectError, RegistryError};
use policy::Policy;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From a request to the head of its answer.
    pub answer: Duration,
    /// For the next bytes of a body.
    pub silence: Duration,
    /// For everything that is asked of a registry, from its first request on.
    pub all: Duration,
    /// Before the first repetition; each later one waits twice as long.
    pub again: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            connect: limits::CONNECT_WAIT_MAX,
            answer: limits::ANSWER_WAIT_MAX,
            silence: limits::SILENCE_MAX,
            all: limits::REGISTRY_WAIT_MAX,
            again: limits::AGAIN_WAIT,
        }
    }
}

/// What is known of registries: which may be asked, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which.
    pub policy: Policy,
    /// As whom.
    pub credentials: Credentials,
    /// How long.
    pub waits: Waits,
    /// Who knows the addresses of names.
    pub resolver: Arc<dyn Resolve>,
}

impl Settings {
    /// These rules, nobody's credentials, the usual waits and the system's resolver.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            credentials: Credentials::default(),
            waits: Waits::default(),
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// One image of a registry.
#[derive(Debug)]
pub struct RegistrySource {
    reference: Reference,
    api: Arc<Api>,
    handle: Handle,
    runtime: Option<Runtime>,
}

impl RegistrySource {
    /// Checks that the registry may be asked; asks nothing.
    ///
    /// # Errors
    /// A registry that no rule names, or credentials or authorities that cannot be used.
    pub fn new(reference: Reference, settings: &Settings) -> Result<Self, SourceError> {
        let api = Arc::new(Api::new(&reference, settings).map_err(Box::new)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(limits::RESOLVER_THREADS_MAX)
            .thread_name("pe-registry")
            .enable_all()
            .build()
            .map_err(|error| Box::new(RegistryError::Runtime(error)))?;
        let handle = runtime.handle().clone();
        Ok(Self { reference, api, handle, runtime: Some(runtime) })
    }

    fn document(&self, ask: Ask<'_>, most: u64) -> Result<api::Fetched, SourceError> {
        Ok(self.handle.block_on(self.api.document(ask, most)).map_err(Box::new)?)
    }
}

impl Drop for RegistrySource {
    /// A resolver that does not answer holds its thread, and must not hold us.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Source for RegistrySource {
    fn image(&self, arch: Arch) -> Result<OciImage, SourceError> {
        let wanted = self.reference.wanted();
        let fetched = self.document(Ask::Manifest(&wanted), limits::MANIFEST_BYTES_MAX)?;
        let length = u64::try_from(fetched.bytes.len()).unwrap_or(u64::MAX);
        at_most("bytes of a manifest", length, limits::MANIFEST_BYTES_MAX)?;
        let digest = Digest::of(&fetched.bytes);
        for named in [self.reference.digest, fetched.digest].into_iter().flatten() {
            if named != digest {
                return Err(Box::new(RegistryError::OtherManifest { named, got: digest }).into());
            }
        }
        let told = fetched.content_type.as_deref().map(|told| ("the registry", told));
        resolve::image(self, First { bytes: fetched.bytes, digest, told }, arch)
    }

    fn open(&self, layer: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        Ok(Box::new(download::start(&self.handle, &self.api, layer.digest, layer.bytes)))
    }
}

impl Documents for RegistrySource {
    fn manifest(&self, named: &Named) -> Result<Vec<u8>, SourceError> {
        let digest = named.digest.to_string();
        Ok(self.document(Ask::Manifest(&digest), named.bytes)?.bytes)
    }

    fn config(&self, named: &Named) -> Result<Vec<u8>, SourceError> {
        let ask = Ask::Blob { digest: named.digest, from: 0 };
        Ok(self.document(ask, named.bytes)?.bytes)
    }
}
