//! Clients that open a TLS connection, make one request over HTTP/2, and then do nothing but
//! answer what HTTP/2 itself asks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// The server's listener for TLS
    address: SocketAddr,
    /// What is asked for
    path: String,
    /// The certificate that the server must show
    certificate: PathBuf,
    /// How many
    #[arg(long)]
    connections: u32,
}

/// Handshakes at a time.
const AT_A_TIME: usize = 64;

/// Opens all of them, says so, and holds them until it is killed.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&settings.certificate).context("certificate")?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let url = format!("https://localhost{}", settings.path);
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut connections = JoinSet::new();
    for _ in 0..settings.connections {
        let place = Arc::clone(&places).acquire_owned().await?;
        connections.spawn(hold(connector.clone(), settings.address, url.clone(), place));
        if let Some(ended) = connections.try_join_next() {
            return ended?;
        }
    }
    // All places are free again: all have their answer.
    let _ = places.acquire_many(u32::try_from(AT_A_TIME)?).await?;
    // Whoever started us waits for this line.
    println!("idle");
    // None of them ends by itself.
    connections.join_next().await.context("there were none")??
}

/// One connection: its request while it has the place, and then nothing.
async fn hold(
    connector: TlsConnector,
    address: SocketAddr,
    url: String,
    place: OwnedSemaphorePermit,
) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
    let builder = h2::client::Builder::new();
    let (send, connection) = builder.handshake::<_, Bytes>(stream).await?;
    let mut connection = pin!(connection);
    let ask = async {
        let mut send = send.ready().await?;
        let (response, _) = send.send_request(Request::get(url).body(())?, true)?;
        let response = response.await?;
        anyhow::ensure!(response.status() == StatusCode::OK, "{}", response.status());
        let mut body = response.into_body();
        while let Some(piece) = body.data().await {
            body.flow_control().release_capacity(piece?.len())?;
        }
        Ok(send)
    };
    // The connection would be closed if nobody could send requests over it.
    let _send = tokio::select! {
        biased;
        // The answer first: the connection only ends by a mishap.
        asked = ask => asked?,
        // See above.
        ended = connection.as_mut() => return ended.context("connection"),
    };
    drop(place);
    connection.await.context("connection")
}
