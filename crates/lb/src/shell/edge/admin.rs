//! Operators' connections, and the answer to those for whom there is no room.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pe_proto::api::ProblemKind;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::client::{Speaking, http1_builder, http2_builder};
use super::gate::NoSeat;
use super::listener::Stream;
use super::metered::{Metered, Prefixed, Transport, listen};
use super::tasks::Prompt;
use crate::limits::TURNED_AWAY_RETRY;
use crate::respond::Failure;
use crate::shell::admin;
use crate::shell::app::App;
use crate::shell::outgoing::Outgoing;

/// Serves an operator's connection until it ends. Clear text, HTTP/1.1 or HTTP/2.
pub async fn serve(
    app: Arc<App>,
    stream: Stream,
    stop: CancellationToken,
    tasks: Arc<TaskTracker>,
) {
    let mut transport = Transport::Left(Prefixed::new(Bytes::new(), stream));
    let heard = tokio::select! {
        biased;
        // The process ends.
        () = stop.cancelled() => return,
        heard = timeout(app.patience.head, listen(&mut transport)) => heard,
    };
    let Ok(Ok((is_h2, first))) = heard else { return };
    let io = Metered::new(Prefixed::new(first, transport), app.edge.places.vitals(), None);
    let service = service_fn(|request: Request<Incoming>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(admin::answer(app, request).await) }
    });
    if is_h2 {
        let builder = http2_builder(&app, Prompt(tasks));
        speak(Box::pin(builder.serve_connection(TokioIo::new(io), service)), stop).await;
    } else {
        let builder = http1_builder(&app);
        speak(Box::pin(builder.serve_connection(TokioIo::new(io), service)), stop).await;
    }
}

async fn speak<C: Speaking>(mut connection: Pin<Box<C>>, stop: CancellationToken) {
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
                connection.as_mut().finish();
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
    let mut response = Failure::new(ProblemKind::TooManyConnections, detail).respond("");
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(TURNED_AWAY_RETRY.as_secs()));
    response
}
