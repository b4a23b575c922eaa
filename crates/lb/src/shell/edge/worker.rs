//! A worker's connection: HTTP/2 with prior knowledge, or over TLS.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::gate::How;
use super::listener::Stream;
use super::metered::{Prefixed, Transport};
use super::proxy_header;
use super::tasks::Tracked;
use crate::core::client::Peer;
use crate::limits::{
    HEADER_BYTES_MAX, HELLO_TIME, PING_INTERVAL, PING_TIME, SEND_BUFFER_BYTES,
    WORKER_CONNECTION_WINDOW_BYTES, WORKER_RESETS_MAX, WORKER_STREAM_WINDOW_BYTES,
    WORKER_STREAMS_MAX,
};
use crate::shell::app::App;
use crate::shell::link::{Link, Sentence};
use crate::shell::outbox::gathered;
use crate::shell::outgoing::Outgoing;

/// Serves a worker until its connection ends.
pub async fn serve(
    app: Arc<App>,
    mut stream: Stream,
    peer: Peer,
    how: How,
    stop: CancellationToken,
    tasks: Arc<TaskTracker>,
) {
    let _counted = app.metrics.worker_connection();
    let mut first = Bytes::new();
    if how.is_proxied && app.edge.proxies.is_trusted(peer) {
        match proxy_header::read(&mut stream).await {
            Ok((_, rest)) => first = rest,
            Err(error) => return debug!(%error, "no PROXY header"),
        }
    }
    let stream = Prefixed::new(first, stream);
    let (transport, names) = match &app.edge.workers_tls {
        Some(tls) if how.is_tls => {
            let shaken = tokio::select! {
                biased;
                // The drain: it would only be told to go.
                () = stop.cancelled() => return,
                shaken = tls.accept(stream) => shaken,
            };
            match shaken {
                Ok(shaken) => {
                    app.metrics.edge.handshake(&shaken);
                    (Transport::Right(Box::new(shaken.stream)), shaken.names)
                }
                Err(error) => {
                    app.metrics.edge.handshake_failed();
                    return debug!(%error, "handshake failed");
                }
            }
        }
        _ => (Transport::Left(stream), None),
    };
    let link = Arc::new(Link::new(Arc::clone(&app), names));
    let service = service_fn(|request: Request<Incoming>| {
        let link = Arc::clone(&link);
        // On the heap: it is large, and would be copied with the request's task several times.
        Box::pin(async move { Ok::<Response<Outgoing>, Infallible>(link.answer(request).await) })
    });
    let builder = builder(tasks);
    let (stream, outbox) = gathered(transport);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = outbox.of(connection);
    let mut hello_due = pin!(sleep(HELLO_TIME));
    let mut is_looked_at = false;
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            // The connection itself: requests, answers, its end.
            ended = &mut connection => {
                if let Err(error) = ended {
                    debug!(%error, "worker connection ended");
                }
                break;
            }
            // Its token is wrong, or holds no more.
            sentence = link.condemned(), if !is_ending => match sentence {
                Sentence::AtOnce => break,
                Sentence::AfterAnswer => {
                    is_ending = true;
                    connection.connection().graceful_shutdown();
                }
            },
            // A place at this listener is for workers, not for whoever connects.
            () = hello_due.as_mut(), if !is_looked_at => {
                is_looked_at = true;
                if !link.is_introduced() {
                    debug!("no hello");
                    break;
                }
            }
            // After the last job: GOAWAY.
            () = stop.cancelled(), if !is_ending => {
                is_ending = true;
                // One that never spoke would not hear either.
                if !link.is_introduced() {
                    break;
                }
                connection.connection().graceful_shutdown();
            }
        }
    }
    link.close();
}

fn builder(tasks: Arc<TaskTracker>) -> http2::Builder<Tracked> {
    let mut builder = http2::Builder::new(Tracked(tasks));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(WORKER_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(WORKER_RESETS_MAX)
        .max_local_error_reset_streams(WORKER_RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .initial_stream_window_size(WORKER_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(WORKER_CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME);
    builder
}
