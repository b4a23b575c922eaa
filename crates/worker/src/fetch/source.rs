//! Where packs come from: the load balancer, over the link; or a plain web server.
//!
//! Nobody is believed: what comes is what its digest says, or it is thrown away. So a web server
//! needs no token of ours, and gets none.

use std::str::FromStr;

use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pe_proto::Digest;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::either::Either;
use tokio_util::task::TaskTracker;

use crate::limits::DIAL;
use crate::link::{Client, LinkError, LinkTls};

/// The address of a directory of packs: `http[s]://host[:port]/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacksUrl {
    authority: Authority,
    is_tls: bool,
    path: String,
}

/// Not such an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected http[s]://host[:port]/path, with nothing after it")]
pub struct PacksUrlError;

impl FromStr for PacksUrl {
    type Err = PacksUrlError;

    fn from_str(text: &str) -> Result<Self, PacksUrlError> {
        let uri: Uri = text.parse().map_err(|_| PacksUrlError)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(PacksUrlError),
        };
        match uri.authority() {
            Some(at) if uri.query().is_none() && !at.as_str().contains('@') => {
                let path = uri.path().trim_end_matches('/').to_owned();
                Ok(Self { authority: at.clone(), is_tls, path })
            }
            _ => Err(PacksUrlError),
        }
    }
}

impl PacksUrl {
    async fn get(
        &self,
        tls: &LinkTls,
        pack: Digest,
        (from, until): (u64, Option<u64>),
    ) -> Result<Response<Incoming>, LinkError> {
        let host = self.authority.host();
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let port = self.authority.port_u16().unwrap_or(if self.is_tls { 443 } else { 80 });
        let unreachable = |error| LinkError::Dial(self.authority.to_string(), error);
        let stream = timeout(DIAL, TcpStream::connect((bare, port))).await;
        let stream = stream.map_err(|_| LinkError::Late("dial"))?.map_err(unreachable)?;
        let stream = if self.is_tls {
            let shaken = timeout(DIAL, tls.shake_http1(host, stream)).await;
            let shaken = shaken.map_err(|_| LinkError::Late("TLS handshake"))?;
            Either::Right(shaken.map_err(unreachable)?)
        } else {
            Either::Left(stream)
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer: nothing else is asked over it.
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            let _ = connection.await;
        });
        let mut request = Request::new(http_body_util::Empty::<bytes::Bytes>::new());
        *request.method_mut() = Method::GET;
        let path = format!("{}/packs/{}.erofs", self.path, pack.hex());
        *request.uri_mut() = path.parse().map_err(|_| LinkError::Closed)?;
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(self.authority.as_str()) {
            headers.insert(header::HOST, host);
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        range(headers, from, until);
        Ok(sender.send_request(request).await?)
    }
}

/// Asks for what is behind the first bytes, and for nothing from `until` on.
pub(crate) fn range(headers: &mut http::HeaderMap, from: u64, until: Option<u64>) {
    let said = match until {
        Some(until) => format!("bytes={from}-{}", until.saturating_sub(1)),
        None if from > 0 => format!("bytes={from}-"),
        None => return,
    };
    if let Ok(said) = HeaderValue::try_from(said) {
        headers.insert(header::RANGE, said);
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The load balancer.
    Lb(Client),
    /// A web server, and who may vouch for it.
    Web(PacksUrl, LinkTls),
}

impl Source {
    /// Asks for a pack, less so many bytes, and to before `until` if not to its end.
    pub(super) async fn pack(
        &self,
        pack: Digest,
        from: u64,
        until: Option<u64>,
    ) -> Result<Response<Incoming>, LinkError> {
        match self {
            Self::Lb(client) => client.pack(pack, from, until).await,
            Self::Web(url, tls) => url.get(tls, pack, (from, until)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_packs_is_a_web_address_without_secrets() {
        let url: PacksUrl = "https://cdn.example/pe/".parse().expect("fine");
        assert_eq!((url.is_tls, url.path.as_str()), (true, "/pe"));
        assert!("http://[::1]:80".parse::<PacksUrl>().is_ok());
        for bad in ["cdn.example/pe", "ftp://cdn/pe", "https://me:x@cdn/pe", "http://cdn/?q", ""] {
            assert_eq!(bad.parse::<PacksUrl>(), Err(PacksUrlError), "{bad}");
        }
    }
}
