//! A scripted LB: accepts what the worker sends, answers what the test says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, SendStream};
use http::{Response, StatusCode};
use pe_proto::codec;
use pe_proto::link::{
    DoneHead, Fetches, Hello, LeaseHead, Ready, SessionId, State, Wanted, Wants, Welcome, paths,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub(super) struct Lb {
    listener: TcpListener,
    sessions: u8,
    pub(super) deployment: String,
}

/// A request with its body.
struct Heard {
    path: String,
    body: Vec<u8>,
    /// Of a ready request: open until the worker gives its sign of life.
    rest: h2::RecvStream,
    respond: SendResponse<Bytes>,
}

pub(super) struct Session {
    pub(super) hello: Hello,
    id: SessionId,
    heard: mpsc::UnboundedReceiver<Heard>,
    /// Heard, and not asked for yet.
    waiting: HashMap<&'static str, Vec<Heard>>,
    tokens: Arc<Mutex<Vec<String>>>,
    connection: AbortHandle,
}

impl Lb {
    pub(super) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        Self { listener, sessions: 0, deployment: "blue".to_owned() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("address")
    }

    /// Answers hellos with an error.
    pub(super) async fn refuse(&mut self, times: usize) {
        for _ in 0..times {
            let (stream, _) = self.listener.accept().await.expect("accept");
            let (mut heard, connection, _) = serve(stream).await;
            let hello = heard.recv().await.expect("hello");
            reply(hello.respond, StatusCode::UNAUTHORIZED, Vec::new());
            // Read by the other end before the connection is cut.
            while heard.recv().await.is_some() {}
            connection.abort();
        }
    }

    /// The next session, welcomed.
    pub(super) async fn session(&mut self) -> Session {
        let (stream, _) = self.listener.accept().await.expect("accept");
        let (mut heard, connection, tokens) = serve(stream).await;
        let first = heard.recv().await.expect("hello");
        assert_eq!(first.path, paths::HELLO);
        let hello = codec::decode(&first.body).expect("hello");
        self.sessions += 1;
        let id = SessionId([self.sessions; 16]);
        let deployment = self.deployment.clone();
        let welcome = Welcome { session: id, poll_ms: 30_000, deployment };
        reply(first.respond, StatusCode::OK, codec::to_vec(&welcome).expect("fits"));
        Session { hello, id, heard, waiting: HashMap::new(), tokens, connection }
    }
}

async fn serve(
    stream: TcpStream,
) -> (mpsc::UnboundedReceiver<Heard>, AbortHandle, Arc<Mutex<Vec<String>>>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tokens);
    let mut connection: Connection<TcpStream, Bytes> =
        h2::server::handshake(stream).await.expect("handshake");
    let task = tokio::task::spawn_local(async move {
        while let Some(Ok((request, respond))) = connection.accept().await {
            let token = request.headers().get("authorization").expect("token");
            seen.lock().expect("lock").push(token.to_str().expect("text").to_owned());
            let tell = tell.clone();
            tokio::task::spawn_local(async move {
                let path = request.uri().path().to_owned();
                let is_whole =
                    |body: &[u8]| path == paths::READY && codec::decode::<Ready>(body).is_ok();
                let mut rest = request.into_body();
                if let Some(body) = read(&mut rest, is_whole).await {
                    let _ = tell.send(Heard { path, body, rest, respond });
                }
            });
        }
    });
    (heard, task.abort_handle(), tokens)
}

/// Reads to the end, or until what came is whole.
async fn read(body: &mut h2::RecvStream, is_whole: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while !is_whole(&bytes) {
        let Some(data) = body.data().await else { break };
        let data = data.ok()?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).ok()?;
    }
    Some(bytes)
}

fn reply(mut respond: SendResponse<Bytes>, status: StatusCode, body: Vec<u8>) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    let mut stream = respond.send_response(response, body.is_empty()).expect("respond");
    if !body.is_empty() {
        stream.send_data(Bytes::from(body), true).expect("send");
    }
}

impl Session {
    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    /// Tokens of all requests so far.
    pub(super) fn tokens(&self) -> Vec<String> {
        self.tokens.lock().expect("lock").clone()
    }

    /// Drops the connection without a word.
    pub(super) fn cut(self) {
        self.connection.abort();
    }

