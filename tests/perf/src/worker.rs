//! Workers that have no VMs and answer every lease at once with the same result: what is left is
//! what the load balancer itself costs.
//!
//! They speak the real worker link (`protocol.md 6`): hello, one ready request for each slot, and
//! for each lease a done request with head and archive. Every connection says hello of its own.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use pe_proto::archive::{Encoder, Kind, STDERR, STDOUT};
use pe_proto::codec::{self, Message};
use pe_proto::link::{DoneHead, Hello, LeaseHead, Ready, SessionId, Welcome, paths};
use pe_proto::outcome::{RanOn, WorkerPhases};
use pe_proto::{Arch, Digest, Outcome, ResultMeta};
use tokio::io::BufWriter;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Settings {
    /// The load balancer's listener for workers
    address: SocketAddr,
    /// The image they offer
    digest: Digest,
    /// Slots of each connection
    #[arg(long, default_value_t = 64)]
    slots: u32,
    /// Connections
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Bytes of standard output in each result
    #[arg(long, default_value_t = 4096)]
    result_bytes: usize,
}

/// What each lease is answered with.
#[derive(Debug)]
struct Answer {
    meta: ResultMeta,
    ran_on: RanOn,
    archive: Bytes,
}

/// Serves until a connection is lost.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut archive = Encoder::new();
    archive.push(Kind::File, STDERR, b"")?;
    archive.push(Kind::File, STDOUT, "x".repeat(settings.result_bytes).as_bytes())?;
    let archive = Bytes::from(archive.finish());
    let mut tasks = JoinSet::new();
    for number in 0..settings.connections {
        let stream = TcpStream::connect(settings.address).await?;
        stream.set_nodelay(true)?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 28);
        // Frames of many slots go out together: the tool must not be what is measured.
        let stream = BufWriter::with_capacity(64 * 1024, stream);
        let (send, connection) = builder.handshake::<_, Bytes>(stream).await?;
        tasks.spawn(async move { connection.await.context("connection") });
        let session = introduce(&send, &settings, number).await?;
        for slot in 0..settings.slots {
            let answer = Answer {
                meta: ResultMeta::without_run(Outcome::Exited { code: 0 }),
                ran_on: ran_on(),
                archive: archive.clone(),
            };
            tasks.spawn(serve(send.clone(), session, slot, answer));
        }
    }
    // Whoever started us waits for this line.
    println!("parked");
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

fn ran_on() -> RanOn {
    let none = || "none".to_owned();
    RanOn { arch: Arch::X86_64, kernel: none(), cpu: none(), worker: none(), vmm: none() }
}

async fn introduce(
    send: &SendRequest<Bytes>,
    settings: &Settings,
    number: u32,
) -> anyhow::Result<SessionId> {
    let RanOn { arch, kernel, cpu, vmm, .. } = ran_on();
    let hello = Hello {
        worker: format!("instant-{number}"),
        arch,
        cpu,
        vmm,
        kernel,
        slots: settings.slots,
        labels: Vec::new(),
        images: vec![settings.digest],
        deployment: String::new(),
    };
    let (status, body) = post(send, paths::HELLO, vec![message(&hello)?]).await?;
    anyhow::ensure!(status == StatusCode::OK, "hello: {status}");
    let welcome: Welcome = codec::decode(&body)?;
    Ok(welcome.session)
}

async fn serve(
    send: SendRequest<Bytes>,
    session: SessionId,
    slot: u32,
    answer: Answer,
) -> anyhow::Result<()> {
    let ready = message(&Ready { session, slot })?;
    let Answer { meta, ran_on, archive } = answer;
    let archive_bytes = archive.len() as u64;
    let phases = WorkerPhases::default();
    let mut done = DoneHead {
        session,
        lease: pe_proto::link::LeaseId(0),
        meta,
        phases,
        ran_on,
        archive_bytes,
    };
    loop {
        match answer_one(&send, &ready, &mut done, &archive).await {
            Ok(()) => {}
            // The client left: the lease is cancelled, or its result not wanted.
            Err(error) if is_reset(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Parks a slot, and answers the lease if it gets one.
async fn answer_one(
    send: &SendRequest<Bytes>,
    ready: &Bytes,
    done: &mut DoneHead,
    archive: &Bytes,
) -> anyhow::Result<()> {
    let response = open(send, paths::READY, vec![ready.clone()]).await?;
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(());
    }
    anyhow::ensure!(response.status() == StatusCode::OK, "ready: {}", response.status());
    let mut stream = response.into_body();
    let mut read = Vec::new();
    done.lease = loop {
        let piece = stream.data().await.context("lease cut off")??;
        stream.flow_control().release_capacity(piece.len())?;
        read.extend_from_slice(&piece);
        if let Ok((head, rest)) = codec::decode_prefix::<LeaseHead>(&read) {
            if rest.len() as u64 == head.archive_bytes {
                break head.lease;
            }
        }
    };
    let path = format!("{}{}", paths::DONE, done.lease);
    // A job whose client left meanwhile is answered with 409, which is nothing to us.
    post(send, &path, vec![message(done)?, archive.clone()]).await?;
    Ok(())
}

fn is_reset(error: &anyhow::Error) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_reset)
}

fn message<M: Message>(message: &M) -> anyhow::Result<Bytes> {
    Ok(codec::to_vec(message)?.into())
}

async fn open(
    send: &SendRequest<Bytes>,
    path: &str,
    body: Vec<Bytes>,
) -> anyhow::Result<http::Response<h2::RecvStream>> {
    let request = Request::post(format!("http://lb{path}")).body(())?;
    let mut send = send.clone().ready().await?;
    let (response, mut stream) = send.send_request(request, false)?;
    let last = body.len().saturating_sub(1);
    for (index, piece) in body.into_iter().enumerate() {
        stream.send_data(piece, index == last)?;
    }
    Ok(response.await?)
}

async fn post(
    send: &SendRequest<Bytes>,
    path: &str,
    body: Vec<Bytes>,
) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let response = open(send, path, body).await?;
    let status = response.status();
    let mut stream = response.into_body();
    let mut read = Vec::new();
    while let Some(piece) = stream.data().await {
        read.extend_from_slice(&piece?);
    }
    Ok((status, read))
}
