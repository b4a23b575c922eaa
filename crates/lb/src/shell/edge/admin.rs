//! Operators' connections, and the answer to those for whom there is no room.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pe_proto::api::ProblemKind;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::gate::NoSeat;
use super::listener::Stream;
use crate::limits::{HEADERS_MAX, HTTP1_BUFFER_BYTES, TURNED_AWAY_RETRY};
use crate::respond::Failure;
use crate::shell::app::App;
use crate::shell::outgoing::Outgoing;
use crate::shell::router;

/// Serves an operator's connection, HTTP/1.1, until it ends or is idle.
pub async fn serve(app: Arc<App>, stream: Stream, stop: CancellationToken) {
    let service = service_fn(|request: Request<Incoming>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(router::operate(app, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(app.patience.head)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            // The connection itself.
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "admin connection ended");
                }
                return;
            }
            // The process ends: after the answer that is being sent.
            () = stop.cancelled(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// What a client without a seat is told.
pub(super) fn no_room(no_seat: NoSeat) -> Response<Outgoing> {
    let detail = match no_seat {
        NoSeat::Full => "all connections are in use; try again later",
        NoSeat::Crowd => "too many connections from your network",
    };
    let mut response = Failure::new(ProblemKind::QueueFull, detail).respond("");
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(TURNED_AWAY_RETRY.as_secs()));
    response
}
