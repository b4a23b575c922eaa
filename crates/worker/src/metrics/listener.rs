//! The listener that scrapers read: `GET /metrics`, HTTP/1.1, nothing else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Metrics, unexpected_vmms};
use crate::limits::{METRICS_CONNECTIONS_MAX, METRICS_REQUEST};
use crate::vm::process::Census;

/// The listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for metrics on {at}")]
pub struct MetricsError {
    at: SocketAddr,
    source: std::io::Error,
}

/// Answers scrapes until `stop`.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    at: SocketAddr,
    metrics: Metrics,
    census: Census,
    stop: CancellationToken,
) -> Result<(), MetricsError> {
    let listener = TcpListener::bind(at).await.map_err(|source| MetricsError { at, source })?;
    tracing::info!(%at, "metrics listener open");
    let seats = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            // The worker ends.
            () = stop.cancelled() => return Ok(()),
            // Seats are given back as connections end.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            // A scraper.
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            continue;
        };
        let (metrics, census) = (metrics.clone(), census.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &metrics, &census);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(METRICS_REQUEST)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // A scraper that is slow or goes away is its own affair.
            let _ = timeout(METRICS_REQUEST, connection).await;
            drop(seat);
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    metrics: &Metrics,
    census: &Census,
) -> Response<Full<Bytes>> {
    let known = request.uri().path() == "/metrics" && request.method() == Method::GET;
    if !known {
        let mut response = Response::new(Full::new(Bytes::from_static(b"see /metrics\n")));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let known = census.pids();
    metrics.set_unexpected_vmms(unexpected_vmms(&known), known.len());
    let mut response = Response::new(Full::new(Bytes::from(metrics.text())));
    let text = header::HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
