//! TLS to the server: HTTP/1.1, with the system's authorities or those of a file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Shakes hands with the host of this name.
pub(super) async fn shake(
    host: &str,
    ca: Option<&Path>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn roots(ca: Option<&Path>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca else {
        // Authorities that rustls does not take are as good as absent.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let bad = |problem: String| io::Error::other(format!("{}: {problem}", file.display()));
    for root in CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))? {
        let root = root.map_err(|error| bad(error.to_string()))?;
        roots.add(root).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("no certificate in it".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[tokio::test]
    async fn a_server_is_believed_if_its_certificate_names_it_and_is_vouched_for() {
        let made = rcgen::generate_simple_self_signed(["pe.test".to_owned()]).expect("a pair");
        let dir = tempfile::tempdir().expect("a directory");
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, made.cert.pem()).expect("a file");
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
            .expect("a pair");
        let server = TlsAcceptor::from(Arc::new(config));
        for (name, ca, is_good) in [
            ("pe.test", Some(ca.as_path()), true),
            ("other.test", Some(ca.as_path()), false),
            ("pe.test", None, false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let serving = async {
                let (stream, _) = listener.accept().await.expect("pe");
                // Its end is the client's to judge.
                drop(server.accept(stream).await);
            };
            let asking = async {
                let stream = TcpStream::connect(address).await.expect("a listener");
                shake(name, ca, stream).await.is_ok()
            };
            let ((), found) = tokio::join!(serving, asking);
            assert_eq!(found, is_good, "{name}");
        }
    }
}