    pub(super) async fn ready(&mut self) -> Parked {
        let Heard { body, rest, respond, .. } = self.next(paths::READY).await;
        let ready: Ready = codec::decode(&body).expect("ready");
        assert_eq!(ready.session, self.id);
        assert!(!rest.is_end_stream(), "the end is the sign that a lease arrived");
        Parked { slot: ready.slot, rest, respond }
    }

    pub(super) async fn done(&mut self) -> Done {
        let Heard { path, body, respond, .. } = self.next(paths::DONE).await;
        let (head, archive): (DoneHead, _) = codec::decode_prefix(&body).expect("done");
        assert_eq!(head.session, self.id);
        Done { path, head, archive: archive.to_vec(), respond }
    }

    pub(super) async fn state(&mut self) -> State {
        let Heard { body, respond, .. } = self.next(paths::STATE).await;
        reply(respond, StatusCode::NO_CONTENT, Vec::new());
        codec::decode(&body).expect("state")
    }

    /// What the worker says that it could fetch.
    pub(super) async fn fetches(&mut self) -> Fetches {
        let Heard { body, respond, .. } = self.next(paths::FETCHES).await;
        reply(respond, StatusCode::NO_CONTENT, Vec::new());
        codec::decode(&body).expect("fetches")
    }

    /// What it asks, and what it is told.
    pub(super) async fn wants(&mut self, wanted: Option<&Wanted>) -> Wants {
        let Heard { body, respond, .. } = self.next(paths::WANTS).await;
        match wanted {
            Some(wanted) => reply(respond, StatusCode::OK, codec::to_vec(wanted).expect("fits")),
            None => reply(respond, StatusCode::NO_CONTENT, Vec::new()),
        }
        codec::decode(&body).expect("wants")
    }

    /// The next request of a kind; others wait until they are asked for.
    async fn next(&mut self, kind: &'static str) -> Heard {
        loop {
            if let Some(waiting) = self.waiting.get_mut(kind).filter(|list| !list.is_empty()) {
                return waiting.remove(0);
            }
            let heard = self.heard.recv().await.expect("connection lives");
            let kinds = [paths::READY, paths::DONE, paths::STATE, paths::FETCHES, paths::WANTS];
            let kind = kinds.into_iter().find(|kind| heard.path.starts_with(kind));
            self.waiting.entry(kind.expect("known path")).or_default().push(heard);
        }
    }
}

/// A ready request without an answer.
pub(super) struct Parked {
    pub(super) slot: u32,
    rest: h2::RecvStream,
    respond: SendResponse<Bytes>,
}

impl Parked {
    pub(super) fn nothing(self) {
        reply(self.respond, StatusCode::NO_CONTENT, Vec::new());
    }

    pub(super) fn lease(mut self, head: &LeaseHead, archive: &[u8]) -> Lease {
        let mut stream = self.respond.send_response(Response::new(()), false).expect("respond");
        let mut bytes = codec::to_vec(head).expect("fits");
        bytes.extend_from_slice(archive);
        stream.send_data(Bytes::from(bytes), false).expect("send");
        Lease { stream, rest: self.rest }
    }

    /// Waits until the worker withdraws it.
    pub(super) async fn until_reset(mut self) {
        let reason = std::future::poll_fn(|context| self.respond.poll_reset(context)).await;
        assert_eq!(reason.expect("reset"), Reason::CANCEL);
    }
}

/// A lease that is open.
pub(super) struct Lease {
    stream: SendStream<Bytes>,
    rest: h2::RecvStream,
}

impl Lease {
    /// Waits for the sign that it arrived.
    pub(super) async fn signed(&mut self) {
        while let Some(data) = self.rest.data().await {
            assert!(data.expect("an open stream").is_empty(), "an end, and nothing else");
        }
    }

    pub(super) fn end(mut self) {
        self.stream.send_data(Bytes::new(), true).expect("end");
    }

    pub(super) fn reset(mut self) {
        self.stream.send_reset(Reason::CANCEL);
    }
}

pub(super) struct Done {
    pub(super) path: String,
    pub(super) head: DoneHead,
    pub(super) archive: Vec<u8>,
    respond: SendResponse<Bytes>,
}

impl Done {
    pub(super) fn accept(self) {
        reply(self.respond, StatusCode::NO_CONTENT, Vec::new());
    }
}
