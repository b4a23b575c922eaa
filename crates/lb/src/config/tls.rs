//! `[tls]` and `[workers_tls]`: certificates, keys, and the authority that workers' certificates
//! are of. Everything is read and checked here, so that a reload takes it whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use serde::Deserialize;

use super::BadConfig;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawWorkersTls {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
}

/// What a listener proves itself with, and what it asks of its peers.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Certificate chain and its key.
    pub key: Arc<CertifiedKey>,
    /// Who checks the peers' certificates, if they must show one.
    pub peers: Option<Arc<dyn ClientCertVerifier>>,
    /// What all of it is computed with.
    pub provider: Arc<CryptoProvider>,
}

impl RawTls {
    pub(super) fn read(self) -> Result<Option<Identity>, BadConfig> {
        identity(self.certificate, self.key, None, ("tls.certificate", "tls.key"))
    }
}

impl RawWorkersTls {
    pub(super) fn read(self) -> Result<Option<Identity>, BadConfig> {
        let keys = ("workers_tls.certificate", "workers_tls.key");
        identity(self.certificate, self.key, self.client_ca, keys)
    }
}

fn identity(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    (certificate_key, key_key): (&'static str, &'static str),
) -> Result<Option<Identity>, BadConfig> {
    let lacks = |key| BadConfig::Value {
        origin: "settings".to_owned(),
        key,
        problem: "expected the path of a PEM file".to_owned(),
    };
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) if client_ca.is_none() => return Ok(None),
        (None, _) => return Err(lacks(certificate_key)),
        (Some(_), None) => return Err(lacks(key_key)),
    };
    let provider = Arc::new(default_provider());
    let bad = |file: &Path, problem: String| BadConfig::Syntax { file: file.to_owned(), problem };
    let private = PrivateKeyDer::from_pem_slice(super::read(&key)?.as_bytes())
        .map_err(|error| bad(&key, format!("expected a private key as PEM: {error}")))?;
    let chain = certificates(&certificate)?;
    let certified = CertifiedKey::from_der(chain, private, &provider).map_err(|error| {
        bad(&certificate, format!("does not go with {}: {error}", key.display()))
    })?;
    let peers = match client_ca {
        None => None,
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(&file)? {
                roots.add(root).map_err(|error| bad(&file, error.to_string()))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Some(verifier.build().map_err(|error| bad(&file, error.to_string()))?)
        }
    };
    Ok(Some(Identity { key: Arc::new(certified), peers, provider }))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadConfig> {
    let bad = |problem| BadConfig::Syntax { file: file.to_owned(), problem };
    let text = super::read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(bad("expected certificates as PEM".to_owned()));
    }
    Ok(found)
}
