//! An HTTP/2 client that does what it is told.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(crate) const JSON: &str = "application/json";
pub(crate) const BINARY: &str = "application/vnd.pe.v1";

pub(crate) struct Client {
    send: SendRequest<Bytes>,
    connection: JoinSet<Result<(), h2::Error>>,
}

/// A request that was sent, and the rest of its body if it has any.
pub(crate) struct Sent {
    pub(crate) response: ResponseFuture,
    pub(crate) body: SendStream<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with(address, h2::client::Builder::new().initial_window_size(16 * 1024 * 1024)).await
    }

    pub(crate) async fn with(address: SocketAddr, builder: &h2::client::Builder) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listener");
        let (send, driver) = builder.handshake(stream).await.expect("HTTP/2");
        let mut connection = JoinSet::new();
        connection.spawn(driver);
        Self { send, connection }
    }

    pub(crate) async fn begin(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        is_end: bool,
    ) -> Sent {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"))
            .body(())
            .expect("ok");
        for (name, value) in headers {
            let name = name.parse::<http::HeaderName>().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let mut send = self.send.clone().ready().await.expect("a connection");
        let (response, body) = send.send_request(request, is_end).expect("a stream");
        Sent { response, body }
    }

    /// Sends a job without waiting for its answer.
    pub(crate) async fn post(
        &self,
        content_type: &str,
        accept: &str,
        body: impl Into<Bytes>,
    ) -> Sent {
        let headers = [("content-type", content_type), ("accept", accept)];
        let mut sent = self.begin(Method::POST, "/api/v1/run", &headers, false).await;
        sent.body.send_data(body.into(), true).expect("an open stream");
        sent
    }

    pub(crate) async fn run_json(&self, json: &str) -> Answer {
        self.post(JSON, "*/*", json.to_owned()).await.answer().await.expect("an answer")
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let sent = self.begin(method, path, headers, true).await;
        sent.answer().await.expect("an answer")
    }

    /// Sends a request that has no body.
    pub(crate) async fn send(&self, request: Request<()>) -> Answer {
        let mut send = self.send.clone().ready().await.expect("a connection");
        let (response, body) = send.send_request(request, true).expect("a stream");
        Sent { response, body }.answer().await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    /// Waits for the end of the connection.
    pub(crate) async fn ended(mut self) -> Result<(), h2::Error> {
        drop(self.send);
        self.connection.join_next().await.expect("a connection").expect("no panic")
    }
}

impl Sent {
    pub(crate) async fn answer(self) -> Result<Answer, h2::Error> {
        let (parts, body) = self.response.await?.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: read(body).await? })
    }

    /// Resets the stream, as a client does that hangs up.
    pub(crate) fn hang_up(mut self) {
        self.body.send_reset(h2::Reason::CANCEL);
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Kind of the problem that it is.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem.get("status"), Some(&self.status.as_u16().into()));
        let uri = problem.get("type").and_then(Value::as_str).expect("text").to_owned();
        uri.strip_prefix("urn:pe:problem:").expect("a problem's uri").to_owned()
    }

    /// Head and archive of the binary form.
    pub(crate) fn binary(&self) -> (Value, &[u8]) {
        let (length, rest) = self.body.split_first_chunk::<4>().expect("a length");
        let (head, archive) = rest.split_at(u32::from_le_bytes(*length) as usize);
        (serde_json::from_slice(head).expect("JSON"), archive)
    }
}

/// Reads a stream to its end, giving the window back as it goes.
pub(crate) async fn read(mut stream: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// A job in the binary form.
pub(crate) fn binary_job(config: &str, archive: &[u8]) -> Vec<u8> {
    let length = u32::try_from(config.len()).expect("short");
    [&length.to_le_bytes(), config.as_bytes(), archive].concat()
}
