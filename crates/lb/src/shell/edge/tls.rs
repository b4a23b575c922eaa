//! TLS 1.2 and 1.3 by rustls.
//!
//! What a listener proves itself with can be changed while it serves: a handshake uses what is
//! there when it begins. Clients may resume sessions with tickets whose keys stay the same over a
//! reload and are renewed with time; 0-RTT is off, as it can be replayed. Peers that must show a
//! certificate never resume: a ticket would outlive the authority that vouched for them, and they
//! connect rarely.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::metered::Prefixed;
use crate::config::tls::Identity;
use crate::core::client::CertificateNames;
use crate::limits::HANDSHAKE_TIME;

/// Of one listener.
#[derive(Debug)]
pub struct Tls {
    alpn: Vec<Vec<u8>>,
    tickets: Arc<dyn ProducesTickets>,
    /// A leaf lock: held to clone what is in it.
    current: RwLock<Arc<ServerConfig>>,
}

/// What a handshake ended with.
#[derive(Debug)]
pub struct Shaken {
    /// The way to the peer.
    pub stream: TlsStream<Prefixed>,
    /// Whether HTTP/2 was agreed on.
    pub is_h2: bool,
    /// Who the peer is, if it had to show a certificate.
    pub names: Option<CertificateNames>,
}

impl Tls {
    /// With a first certificate.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn new(identity: &Identity, alpn: &[&[u8]]) -> Result<Self, rustls::Error> {
        let alpn: Vec<_> = alpn.iter().map(|name| name.to_vec()).collect();
        let tickets = Ticketer::new()?;
        let current = RwLock::new(Arc::new(build(identity, &alpn, &tickets)?));
        Ok(Self { alpn, tickets, current })
    }

    /// From the next handshake on, this one.
    ///
    /// # Errors
    /// It cannot be used, and the old one stays.
    pub fn reload(&self, identity: &Identity) -> Result<(), rustls::Error> {
        let new = Arc::new(build(identity, &self.alpn, &self.tickets)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// The peer does not speak TLS, or not ours, or not in time.
    pub async fn accept(&self, stream: Prefixed) -> io::Result<Shaken> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let shaking = TlsAcceptor::from(config).accept(stream);
        let stream =
            timeout(HANDSHAKE_TIME, shaking).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let (_, session) = stream.get_ref();
        let is_h2 = session.alpn_protocol() == Some(b"h2");
        let names = match session.peer_certificates().and_then(<[_]>::first) {
            None => None,
            Some(leaf) => {
                let leaf = webpki::EndEntityCert::try_from(leaf).map_err(io::Error::other)?;
                let names = leaf.valid_dns_names().map(str::to_owned).collect();
                Some(CertificateNames(names))
            }
        };
        Ok(Shaken { stream, is_h2, names })
    }
}

fn build(
    identity: &Identity,
    alpn: &[Vec<u8>],
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(&identity.provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &identity.peers {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver(&identity.key));
    config.alpn_protocols = alpn.to_vec();
    // Tickets hold all there is; nothing is remembered here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if identity.peers.is_none() {
        config.ticketer = Arc::clone(tickets);
        config.send_tls13_tickets = 1;
    } else {
        config.send_tls13_tickets = 0;
    }
    config.max_early_data_size = 0;
    Ok(config)
}

fn resolver(key: &Arc<CertifiedKey>) -> Arc<dyn ResolvesServerCert> {
    Arc::new(SingleCertAndKey::from(Arc::clone(key)))
}
