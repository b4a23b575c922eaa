//! Requests to the server over HTTP/1.1, one connection each.
//!
//! Owns its connection: when a request's future is dropped, so is the connection, and the server
//! cancels the job. Never retries: jobs may be long, and whether to run one again is the
//! person's choice. Every wait is bounded by [`Patience`].

mod body;
mod follow;
mod reply;
mod tls;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pe_proto::api::{BINARY, PROBLEM, Problem, ProblemKind, RESULTS_PATH, RUN_PATH, RunConfig};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::either::Either;

use crate::answer::{AnswerReader, BadAnswer, Received};
use crate::limits;
use crate::progress::{LiveLine, Moment, Progress};
use crate::server::Server;
use crate::units::show_duration;
use crate::words::{self, Wait};

use body::Upload;
use follow::Followed;
pub use reply::Reply;

/// Name and version, as servers see them in their logs.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("pe/", env!("CARGO_PKG_VERSION")));

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error(
        "no server answers at {server} ({error})\npe: start one on this machine with `make demo`, \
         or name another with --server URL or the environment variable PE_SERVER"
    )]
    Connect {
        /// Where.
        server: Server,
        /// Why.
        error: std::io::Error,
    },
    /// The connection broke.
    #[error(
        "the connection to {server} broke {when}: {}\npe: the job, if any, is cancelled",
        with_source(.error)
    )]
    Broken {
        /// Whose.
        server: Server,
        /// In words.
        when: &'static str,
        /// How.
        error: hyper::Error,
    },
    /// Silence.
    #[error("{server} has not answered for {}; the job, if any, is cancelled", show_duration(*.waited))]
    Silent {
        /// Who.
        server: Server,
        /// How long.
        waited: Duration,
    },
    /// The server says no, and why.
    #[error("{}", words::problem(.problem, .wait))]
    Problem {
        /// What it says.
        problem: Box<Problem>,
        /// What it says about waiting.
        wait: Box<Wait>,
    },
    /// An answer that no Program Explorer server gives.
    #[error(
        "{server} answered {status}, but not as a Program Explorer server does. Is --server \
         right?{said}"
    )]
    NotOurs {
        /// Who.
        server: Server,
        /// HTTP status.
        status: http::StatusCode,
        /// The beginning of what it said, if it is text; starts on a line of its own.
        said: String,
    },
    /// An answer that cannot be read.
    #[error("the answer of {server} cannot be read: {bad}. Nothing of it was kept")]
    Answer {
        /// Who.
        server: Server,
        /// What is wrong.
        bad: BadAnswer,
    },
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For anything at all to move.
    pub silence: Duration,
    /// For the whole of a small request.
    pub get: Duration,
}

impl Patience {
    /// As in [`limits`], for a job of this wall clock.
    pub fn for_wall(wall: Duration) -> Self {
        Self {
            connect: limits::CONNECT_WAIT_MAX,
            silence: limits::SILENCE_MAX.saturating_add(wall),
            get: limits::GET_WAIT_MAX,
        }
    }
}

/// Sends requests to one server.
#[derive(Debug, Clone)]
pub struct Client {
    server: Server,
    patience: Patience,
    key: Option<HeaderValue>,
    ca: Option<PathBuf>,
}

/// A connection and the task that moves its bytes. Dropping it closes the connection.
struct Connection {
    sender: http1::SendRequest<Upload>,
    _driver: JoinSet<()>,
}

impl Client {
    /// A client of a server.
    pub fn new(server: Server, patience: Patience) -> Self {
        Self { server, patience, key: None, ca: None }
    }

    /// Shows an API key with jobs.
    #[must_use]
    pub fn with_key(self, key: Option<HeaderValue>) -> Self {
        Self { key, ..self }
    }

    /// One that trusts these authorities in place of the system's.
    #[must_use]
    pub fn trusting(mut self, ca: Option<PathBuf>) -> Self {
        self.ca = ca;
        self
    }

