//! A client over HTTP/2: jobs and their answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// One connection.
#[derive(Debug)]
pub struct Client {
    send: SendRequest<Bytes>,
    /// Ends the connection when it is dropped.
    _connection: JoinSet<Result<(), h2::Error>>,
}

/// A request on its way. Dropping it resets its stream.
#[derive(Debug)]
pub struct Sent(ResponseFuture);

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// There is nobody.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        Self::over(TcpStream::connect(address).await?).await
    }

    /// Connects from an address of its own: to the load balancer it is somebody else than all who
    /// connect from 127.0.0.1.
    ///
    /// # Errors
    /// There is nobody.
    pub async fn connect_as_another(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0))?;
        Self::over(socket.connect(address).await?).await
    }

    async fn over(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        let handshake = h2::client::Builder::new()
            .initial_window_size(16 << 20)
            .initial_connection_window_size(256 << 20)
            .handshake(stream);
        let (send, connection) = handshake.await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Ok(Self { send, _connection: tasks })
    }

    /// Sends a job whose arguments are a script.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn post(&self, script: &str) -> anyhow::Result<Sent> {
        self.post_job(&job(script)).await
    }

    /// Sends a job.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn post_job(&self, job: &Value) -> anyhow::Result<Sent> {
        self.post_to("/api/v1/run", job).await
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn post_to(&self, path: &str, json: &Value) -> anyhow::Result<Sent> {
        let request = Request::post(format!("http://lb{path}"));
        let request = request.header("content-type", "application/json").body(())?;
        let mut send = self.send.clone().ready().await?;
        let (response, mut body) = send.send_request(request, false)?;
        body.send_data(json.to_string().into(), true)?;
        Ok(Sent(response))
    }

    /// Runs a script to its answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn run(&self, script: &str) -> anyhow::Result<Reply> {
        self.post(script).await?.reply().await
    }

    /// The body of a path.
    ///
    /// # Errors
    /// There is none.
    pub async fn get(&self, path: &str) -> anyhow::Result<Reply> {
        let request = Request::get(format!("http://lb{path}")).body(())?;
        let mut send = self.send.clone().ready().await?;
        let (response, _) = send.send_request(request, true)?;
        Sent(response).reply().await
    }
}

/// A job whose arguments are a script: words with a space between. It is run anew each time.
pub fn job(script: &str) -> Value {
    json!({"image": "busybox", "args": words(script), "cache": "off"})
}

/// The same, which may share the run of an equal job or its result.
pub fn shared_job(script: &str) -> Value {
    json!({"image": "busybox", "args": words(script)})
}

fn words(script: &str) -> Vec<&str> {
    script.split(' ').collect()
}

impl Sent {
    /// Waits for the answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn reply(self) -> anyhow::Result<Reply> {
        let (parts, body) = self.0.await?.into_parts();
        Ok(Reply { status: parts.status, headers: parts.headers, body: read(body).await? })
    }
}

impl Reply {
    /// What the job printed.
    ///
    /// # Errors
    /// It is not the answer of a job that ran.
    pub fn stdout(&self) -> anyhow::Result<String> {
        self.text("stdout")
    }

    /// A text of the answer.
    ///
    /// # Errors
    /// It is not the answer of a job that ran.
    pub fn text(&self, field: &str) -> anyhow::Result<String> {
        let told = || format!("{}: {}", self.status, String::from_utf8_lossy(&self.body));
        anyhow::ensure!(self.status == StatusCode::OK, told());
        let answer: Value = serde_json::from_slice(&self.body).with_context(told)?;
        let text = answer.get(field).and_then(Value::as_str);
        Ok(text.with_context(told)?.to_owned())
    }
}

async fn read(mut stream: RecvStream) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
