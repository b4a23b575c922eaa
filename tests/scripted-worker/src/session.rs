//! One connection to the load balancer: hello, then a ready request for each slot, over and over.
//! It ends with the connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderValue, Request, Response, StatusCode, header};
use pe_proto::codec::{self, Message};
use pe_proto::link::{
    CONTENT_TYPE, DoneHead, Hello, LeaseHead, LeaseId, Ready, SessionId, Welcome, paths,
};
use pe_proto::outcome::{RanOn, WorkerPhases};
use pe_proto::{Outcome, ResultMeta};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::script::{End, Script};
use crate::worker::Terms;

/// Windows that are never the bottleneck: a megabyte a stream, all streams together much more.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 28;

/// Time for a connection and its hello.
const DIAL: Duration = Duration::from_secs(10);

/// Between two ready requests if the first was answered early without a job.
const AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
struct Session {
    terms: Arc<Terms>,
    send: SendRequest<Bytes>,
    id: SessionId,
}

/// Dials, calls `up` after the welcome, and serves until the connection has ended.
pub(crate) async fn run(terms: &Arc<Terms>, up: impl FnOnce()) -> anyhow::Result<()> {
    let stream = timeout(DIAL, TcpStream::connect(&terms.lb)).await??;
    stream.set_nodelay(true)?;
    let handshake = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake::<_, Bytes>(stream);
    let (send, connection) = timeout(DIAL, handshake).await??;
    let mut link = JoinSet::new();
    link.spawn(connection);
    let mut session = Session { terms: Arc::clone(terms), send, id: SessionId([0; 16]) };
    let (status, body) = timeout(DIAL, session.post(paths::HELLO, &hello(terms), &[])).await??;
    ensure!(status == StatusCode::OK, "hello was answered with {status}");
    session.id = codec::decode::<Welcome>(&body)?.session;
    up();
    let mut slots = JoinSet::new();
    for number in 0..terms.slots {
        slots.spawn(session.clone().offer(number));
    }
    // Without a request and without a handle, the connection ends by itself.
    drop(session);
    while let Some(ended) = slots.join_next().await {
        if let Ok(Err(error)) = ended {
            terms.journal.tell("slot-ended", &terms.name, format!("{error:#}"));
        }
    }
    match link.join_next().await {
        Some(ended) => ended?.context("connection"),
        None => Ok(()),
    }
}

fn hello(terms: &Terms) -> Hello {
    let text = || "scripted".to_owned();
    Hello {
        worker: terms.name.clone(),
        arch: terms.arch,
        cpu: text(),
        vmm: text(),
        kernel: text(),
        slots: terms.slots,
        labels: Vec::new(),
        images: terms.images.clone(),
        deployment: String::new(),
    }
}

impl Session {
    /// Offers a slot until the connection ends.
    async fn offer(self, slot: u32) -> anyhow::Result<()> {
        let ready = message(&Ready { session: self.id, slot })?;
        loop {
            let asked = Instant::now();
            let response = self.open(paths::READY, ready.clone()).await?.await?;
            match response.status() {
                StatusCode::OK => self.run(response.into_body()).await?,
                StatusCode::NO_CONTENT if asked.elapsed() > AGAIN => {}
                StatusCode::NO_CONTENT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE => sleep(AGAIN).await,
                status => anyhow::bail!("ready was answered with {status}"),
            }
        }
    }

    /// Runs the job of a lease.
    async fn run(&self, mut stream: RecvStream) -> anyhow::Result<()> {
        let Terms { name, journal, .. } = &*self.terms;
        let head = match lease(&mut stream).await {
            Ok(head) => head,
            Err(lost) => {
                journal.tell("lease-lost", name, format!("{lost:#}"));
                return Ok(());
            }
        };
        let lease = head.lease;
        journal.tell("lease", name, format_args!("{lease} {}", head.request_id));
        let script = match &self.terms.lie {
            Some(lie) => Script::parse(&["echo".to_owned(), lie.clone()]),
            None => Script::parse(&head.spec.args),
        };
        let Script { work, end } = match script {
            Ok(script) => script,
            Err(bad) => Script::complaint(&bad)?,
        };
        let rest = async {
            sleep(work).await;
            if end == End::Never {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            // Nobody waits for it any more.
            () = ended(&mut stream) => {
                journal.tell("cancelled", name, lease);
                return Ok(());
            }
            () = rest => {}
        }
        let End::Answer(outcome, archive) = end else {
            journal.tell("given-up", name, lease);
            return Ok(());
        };
        let (status, _) = self.done(lease, outcome, &archive).await?;
        journal.tell("done", name, format_args!("{lease} {} {status}", head.request_id));
        Ok(())
    }

    async fn done(
        &self,
        lease: LeaseId,
        outcome: Outcome,
        archive: &Bytes,
    ) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let text = || "scripted".to_owned();
        let head = DoneHead {
            session: self.id,
            lease,
            meta: ResultMeta::without_run(outcome),
            phases: WorkerPhases::default(),
            ran_on: RanOn {
                arch: self.terms.arch,
                kernel: text(),
                cpu: text(),
                worker: self.terms.name.clone(),
                vmm: text(),
            },
            archive_bytes: archive.len() as u64,
        };
        self.post(&format!("{}{lease}", paths::DONE), &head, archive).await
    }

    async fn post<M: Message>(
        &self,
        path: &str,
        head: &M,
        rest: &[u8],
    ) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let body = [&message(head)?, rest].concat();
        let response: Response<RecvStream> = self.open(path, body.into()).await?.await?;
        let status = response.status();
        let mut stream = response.into_body();
        let mut read = Vec::new();
        while let Some(piece) = stream.data().await {
            read.extend_from_slice(&piece?);
        }
        Ok((status, read))
    }

    async fn open(&self, path: &str, body: Bytes) -> anyhow::Result<ResponseFuture> {
        let uri = format!("http://{}{path}", self.terms.lb);
        let mut request = Request::post(uri).body(())?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(token) = &self.terms.token {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
        }
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(request, false)?;
        stream.send_data(body, true)?;
        Ok(response)
    }
}

/// Reads a lease's head and the archive after it, which no script needs.
async fn lease(stream: &mut RecvStream) -> anyhow::Result<LeaseHead> {
    let mut read = Vec::new();
    loop {
        if let Ok((head, rest)) = codec::decode_prefix::<LeaseHead>(&read) {
            if rest.len() as u64 >= head.archive_bytes {
                return Ok(head);
            }
        }
        let piece = stream.data().await.context("the lease has no job")??;
        stream.flow_control().release_capacity(piece.len())?;
        read.extend_from_slice(&piece);
    }
}

/// Resolves when the lease's stream has ended, however.
async fn ended(stream: &mut RecvStream) {
    while let Some(Ok(_)) = stream.data().await {}
}

fn message<M: Message>(message: &M) -> anyhow::Result<Bytes> {
    Ok(codec::to_vec(message)?.into())
}
