//! TLS of clients' and workers' listeners.

use std::path::Path;
use std::sync::Arc;

use pe_lb::{Config, Overrides};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa};
use rcgen::{KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::lb::{Lb, busybox};
use crate::worker::ScriptedWorker;

/// An authority and what it vouched for.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let authority = Self { issuer, files: tempfile::tempdir().expect("a directory") };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    /// Certificate and key of a name, as PEM.
    fn vouch(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// Certificate and key of the load balancer, under this name.
    fn install(&self, name: &str) {
        let (certificate, key) = self.vouch(name);
        self.write("lb.pem", &certificate);
        self.write("lb.key", &key);
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.files.path().join(name)
    }

    /// Settings with its files.
    fn toml(&self, more: &str) -> String {
        let at = |name: &str| self.path(name).display().to_string();
        format!(
            "[tls]\ncertificate = \"{cert}\"\nkey = \"{key}\"\n\
             [workers_tls]\ncertificate = \"{cert}\"\nkey = \"{key}\"\n{more}",
            cert = at("lb.pem"),
            key = at("lb.key"),
        )
    }

    fn config(&self, alpn: &[&str], shown: Option<(String, String)>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("one")];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// Dials with a name.
async fn dial(
    config: &Arc<ClientConfig>,
    address: std::net::SocketAddr,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name).expect("a name");
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// One request on a connection that ends after it.
async fn get(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: lb\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn tls_agrees_on_http2_or_http1_and_clear_text_is_not_answered_there() {
    let authority = Authority::new();
    authority.install("lb.test");
    let lb = Lb::listening("tls:127.0.0.1:0", "127.0.0.1:0", &authority.toml("")).await;
    let config = Arc::new(authority.config(&["http/1.1"], None));
    let mut stream = dial(&config, lb.clients, "lb.test").await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert!(get(&mut stream).await.expect("an answer").starts_with("HTTP/1.1 200"));

    let config = Arc::new(authority.config(&["h2", "http/1.1"], None));
    let stream = dial(&config, lb.clients, "lb.test").await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (send, driver) = h2::client::handshake(stream).await.expect("HTTP/2");
    let mut connection = JoinSet::new();
    connection.spawn(driver);
    let request = http::Request::get("https://lb.test/healthz").body(()).expect("a request");
    let mut send = send.ready().await.expect("a connection");
    let (response, _) = send.send_request(request, true).expect("a stream");
    assert_eq!(response.await.expect("an answer").status(), 200);

    let mut clear = TcpStream::connect(lb.clients).await.expect("a listener");
    clear.write_all(b"GET /healthz HTTP/1.1\r\nhost: lb\r\n\r\n").await.expect("a socket");
    let mut said = Vec::new();
    // An alert of TLS, or a reset; in no case HTTP.
    let _ = clear.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}

#[tokio::test]
async fn a_session_is_resumed_with_a_ticket_in_both_versions() {
    let authority = Authority::new();
    authority.install("lb.test");
    let lb = Lb::listening("tls:127.0.0.1:0", "127.0.0.1:0", &authority.toml("")).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).expect("an authority");
        let config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = dial(&config, lb.clients, "lb.test").await.expect("TLS");
            assert!(get(&mut stream).await.expect("an answer").starts_with("HTTP/1.1 200"));
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_over_while_serving_and_a_bad_one_is_not() {
    let authority = Authority::new();
    authority.install("old.test");
    let toml = authority.toml("");
    let lb = Lb::listening("tls:127.0.0.1:0", "127.0.0.1:0", &toml).await;
    let config = Arc::new(authority.config(&["http/1.1"], None));
    let mut open = dial(&config, lb.clients, "old.test").await.expect("TLS");

    authority.install("new.test");
    lb.edge().reload(&load(authority.files.path(), &toml).expect("good settings"));
    assert!(dial(&config, lb.clients, "new.test").await.is_ok());
    assert!(dial(&config, lb.clients, "old.test").await.is_err());
    // What was open stays.
    assert!(get(&mut open).await.expect("an answer").starts_with("HTTP/1.1 200"));

    let (_, other_key) = authority.vouch("new.test");
    authority.write("lb.key", &other_key);
    let said = load(authority.files.path(), &toml).expect_err("a key that does not fit");
    assert!(said.contains("lb.pem") && said.contains("lb.key"), "{said}");
    authority.write("lb.key", "nonsense");
    assert!(load(authority.files.path(), &toml).is_err());
    assert!(dial(&config, lb.clients, "new.test").await.is_ok());
}

fn load(files: &Path, toml: &str) -> Result<Config, String> {
    std::fs::write(files.join("catalogue.json"), r#"{"version":2,"images":[]}"#).expect("a file");
    std::fs::write(files.join("again.toml"), toml).expect("a file");
    let catalogue = Some(files.join("catalogue.json"));
    let flags = Overrides { catalogue, ..Overrides::default() };
    Config::load(Some(&files.join("again.toml")), flags).map_err(|bad| bad.to_string())
}

#[tokio::test]
async fn a_worker_must_show_a_certificate_of_the_authority_that_is_set() {
    let authority = Authority::new();
    authority.install("lb.test");
    let client_ca = format!("client_ca = \"{}\"\n", authority.path("ca.pem").display());
    let lb = Lb::listening("127.0.0.1:0", "tls:127.0.0.1:0", &authority.toml(&client_ca)).await;

    let shown = authority.vouch("worker-1.test");
    let config = Arc::new(authority.config(&["h2"], Some(shown)));
    let stream = dial(&config, lb.workers, "lb.test").await.expect("TLS");
    let mut worker = ScriptedWorker::over(stream, "w1").await;
    assert_eq!(worker.hello(&[busybox()]).await, 200);

    // In TLS 1.3 a client hears of its refusal with the first read.
    for config in [
        authority.config(&["h2"], None),
        authority.config(&["h2"], Some(Authority::new().vouch("worker-1.test"))),
    ] {
        let refused = match dial(&Arc::new(config), lb.workers, "lb.test").await {
            Err(_) => true,
            Ok(mut stream) => stream.read(&mut [0; 1]).await.is_err(),
        };
        assert!(refused);
    }
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_no_obstacle_to_others() {
    let authority = Authority::new();
    authority.install("lb.test");
    let toml = authority.toml("[connections]\nhandshakes_max = 2\n");
    let lb = Lb::listening("tls:127.0.0.1:0", "127.0.0.1:0", &toml).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(lb.clients).await.expect("a listener"));
    }
    let config = Arc::new(authority.config(&["http/1.1"], None));
    let mut stream = dial(&config, lb.clients, "lb.test").await.expect("TLS");
    assert!(get(&mut stream).await.expect("an answer").starts_with("HTTP/1.1 200"));
    // The first of them was given up for the others.
    assert_eq!(silent.remove(0).read(&mut [0; 1]).await.expect("an end"), 0);
}