    /// `GET`, with a bounded answer of any status.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, path: &str, bytes_max: usize) -> Result<Reply, ClientError> {
        let waited = self.patience.get;
        timeout(waited, async {
            let mut connection = self.connect().await?;
            let request = self.request(Method::GET, path, Upload::empty());
            let sent = connection.sender.send_request(request).await;
            let response = sent.map_err(self.broken("before it answered"))?;
            Reply::read(response, bytes_max).await.map_err(self.broken("while it answered"))
        })
        .await
        .unwrap_or_else(|_| Err(ClientError::Silent { server: self.server.clone(), waited }))
    }

    /// The stored result of a job, if the server has it. It must not stop moving.
    ///
    /// # Errors
    /// No answer, another problem, or an answer that cannot be read.
    pub async fn result(&self, job: &str) -> Result<Option<Received>, ClientError> {
        let waited = self.patience.silence;
        let asked = timeout(waited, async {
            let mut connection = self.connect().await?;
            let path = format!("{RESULTS_PATH}{job}");
            let mut request = self.request(Method::GET, &path, Upload::empty());
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(BINARY));
            let sent = connection.sender.send_request(request).await;
            let response = sent.map_err(self.broken("before it answered"))?;
            let content_type = reply::content_type(response.headers());
            if response.status().is_success() && content_type == BINARY {
                return self.answer(response.into_body(), &Progress::default()).await.map(Some);
            }
            let read = Reply::read(response, limits::PROBLEM_BYTES_MAX).await;
            let refused = self.refusal(&read.map_err(self.broken("while it answered"))?);
            let is_unknown = matches!(&refused,
                ClientError::Problem { problem, .. } if problem.is(ProblemKind::UnknownResult));
            if is_unknown { Ok(None) } else { Err(refused) }
        });
        asked
            .await
            .unwrap_or_else(|_| Err(ClientError::Silent { server: self.server.clone(), waited }))
    }

    /// Runs a job in the binary form, drawing the progress line meanwhile. The head has the config.
    ///
    /// # Errors
    /// No answer, a problem, or an answer that cannot be read.
    pub async fn run(
        &self,
        config: &RunConfig,
        head: Vec<u8>,
        archive: Vec<u8>,
        line: &mut LiveLine,
    ) -> Result<Received, ClientError> {
        let progress = Arc::new(Progress::default());
        let archive = Bytes::from(archive);
        let followed = line.is_live().then(|| Followed { config, archive: archive.clone() });
        let told = Cell::new(None);
        let following = self.follow(followed, &progress, &told);
        let exchange = self.exchange(head, archive, &progress);
        tokio::pin!(exchange, following);
        let start = Instant::now();
        let now = || Moment { told: told.get(), ..progress.now() };
        let mut moved = (now(), start);
        let mut ticks = tokio::time::interval(limits::TICK.min(self.patience.silence));
        loop {
            tokio::select! {
                biased;
                // The answer first: no tick may make an answer that is there come too late.
                answer = &mut exchange => return answer,
                tick = ticks.tick() => {
                    let moment = now();
                    if moment != moved.0 {
                        moved = (moment, tick);
                    }
                    let waited = tick.duration_since(moved.1);
                    if waited > self.patience.silence {
                        return Err(ClientError::Silent { server: self.server.clone(), waited });
                    }
                    line.draw(&moment.line(tick.duration_since(start)));
                }
                // Never ends: it tells the next tick what to draw.
                () = &mut following => {}
            }
        }
    }

    async fn exchange(
        &self,
        head: Vec<u8>,
        archive: Bytes,
        progress: &Arc<Progress>,
    ) -> Result<Received, ClientError> {
        let upload = Upload::new([head.into(), archive], Arc::clone(progress));
        let mut connection = self.connect().await?;
        progress.connected(upload.len());
        let request = self.request(Method::POST, RUN_PATH, upload);
        let sent = connection.sender.send_request(request).await;
        let response = sent.map_err(|error| {
            let moment = progress.now();
            let uploading = moment.sent < moment.to_send;
            let when = if uploading { "during the upload" } else { "before it answered" };
            self.broken(when)(error)
        })?;
        let content_type = reply::content_type(response.headers());
        if response.status().is_success() && content_type == BINARY {
            return self.answer(response.into_body(), progress).await;
        }
        let read = Reply::read(response, limits::PROBLEM_BYTES_MAX).await;
        Err(self.refusal(&read.map_err(self.broken("while it answered"))?))
    }

    async fn answer(&self, body: Incoming, progress: &Progress) -> Result<Received, ClientError> {
        let bad = |bad| ClientError::Answer { server: self.server.clone(), bad };
        let mut body = body;
        let mut reader = AnswerReader::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(self.broken("while it answered"))?;
            if let Ok(piece) = frame.into_data() {
                progress.received(piece.len() as u64);
                reader.push(&piece).map_err(bad)?;
            }
        }
        reader.finish().map_err(bad)
    }

    /// What an answer that is not the one asked for means.
    pub fn refusal(&self, reply: &Reply) -> ClientError {
        let problem = (reply.content_type == PROBLEM)
            .then(|| serde_json::from_slice::<Problem>(&reply.body).ok())
            .flatten();
        match problem {
            Some(problem) => ClientError::Problem {
                problem: Box::new(problem),
                wait: Box::new(reply.wait.clone()),
            },
            None => ClientError::NotOurs {
                server: self.server.clone(),
                status: reply.status,
                said: reply
                    .first_line()
                    .map(|line| format!("\npe: it said: {line}"))
                    .unwrap_or_default(),
            },
        }
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let refused = |error| ClientError::Connect { server: self.server.clone(), error };
        let stream = timeout(self.patience.connect, TcpStream::connect(&self.server.address))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let stream = if self.server.is_tls {
            let shaking = tls::shake(self.server.host(), self.ca.as_deref(), stream);
            let shaken = timeout(self.patience.connect, shaking).await;
            let shaken = shaken.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
            Either::Right(shaken.map_err(refused)?)
        } else {
            Either::Left(stream)
        };
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(self.broken("at its start"))?;
        let mut driver = JoinSet::new();
        // Its error is also the request's, where it is reported.
        driver.spawn(async move { drop(connection.await) });
        Ok(Connection { sender, _driver: driver })
    }

    fn request(&self, method: Method, path: &str, body: Upload) -> Request<Upload> {
        let is_upload = method == Method::POST;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        let target = format!("{}{path}", self.server.base_path);
        // A path that does not parse cannot be: the base came out of a URL, the rest is ours.
        *request.uri_mut() = target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.server.authority) {
            headers.insert(HOST, host);
        }
        headers.insert(USER_AGENT, AGENT);
        if is_upload {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(BINARY));
            headers.insert(ACCEPT, HeaderValue::from_static(BINARY));
            if let Some(key) = &self.key {
                headers.insert(AUTHORIZATION, key.clone());
            }
        }
        request
    }

    fn broken(&self, when: &'static str) -> impl Fn(hyper::Error) -> ClientError + '_ {
        move |error| ClientError::Broken { server: self.server.clone(), when, error }
    }
}

/// hyper says what it did when something failed; what failed is the error behind it.
fn with_source(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
