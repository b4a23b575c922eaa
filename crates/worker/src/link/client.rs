//! One HTTP/2 connection to the LB: dialling, and requests on it.

use std::path::Path;
use std::str::FromStr;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use pe_proto::codec::{self, Message};
use pe_proto::link::{CONTENT_TYPE, token_in};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::LinkError;
use super::body::LinkBody;
use super::tls::LinkTls;
use crate::limits::{
    ANSWER_BYTES_MAX, CONFIG_FILE_BYTES_MAX, CONNECTION_WINDOW, DIAL, PING_ANSWER, PING_EVERY,
    STREAM_WINDOW,
};
use crate::vm::console::printable;

/// Where the LB listens for workers: `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LbAddress {
    authority: Authority,
    /// Whether TLS is spoken there.
    pub(crate) is_tls: bool,
}

/// Not an address of an LB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected http://host:port or https://host:port, with nothing after it")]
pub struct LbAddressError;

impl FromStr for LbAddress {
    type Err = LbAddressError;

    fn from_str(text: &str) -> Result<Self, LbAddressError> {
        let uri: Uri = text.parse().map_err(|_| LbAddressError)?;
        let bare = uri.path() == "/" && uri.query().is_none();
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(LbAddressError),
        };
        match uri.authority() {
            Some(at) if bare && at.port().is_some() && !at.as_str().contains('@') => {
                Ok(Self { authority: at.clone(), is_tls })
            }
            _ => Err(LbAddressError),
        }
    }
}

impl LbAddress {
    fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}

impl std::fmt::Display for LbAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

/// The secret that lets a worker in.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// Reads the first line of a file.
    ///
    /// # Errors
    /// It cannot be read, or holds nothing that can be sent.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)?.take(CONFIG_FILE_BYTES_MAX).read_to_string(&mut text)?;
        let bad = "expected a token of visible characters on one line";
        Self::from_text(&text).ok_or_else(|| std::io::Error::other(bad))
    }

    /// Takes the first line of a text.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let token = token_in(text)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Requests on one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    sender: SendRequest<LinkBody>,
    lb: LbAddress,
    token: Option<Token>,
}

impl Client {
    /// Dials. The connection's tasks run in `tasks`; `dead` is cancelled when it is gone, and
    /// cancelling it ends it.
    pub(super) async fn dial(
        lb: &LbAddress,
        tls: &LinkTls,
        token: Option<&Token>,
        tasks: &TaskTracker,
        dead: &CancellationToken,
    ) -> Result<Self, LinkError> {
        let authority = &lb.authority;
        let unreachable = |error| LinkError::Dial(authority.to_string(), error);
        let stream = timeout(DIAL, TcpStream::connect(authority.as_str())).await;
        let stream = stream.map_err(|_| LinkError::Late("dial"))?.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream = if lb.is_tls {
            let shaken = timeout(DIAL, tls.shake(authority.host(), stream)).await;
            let shaken = shaken.map_err(|_| LinkError::Late("TLS handshake"))?;
            Either::Right(shaken.map_err(unreachable)?)
        } else {
            Either::Left(stream)
        };
        let handshake = http2::Builder::new(Tracked(tasks.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWER)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream));
        let (sender, connection) =
            timeout(DIAL, handshake).await.map_err(|_| LinkError::Late("handshake"))??;
        let dead = dead.clone();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                // We are done with it.
                () = dead.cancelled() => {}
                // It broke, or the LB closed it.
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection to the lb broke");
                    }
                }
            }
            dead.cancel();
        });
        Ok(Self { sender, lb: lb.clone(), token: token.cloned() })
    }

    /// Sends a request; resolves with the head of the answer. Dropping the future resets the
    /// stream.
    pub(super) async fn post(
        &self,
        path: &str,
        body: LinkBody,
    ) -> Result<Response<Incoming>, LinkError> {
        let request = self.request(path, body)?;
        self.send(request).await
    }

    /// A request with what all have: its method is to be set if it is not POST.
    pub(super) fn request(
        &self,
        path: &str,
        body: LinkBody,
    ) -> Result<Request<LinkBody>, LinkError> {
        let uri = Uri::builder().scheme(self.lb.scheme()).authority(self.lb.authority.clone());
        let uri = uri.path_and_query(path).build().map_err(|_| LinkError::Closed)?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.0.clone());
        }
        Ok(request)
    }

    /// Sends it; see [`Client::post`].
    pub(super) async fn send(
        &self,
        request: Request<LinkBody>,
    ) -> Result<Response<Incoming>, LinkError> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        Ok(sender.send_request(request).await?)
    }

    /// Sends a message that has a short answer; returns the answer's status and bytes.
    pub(super) async fn tell(
        &self,
        path: &'static str,
        message: &impl Message,
    ) -> Result<Bytes, LinkError> {
        let frame = codec::to_vec(message)?;
        let exchange = async {
            let response = self.post(path, LinkBody::frame(frame)).await?;
            answer(path, response).await
        };
        timeout(DIAL, exchange).await.map_err(|_| LinkError::Late(path))?
    }
}

/// The bytes of a short answer that is a success.
pub(super) async fn answer(
    what: &'static str,
    response: Response<Incoming>,
) -> Result<Bytes, LinkError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes);
    match status {
        StatusCode::OK | StatusCode::NO_CONTENT => body.map_err(|_| LinkError::Closed),
        _ => {
            let body = body.unwrap_or_default();
            let said = printable(body.get(..SAID_BYTES).unwrap_or(&body));
            Err(LinkError::Status { what, status, said })
        }
    }
}

/// What is repeated in the log of an answer that was not expected.
const SAID_BYTES: usize = 200;

/// Runs the connection's own tasks where they are waited for.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        for good in ["http://127.0.0.1:8081", "http://lb:1/", "http://[::1]:80", "https://lb:443"] {
            assert!(good.parse::<LbAddress>().is_ok(), "{good}");
        }
        for bad in [
            "lb:8081",
            "ftp://lb:1",
            "https://lb",
            "http://lb",
            "http://me@lb:1",
            "http://lb:1/x",
            "http://lb:1?q",
            "",
        ] {
            assert_eq!(bad.parse::<LbAddress>(), Err(LbAddressError), "{bad}");
        }
    }

    #[test]
    fn a_token_never_shows_in_a_log() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("token");
        std::fs::write(&path, "s3cret\n").expect("write");
        let token = Token::read(&path).expect("token");
        assert_eq!(token.0, "Bearer s3cret");
        assert!(!format!("{token:?} {:?}", token.0).contains("s3cret"));
        for none in ["\n", "two words\n", "\ns3cret\n"] {
            std::fs::write(&path, none).expect("write");
            assert!(Token::read(&path).is_err(), "{none:?}");
        }
    }
}
