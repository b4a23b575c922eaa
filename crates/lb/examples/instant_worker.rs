//! A worker without VMs that answers every job at once with the same result: what the load
//! balancer itself costs is measured against it.
//!
//! `instant_worker ADDRESS DIGEST SLOTS RESULT_BYTES`

use anyhow::Context as _;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use pe_proto::archive::{Encoder, Kind, STDERR, STDOUT};
use pe_proto::codec::{self, Message};
use pe_proto::link::{DoneHead, Hello, LeaseHead, Ready, SessionId, Welcome, paths};
use pe_proto::outcome::{RanOn, WorkerPhases};
use pe_proto::{Arch, Outcome, ResultMeta};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, digest, slots, result_bytes] = args.as_slice() else {
        anyhow::bail!("usage: instant_worker ADDRESS DIGEST SLOTS RESULT_BYTES");
    };
    let slots: u32 = slots.parse()?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 28);
    let (send, connection) = builder.handshake::<_, Bytes>(stream).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { connection.await.context("connection") });

    let hello = Hello {
        worker: "instant".to_owned(),
        arch: Arch::X86_64,
        cpu: "none".to_owned(),
        vmm: "none".to_owned(),
        kernel: "none".to_owned(),
        slots,
        labels: Vec::new(),
        images: vec![digest.parse()?],
        deployment: String::new(),
    };
    let (status, body) = post(&send, paths::HELLO, message(&hello)?).await?;
    anyhow::ensure!(status == StatusCode::OK, "hello: {status}");
    let welcome: Welcome = codec::decode(&body)?;
    let mut archive = Encoder::new();
    archive.push(Kind::File, STDERR, b"")?;
    archive.push(Kind::File, STDOUT, "x".repeat(result_bytes.parse()?).as_bytes())?;
    let archive = Bytes::from(archive.finish());
    for slot in 0..slots {
        tasks.spawn(serve(send.clone(), welcome.session, slot, archive.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn serve(
    send: SendRequest<Bytes>,
    session: SessionId,
    slot: u32,
    archive: Bytes,
) -> anyhow::Result<()> {
    let ready = message(&Ready { session, slot })?;
    let text = || "none".to_owned();
    loop {
        let response = open(&send, paths::READY, ready.clone()).await?;
        if response.status() == StatusCode::NO_CONTENT {
            continue;
        }
        anyhow::ensure!(response.status() == StatusCode::OK, "ready: {}", response.status());
        let mut stream = response.into_body();
        let mut read = Vec::new();
        let lease = loop {
            let piece = stream.data().await.context("lease cut off")??;
            stream.flow_control().release_capacity(piece.len())?;
            read.extend_from_slice(&piece);
            if let Ok((head, rest)) = codec::decode_prefix::<LeaseHead>(&read) {
                if rest.len() as u64 == head.archive_bytes {
                    break head.lease;
                }
            }
        };
        let done = DoneHead {
            session,
            lease,
            meta: ResultMeta::without_run(Outcome::Exited { code: 0 }),
            phases: WorkerPhases::default(),
            ran_on: RanOn {
                arch: Arch::X86_64,
                kernel: text(),
                cpu: text(),
                worker: text(),
                vmm: text(),
            },
            archive_bytes: archive.len() as u64,
        };
        let body = [message(&done)?, archive.clone()].concat();
        post(&send, &format!("{}{lease}", paths::DONE), body.into()).await?;
    }
}

fn message<M: Message>(message: &M) -> anyhow::Result<Bytes> {
    Ok(codec::to_vec(message)?.into())
}

async fn open(
    send: &SendRequest<Bytes>,
    path: &str,
    body: Bytes,
) -> anyhow::Result<http::Response<h2::RecvStream>> {
    let request = Request::post(format!("http://lb{path}")).body(())?;
    let mut send = send.clone().ready().await?;
    let (response, mut stream) = send.send_request(request, false)?;
    stream.send_data(body, true)?;
    Ok(response.await?)
}

async fn post(
    send: &SendRequest<Bytes>,
    path: &str,
    body: Bytes,
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
