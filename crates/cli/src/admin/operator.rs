//! One request to the admin listener over HTTP/1.1, and what is said when it fails.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pe_proto::api::{PROBLEM, Problem};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::target::Target;
use crate::client::Reply;
use crate::limits::{ADMIN_BYTES_MAX, ADMIN_WAIT_MAX, CONNECT_WAIT_MAX};
use crate::words::printable;

/// Asks a load balancer.
#[derive(Debug)]
pub struct Operator {
    target: Target,
    authorization: Option<HeaderValue>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No connection.
    #[error("no load balancer answers operators at {target} ({error})\npe: {}", next(.target, .error))]
    Connect {
        /// Where.
        target: Target,
        /// Why.
        error: std::io::Error,
    },
    /// A connection that broke, or an answer that is none.
    #[error("the connection to {target} broke: {error}")]
    Broken {
        /// Whose.
        target: Target,
        /// How.
        error: hyper::Error,
    },
    /// Silence.
    #[error("{0} does not answer")]
    Silent(Target),
    /// The load balancer says no, and why.
    #[error("{}", refusal(.0))]
    Problem(Box<Problem>),
    /// Somebody else.
    #[error(
        "{target} answered {status}, but not as a load balancer does on its listener for \
         operators. Is --admin right? It is the address of --listen-admin, not the one for clients"
    )]
    NotOurs {
        /// Who.
        target: Target,
        /// HTTP status.
        status: StatusCode,
    },
    /// An answer that cannot be read.
    #[error("the answer of {0} cannot be read: {1}; is pe older than the load balancer?")]
    Answer(Target, serde_json::Error),
}

impl Operator {
    /// One that shows a token, if there is one. `None` if it cannot be sent.
    pub fn new(target: Target, token: Option<&str>) -> Option<Self> {
        let authorization = match token {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Some(Self { target, authorization })
    }

    /// Where it asks.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Looks at something, or changes it if there is a change; the answer as JSON.
    ///
    /// # Errors
    /// There is no answer, or it is a problem.
    pub async fn ask(&self, path: &str, change: Option<Vec<u8>>) -> Result<Vec<u8>, AdminError> {
        let asked = timeout(ADMIN_WAIT_MAX, self.exchange(path, change));
        let reply = asked.await.map_err(|_| AdminError::Silent(self.target.clone()))??;
        if reply.status == StatusCode::OK && reply.content_type == "application/json" {
            return Ok(reply.body);
        }
        let is_problem = reply.content_type == PROBLEM;
        let problem = is_problem.then(|| serde_json::from_slice(&reply.body).ok()).flatten();
        Err(match problem {
            Some(problem) => AdminError::Problem(problem),
            None => AdminError::NotOurs { target: self.target.clone(), status: reply.status },
        })
    }

    async fn exchange(&self, path: &str, change: Option<Vec<u8>>) -> Result<Reply, AdminError> {
        let refused = |error| AdminError::Connect { target: self.target.clone(), error };
        let late = |_| refused(std::io::ErrorKind::TimedOut.into());
        match &self.target {
            Target::Tcp(server) => {
                let stream = timeout(CONNECT_WAIT_MAX, TcpStream::connect(&server.address));
                let stream = stream.await.map_err(late)?.map_err(refused)?;
                self.over(stream, &server.authority, path, change).await
            }
            Target::Unix(at) => {
                let stream = timeout(CONNECT_WAIT_MAX, UnixStream::connect(at));
                let stream = stream.await.map_err(late)?.map_err(refused)?;
                self.over(stream, "localhost", path, change).await
            }
        }
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        authority: &str,
        path: &str,
        change: Option<Vec<u8>>,
    ) -> Result<Reply, AdminError> {
        let broken = |error| AdminError::Broken { target: self.target.clone(), error };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut driver = JoinSet::new();
        // Its error is also the request's, where it is reported.
        driver.spawn(async move { drop(connection.await) });
        let is_change = change.is_some();
        let mut request = Request::new(Full::new(Bytes::from(change.unwrap_or_default())));
        // Paths are ours.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(authority) {
            headers.insert(HOST, host);
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if is_change {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.method_mut() = Method::POST;
        }
        let response = sender.send_request(request).await.map_err(broken)?;
        Reply::read(response, ADMIN_BYTES_MAX).await.map_err(broken)
    }
}

/// What to do about a connection that cannot be had.
fn next(target: &Target, error: &std::io::Error) -> String {
    match (target, error.kind()) {
        (Target::Unix(_), std::io::ErrorKind::PermissionDenied) => {
            "the socket belongs to its group: be a member of it, or use sudo".to_owned()
        }
        (Target::Tcp(_) | Target::Unix(_), _) => {
            "is pe-lb running, and is this its --listen-admin? Name another with --admin URL, \
             --admin unix:PATH, or the environment variable PE_ADMIN"
                .to_owned()
        }
    }
}

fn refusal(problem: &Problem) -> String {
    let mut text = printable(&problem.detail);
    if let Some(pointer) = problem.pointer.as_deref().filter(|pointer| !pointer.is_empty()) {
        text.push_str(&format!(" (field {})", printable(pointer)));
    }
    if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
        text.push_str(
            "\npe: give it with --token-file FILE, or the environment variable \
             PE_ADMIN_TOKEN_FILE",
        );
    }
    text
}
