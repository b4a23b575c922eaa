//! Connections: a name is resolved once, every address it has is looked at, and the connection
//! goes to one of those.
//!
//! hyper's client asks for each connection here, whether it is for the registry, for its tokens
//! or for where it sent us; so there is no way round the check, and no second look-up between check
//! and use.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{RootCertStore, crypto::aws_lc_rs::default_provider};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::limits::ADDRESSES_MAX;
use crate::reference::Host;

use super::addresses::refusal;
use super::error::ConnectError;
use super::policy::{Endpoint, Rule};
use super::url;

/// Who knows the addresses of names. May block.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of a name.
    ///
    /// # Errors
    /// It has none, or nobody knows.
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(name, 0))?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Makes the connections of one registry.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    rule: Arc<Rule>,
    resolver: Arc<dyn Resolve>,
    tls: TlsConfig,
    wait: Duration,
}

#[derive(Clone)]
struct TlsConfig(Arc<ClientConfig>);

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConfig")
    }
}

/// A [`ConnectError`] on its way through hyper's client, which only lends its errors.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoConnection(pub(super) Arc<ConnectError>);

/// A connection, with or without TLS.
#[derive(Debug)]
pub(super) struct Stream(TokioIo<Either<TcpStream, TlsStream<TcpStream>>>);

impl Connector {
    /// Fails if the authorities of the rule cannot be read.
    pub(super) fn new(
        rule: Arc<Rule>,
        resolver: Arc<dyn Resolve>,
        wait: Duration,
    ) -> io::Result<Self> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots(&rule)?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { rule, resolver, tls: TlsConfig(Arc::new(config)), wait })
    }

    async fn connect(self, uri: Uri) -> Result<Stream, ConnectError> {
        let endpoint = url::endpoint(&uri);
        let endpoint = endpoint.ok_or_else(|| ConnectError::Host(uri.to_string()))?;
        let is_named = self.rule.names(&endpoint);
        let may_be_plain = is_named && self.rule.plain;
        if !endpoint.tls && !may_be_plain {
            return Err(ConnectError::Plain);
        }
        let addresses = self.addresses(&endpoint, is_named && self.rule.private).await?;
        let tcp = dial(&addresses, endpoint.port).await.map_err(ConnectError::Tcp)?;
        // Only delays small requests; a socket that refuses it works as well.
        let _ = tcp.set_nodelay(true);
        if !endpoint.tls {
            return Ok(Stream(TokioIo::new(Either::Left(tcp))));
        }
        let name = match endpoint.host {
            Host::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|_| ConnectError::Host(name))?
            }
            Host::V4(address) => ServerName::IpAddress(IpAddr::V4(address).into()),
            Host::V6(address) => ServerName::IpAddress(IpAddr::V6(address).into()),
        };
        let shaken = TlsConnector::from(self.tls.0).connect(name, tcp).await;
        Ok(Stream(TokioIo::new(Either::Right(shaken.map_err(ConnectError::Tls)?))))
    }

    /// All addresses of a host, if each of them may be connected to: one of several that is not
    /// is what a name that changes its meaning looks like.
    async fn addresses(
        &self,
        endpoint: &Endpoint,
        private: bool,
    ) -> Result<Vec<IpAddr>, ConnectError> {
        let addresses = match &endpoint.host {
            Host::V4(address) => vec![IpAddr::V4(*address)],
            Host::V6(address) => vec![IpAddr::V6(*address)],
            Host::Name(name) => {
                let (resolver, name) = (Arc::clone(&self.resolver), name.clone());
                let found = tokio::task::spawn_blocking(move || resolver.resolve(&name)).await;
                let found = found.map_err(io::Error::other).and_then(|found| found);
                found.map_err(ConnectError::Resolve)?
            }
        };
        if addresses.len() > ADDRESSES_MAX {
            return Err(ConnectError::Addresses);
        }
        for address in &addresses {
            if let Some(class) = refusal(*address, private) {
                return Err(ConnectError::Address { address: *address, class });
            }
        }
        Ok(addresses)
    }
}

/// The first address that answers.
async fn dial(addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::other("its name has no address");
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(*address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn roots(rule: &Rule) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &rule.ca else {
        // Authorities that rustls does not take are as good as absent.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let bad = |why: String| io::Error::other(format!("{}: {why}", file.display()));
    for root in CertificateDer::pem_file_iter(file).map_err(|why| bad(why.to_string()))? {
        let root = root.map_err(|why| bad(why.to_string()))?;
        roots.add(root).map_err(|why| bad(why.to_string()))?;
    }
    if roots.is_empty() { Err(bad("no certificate in it".to_owned())) } else { Ok(roots) }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let wait = connector.wait;
            let connected = timeout(wait, connector.connect(uri)).await;
            let connected = connected.unwrap_or(Err(ConnectError::Silent(wait)));
            connected.map_err(|why| NoConnection(Arc::new(why)))
        })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
