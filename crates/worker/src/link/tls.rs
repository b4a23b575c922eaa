//! TLS to the LB: who is trusted to be it, and what the worker shows of itself.
//!
//! Files are read at the start, so that what is wrong is known then, and again for each dial, so
//! that certificates can be renewed while the worker runs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkTls {
    /// Authorities that may vouch for the LB, as PEM; those of the system if absent.
    pub ca: Option<PathBuf>,
    /// Certificate chain that is shown to the LB, as PEM, with its key.
    pub shown: Option<(PathBuf, PathBuf)>,
}

impl LinkTls {
    /// Reads all files, and keeps nothing.
    ///
    /// # Errors
    /// One that is not what it should be.
    pub fn check(&self) -> io::Result<()> {
        self.config().map(drop)
    }

    /// Shakes hands with the LB, by this name.
    pub(super) async fn shake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = self.shake_with(host, stream, ALPN_LINK).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN_LINK) {
            return Err(io::Error::other("the server does not offer HTTP/2"));
        }
        Ok(stream)
    }

    /// Shakes hands with a web server, which is shown no certificate.
    pub(crate) async fn shake_http1(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let anonymous = Self { ca: self.ca.clone(), shown: None };
        anonymous.shake_with(host, stream, b"http/1.1").await
    }

    async fn shake_with(
        &self,
        host: &str,
        stream: TcpStream,
        protocol: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let mut config = self.config()?;
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn config(&self) -> io::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(file) => {
                for root in certificates(file)? {
                    roots.add(root).map_err(|error| of(file, error))?;
                }
            }
            None => {
                // Authorities that rustls does not take are as good as absent.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(io::Error::other("the system has no authorities; name one: lb_ca"));
                }
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let mut config = match &self.shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| of(key, error))?;
                let chain = certificates(certificate)?;
                builder.with_client_auth_cert(chain, private).map_err(|error| of(key, error))?
            }
        };
        config.alpn_protocols = vec![ALPN_LINK.to_vec()];
        Ok(config)
    }
}

/// What is spoken on the link.
const ALPN_LINK: &[u8] = b"h2";

fn certificates(file: &std::path::Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| of(file, error))?.collect();
    let found = found.map_err(|error| of(file, error))?;
    if found.is_empty() { Err(of(file, "no certificate in it")) } else { Ok(found) }
}

fn of(file: &std::path::Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa,
        KeyPair,
    };
    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().expect("a key");
            Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
        }

        /// Certificate and key of a name, as PEM.
        fn vouch(&self, name: &str) -> (String, String) {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.signed_by(&key, &self.0).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        }

        /// An LB of this name that wants a certificate of ours.
        fn lb(&self, name: &str, alpn: &[u8]) -> TlsAcceptor {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).expect("an authority");
            let provider = Arc::new(default_provider());
            let peers =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .expect("a verifier");
            let (chain, key) = self.vouch(name);
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("one")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_client_cert_verifier(peers)
                .with_single_cert(chain, key)
                .expect("a pair");
            config.alpn_protocols = vec![alpn.to_vec()];
            TlsAcceptor::from(Arc::new(config))
        }
    }

    /// Dials an LB; returns what the worker found and whether the LB saw a certificate.
    async fn dial(tls: &LinkTls, lb: TlsAcceptor, name: &str) -> (io::Result<()>, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = async {
            let (stream, _) = listener.accept().await.expect("a worker");
            let shaken = lb.accept(stream).await;
            shaken.is_ok_and(|stream| stream.get_ref().1.peer_certificates().is_some())
        };
        let worker = async {
            let stream = TcpStream::connect(address).await.expect("a listener");
            tls.shake(name, stream).await.map(drop)
        };
        tokio::join!(worker, server)
    }

    #[tokio::test]
    async fn the_lb_must_be_vouched_for_by_its_name_and_speak_http2_and_sees_our_certificate() {
        let authority = Authority::new();
        let files = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let (certificate, key) = authority.vouch("worker.test");
        let shown = Some((write("worker.pem", &certificate), write("worker.key", &key)));
        let tls = LinkTls { ca: Some(write("ca.pem", &authority.0.pem())), shown };
        tls.check().expect("good files");

        let (found, is_seen) = dial(&tls, authority.lb("lb.test", b"h2"), "lb.test").await;
        found.expect("TLS");
        assert!(is_seen);
        assert!(dial(&tls, authority.lb("lb.test", b"h2"), "other.test").await.0.is_err());
        assert!(dial(&tls, authority.lb("lb.test", b"http/1.1"), "lb.test").await.0.is_err());
        let stranger = Authority::new();
        assert!(dial(&tls, stranger.lb("lb.test", b"h2"), "lb.test").await.0.is_err());
        // A renewed certificate is used with the next dial.
        let (certificate, key) = authority.vouch("worker.test");
        write("worker.pem", &certificate);
        assert!(tls.check().is_err());
        write("worker.key", &key);
        assert!(dial(&tls, authority.lb("lb.test", b"h2"), "lb.test").await.1);
        assert!(
            LinkTls { ca: Some(files.path().join("nowhere.pem")), shown: None }.check().is_err()
        );
    }
}
