//! A worker that does what it is told: it has no VMs, only a connection.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response, StatusCode};
use pe_proto::archive::{Encoder, Kind, STDERR, STDOUT};
use pe_proto::codec::{self, Message};
use pe_proto::link::{
    DoneHead, Fetches, Fetching, Hello, LeaseHead, LeaseId, Ready, SessionId, State, Wanted, Wants,
    Welcome, paths,
};
use pe_proto::outcome::{RanOn, WorkerPhases};
use pe_proto::{Arch, Digest, Outcome, ResultMeta};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::Answer;

pub(crate) const SLOTS: u32 = 16;

pub(crate) struct ScriptedWorker {
    pub(crate) session: SessionId,
    name: String,
    send: SendRequest<Bytes>,
    connection: JoinSet<Result<(), h2::Error>>,
    token: Option<String>,
    pub(crate) deployment: String,
    pub(crate) labels: Vec<String>,
}

/// A ready request.
pub(crate) struct Parked(ResponseFuture);

/// A job.
pub(crate) struct Lease {
    pub(crate) head: LeaseHead,
    pub(crate) archive: Vec<u8>,
    stream: RecvStream,
}

impl ScriptedWorker {
    /// Connects and says nothing.
    pub(crate) async fn silent(address: SocketAddr, name: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream, name).await
    }

    /// Speaks over a stream, and says nothing yet.
    pub(crate) async fn over<S>(stream: S, name: &str) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let builder = h2::client::Builder::new()
            .initial_window_size(1024 * 1024)
            .initial_connection_window_size(16 * 1024 * 1024)
            .handshake::<_, Bytes>(stream);
        let (send, driver) = builder.await.expect("HTTP/2");
        let mut connection = JoinSet::new();
        connection.spawn(driver);
        let session = SessionId([0; 16]);
        let (deployment, labels) = (String::new(), Vec::new());
        Self { session, name: name.to_owned(), send, connection, token: None, deployment, labels }
    }

    /// Connects and says hello.
    pub(crate) async fn connect(address: SocketAddr, name: &str, images: &[Digest]) -> Self {
        let mut worker = Self::silent(address, name).await;
        assert_eq!(worker.hello(images).await, StatusCode::OK);
        worker
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) async fn hello(&mut self, images: &[Digest]) -> StatusCode {
        let hello = Hello {
            worker: self.name.clone(),
            arch: Arch::X86_64,
            cpu: "scripted".to_owned(),
            vmm: "none".to_owned(),
            kernel: "0".to_owned(),
            slots: SLOTS,
            labels: self.labels.clone(),
            images: images.to_vec(),
            deployment: self.deployment.clone(),
        };
        let (status, body) = self.post(paths::HELLO, encode(&hello)).await;
        if status == StatusCode::OK {
            let welcome: Welcome = codec::decode(&body).expect("a welcome");
            self.session = welcome.session;
        }
        status
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        let response = self.send(path, body).await.await.expect("an answer");
        let status = response.status();
        (status, read(response.into_body()).await.expect("a body"))
    }

    async fn send(&self, path: &str, body: Vec<u8>) -> ResponseFuture {
        let mut request = Request::post(format!("http://lb{path}")).body(()).expect("a request");
        self.show_token(&mut request);
        let mut send = self.send.clone().ready().await.expect("a connection");
        let (response, mut stream) = send.send_request(request, false).expect("a stream");
        stream.send_data(body.into(), true).expect("an open stream");
        response
    }

    /// Parks a slot.
    pub(crate) async fn park(&self) -> Parked {
        let ready = Ready { session: self.session, slot: 0 };
        Parked(self.send(paths::READY, encode(&ready)).await)
    }

    /// Parks a slot and leaves the request open, to be ended as a sign of life.
    pub(crate) async fn park_open(&self) -> (Parked, h2::SendStream<Bytes>) {
        let request = Request::post(format!("http://lb{}", paths::READY));
        let mut request = request.body(()).expect("a request");
        self.show_token(&mut request);
        let mut send = self.send.clone().ready().await.expect("a connection");
        let (response, mut stream) = send.send_request(request, false).expect("a stream");
        let ready = Ready { session: self.session, slot: 0 };
        stream.send_data(encode(&ready).into(), false).expect("an open stream");
        (Parked(response), stream)
    }

    fn show_token(&self, request: &mut Request<()>) {
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse().expect("a value");
            request.headers_mut().insert("authorization", value);
        }
    }

    pub(crate) async fn state(&self, draining: bool, images: &[Digest]) -> StatusCode {
        let images = images.to_vec();
        let state = State { session: self.session, draining, images };
        self.post(paths::STATE, encode(&state)).await.0
    }

    pub(crate) async fn fetches(&self, able: &[Digest], under_way: &[Fetching]) -> StatusCode {
        let (able, under_way) = (able.to_vec(), under_way.to_vec());
        let fetches = Fetches { session: self.session, able, under_way };
        self.post(paths::FETCHES, encode(&fetches)).await.0
    }

    /// What is wanted, if that is something else.
    pub(crate) async fn wants(&self, catalogue: Digest, known: &[Digest]) -> Option<Wanted> {
        let wants = Wants { session: self.session, catalogue, known: known.to_vec() };
        match self.post(paths::WANTS, encode(&wants)).await {
            (StatusCode::NO_CONTENT, _) => None,
            (status, body) => {
                assert_eq!(status, StatusCode::OK);
                Some(codec::decode(&body).expect("what is wanted"))
            }
        }
    }

    pub(crate) async fn wants_status(&self, catalogue: Digest) -> StatusCode {
        let wants = Wants { session: self.session, catalogue, known: Vec::new() };
        self.post(paths::WANTS, encode(&wants)).await.0
    }

    /// Asks for something, and reads all of the answer.
    pub(crate) async fn get(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let (parts, body) = self.ask(method, path, headers).await.into_parts();
        let body = read(body).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Asks for something, and reads nothing of it yet.
    pub(crate) async fn begin_get(&self, path: &str) -> Response<RecvStream> {
        self.ask("GET", path, &[]).await
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response<RecvStream> {
        let request = Request::builder().method(method).uri(format!("http://lb{path}"));
        let mut request = request.body(()).expect("a request");
        self.show_token(&mut request);
        for (name, value) in headers {
            let name = name.parse::<http::HeaderName>().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let mut send = self.send.clone().ready().await.expect("a connection");
        let (response, _) = send.send_request(request, true).expect("a stream");
        response.await.expect("an answer")
    }

    /// What a result for a lease begins with.
    pub(crate) fn done_head(
        &self,
        lease: LeaseId,
        outcome: Outcome,
        archive_bytes: usize,
    ) -> DoneHead {
        DoneHead {
            session: self.session,
            lease,
            meta: ResultMeta::without_run(outcome),
            phases: WorkerPhases { transfer_us: 7, ..WorkerPhases::default() },
            ran_on: RanOn {
                arch: Arch::X86_64,
                kernel: "6.1".to_owned(),
                cpu: "scripted".to_owned(),
                worker: "somebody else".to_owned(),
                vmm: "none".to_owned(),
            },
            archive_bytes: archive_bytes as u64,
        }
    }

    /// Sends a whole result.
    pub(crate) async fn done(
        &self,
        lease: LeaseId,
        outcome: Outcome,
        archive: &[u8],
    ) -> StatusCode {
        let head = self.done_head(lease, outcome, archive.len());
        self.send_done(lease, &head, archive).await
    }

    pub(crate) async fn send_done(
        &self,
        lease: LeaseId,
        head: &DoneHead,
        archive: &[u8],
    ) -> StatusCode {
        let body = [encode(head), archive.to_vec()].concat();
        self.post(&format!("{}{lease}", paths::DONE), body).await.0
    }

    /// Begins a result whose archive is sent later.
    pub(crate) async fn begin_done(
        &self,
        head: &DoneHead,
    ) -> (ResponseFuture, h2::SendStream<Bytes>) {
        let request = Request::post(format!("http://lb{}{}", paths::DONE, head.lease));
        let mut request = request.body(()).expect("a request");
        self.show_token(&mut request);
        let mut send = self.send.clone().ready().await.expect("a connection");
        let (response, mut stream) = send.send_request(request, false).expect("a stream");
        stream.send_data(encode(head).into(), false).expect("an open stream");
        (response, stream)
    }

    /// Parks a slot, takes one job and answers it with exit status 0.
    pub(crate) async fn serve_one(&self) {
        let lease = self.park().await.lease().await.expect("a job");
        let status = self.done(lease.head.lease, exited(0), &result(b"hello\n", &[])).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    /// The same, with a client that asks for it.
    pub(crate) async fn serve_one_for(&self, lb: &crate::lb::Lb) {
        let client = lb.client().await;
        let json = r#"{"image":"busybox"}"#;
        let sent = client.post(crate::client::JSON, "*/*", json).await;
        self.serve_one().await;
        assert_eq!(sent.answer().await.expect("an answer").status, StatusCode::OK);
    }

    /// Parks a slot, on a connection that may be ended for it; the status, if there is one.
    pub(crate) async fn try_park(&self) -> Option<StatusCode> {
        let ready = Ready { session: self.session, slot: 0 };
        let response = self.send(paths::READY, encode(&ready)).await.await.ok()?;
        Some(response.status())
    }

    /// The connection breaks, without a word.
    pub(crate) async fn kill(mut self) {
        self.connection.shutdown().await;
    }

    /// Waits for the end of the connection, as the other side decides.
    pub(crate) async fn ended(mut self) {
        drop(self.send);
        let _ = self.connection.join_next().await;
    }
}

impl Parked {
    /// The status of the answer, if it is no job.
    pub(crate) async fn status(self) -> StatusCode {
        self.0.await.expect("an answer").status()
    }

    /// Why the stream is reset, wherever it is by then.
    pub(crate) async fn reset_reason(self) -> Option<h2::Reason> {
        match self.0.await {
            Ok(response) => read(response.into_body()).await.err()?.reason(),
            Err(error) => error.reason(),
        }
    }

    /// The job, or nothing.
    pub(crate) async fn lease(self) -> Option<Lease> {
        let response = self.0.await.expect("an answer");
        if response.status() == StatusCode::NO_CONTENT {
            return None;
        }
        assert_eq!(response.status(), StatusCode::OK);
        let mut stream = response.into_body();
        let mut read: Vec<u8> = Vec::new();
        loop {
            if let Ok((head, rest)) = codec::decode_prefix::<LeaseHead>(&read) {
                if rest.len() as u64 >= head.archive_bytes {
                    return Some(Lease { archive: rest.to_vec(), head, stream });
                }
            }
            let piece = stream.data().await.expect("an open stream").expect("no reset");
            stream.flow_control().release_capacity(piece.len()).expect("a window");
            read.extend_from_slice(&piece);
        }
    }
}

impl Lease {
    /// Waits until the stream ends: well, or by a reset.
    pub(crate) async fn ended(mut self) -> Result<(), Option<h2::Reason>> {
        while let Some(piece) = self.stream.data().await {
            let piece = piece.map_err(|error| error.reason())?;
            assert!(piece.is_empty(), "bytes after the archive");
        }
        Ok(())
    }

    /// Gives the job up.
    pub(crate) fn reset(self) {}
}

fn encode<M: Message>(message: &M) -> Vec<u8> {
    codec::to_vec(message).expect("a message within its bound")
}

pub(crate) fn exited(code: u8) -> Outcome {
    Outcome::Exited { code }
}

/// A result's archive.
pub(crate) fn result(stdout: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (name, bytes) in files {
        encoder.push(Kind::File, &format!("output/{name}"), bytes).expect("a good name");
    }
    encoder.push(Kind::File, STDERR, b"").expect("a good name");
    encoder.push(Kind::File, STDOUT, stdout).expect("a good name");
    encoder.finish()
}

async fn read(mut stream: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
