//! Listens where metrics would be served, for a moment.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{DOCTOR_QUICK, Probe};
use crate::config::Config;
use crate::doctor::checks;

/// Whose the address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsFacts {
    /// None is wanted.
    NotSet,
    /// Nobody's.
    Free {
        /// Which.
        at: SocketAddr,
    },
    /// A worker serves it: the one that the doctor was asked about, most likely.
    Ours {
        /// Which.
        at: SocketAddr,
    },
    /// It cannot be listened on.
    Taken {
        /// Which.
        at: SocketAddr,
        /// Why not.
        reason: String,
    },
}

/// Asks for the address.
pub(super) fn probe(config: &Config) -> Probe {
    let at = config.metrics;
    let ask = async move { vec![checks::service::metrics(&look(at).await)] };
    Probe { checks: vec![&checks::METRICS], within: DOCTOR_QUICK, ask: ask.boxed() }
}

async fn look(at: Option<SocketAddr>) -> MetricsFacts {
    let Some(at) = at else { return MetricsFacts::NotSet };
    match TcpListener::bind(at).await {
        Ok(_) => MetricsFacts::Free { at },
        Err(error) => {
            let served = timeout(SCRAPE, is_served(at)).await;
            match served {
                Ok(Ok(true)) => MetricsFacts::Ours { at },
                _ => MetricsFacts::Taken { at, reason: error.to_string() },
            }
        }
    }
}

/// A worker answers at once.
const SCRAPE: Duration = Duration::from_secs(2);
/// Enough to recognise its metrics.
const SCRAPE_BYTES_MAX: u64 = 256 * 1024;

async fn is_served(at: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: doctor\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(SCRAPE_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).contains("pe_worker_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_free_or_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let at = listener.local_addr().expect("address");
        assert_eq!(look(None).await, MetricsFacts::NotSet);
        // It never answers, which no worker does.
        let MetricsFacts::Taken { at: taken, reason } = look(Some(at)).await else {
            panic!("taken");
        };
        assert_eq!(taken, at);
        assert!(reason.contains("in use"), "{reason}");
        drop(listener);
        assert_eq!(look(Some(at)).await, MetricsFacts::Free { at });
    }
}
