//! Listeners and connections.
//!
//! A listener accepts while there is a place for one more connection. Each connection is a task
//! that ends when its peer is gone, when it is idle or does not read, or when the process drains
//! and its last request is answered. Every task is in a tracker that the drain waits for.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug, debug_span, warn};

use super::app::App;
use super::link::{Link, Sentence};
use super::outgoing::Outgoing;
use super::router;
use super::vitals::{Verdict, Vitals};
use crate::limits::{
    ACCEPT_PAUSE, CLIENT_STREAMS_MAX, CONNECTION_WINDOW_BYTES, HEADER_BYTES_MAX, HEADER_TIME,
    HEADERS_MAX, HELLO_TIME, HTTP1_BUFFER_BYTES, PING_INTERVAL, PING_TIME, RESETS_MAX,
    SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, WORKER_CONNECTION_WINDOW_BYTES, WORKER_RESETS_MAX,
    WORKER_STREAM_WINDOW_BYTES, WORKER_STREAMS_MAX,
};

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Between two pieces of a request's body.
    pub body_idle: Duration,
    /// Without a request, until its connection is closed.
    pub idle: Duration,
    /// Without reading its answer, until its connection is closed.
    pub stall: Duration,
    /// How often the two above are looked at.
    pub look: Duration,
}

/// Accepts connections until `stop`, each in a task of its own.
pub async fn accept<F>(
    listener: TcpListener,
    places: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let place = tokio::select! {
            biased;
            // The drain goes before everything.
            () = stop.cancelled() => return,
            // Then a place, and only then a connection: others wait in the kernel's backlog.
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            biased;
            // Again the drain first.
            () = stop.cancelled() => return,
            // A connection.
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Answers are written whole; waiting for more would only add latency.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%peer, %error, "no delay not set");
                }
                let connection = serve(stream, peer);
                tasks
                    .spawn(holding(place, connection).instrument(debug_span!("connection", %peer)));
            }
            Err(error) => {
                warn!(%error, "accept failed");
                drop(place);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn holding(place: OwnedSemaphorePermit, connection: impl Future<Output = ()>) {
    connection.await;
    drop(place);
}

/// A client's connection, HTTP/1.1 or HTTP/2.
pub async fn client(app: Arc<App>, stream: TcpStream, peer: SocketAddr, tasks: TaskTracker) {
    let patience = app.patience;
    let _counted = app.metrics.connection();
    let vitals = Vitals::default();
    let service = service_fn(|request: Request<Incoming>| {
        let pulse = vitals.begin();
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(router::answer(app, peer.ip(), pulse, request).await) }
    });
    let builder = client_builder(tasks);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut looks = interval(patience.look);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            // The connection itself: requests, answers, its end.
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "connection ended");
                }
                return;
            }
            // The drain: GOAWAY, or the last answer of HTTP/1.
            () = app.drain.cancelled(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            // Signs of life.
            _ = looks.tick() => match vitals.check(patience.idle, patience.stall) {
                Verdict::Fine => {}
                Verdict::Idle if is_ending => return,
                Verdict::Idle => {
                    app.metrics.connections_idle_closed.inc();
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                Verdict::Stalled => {
                    app.metrics.connections_stalled.inc();
                    debug!("client does not read");
                    return;
                }
            },
        }
    }
}

/// A worker's connection: HTTP/2 with prior knowledge.
pub async fn worker(app: Arc<App>, stream: TcpStream, stop: CancellationToken, tasks: TaskTracker) {
    let _counted = app.metrics.worker_connection();
    let link = Arc::new(Link::new(Arc::clone(&app)));
    let service = service_fn(|request: Request<Incoming>| {
        let link = Arc::clone(&link);
        async move { Ok::<Response<Outgoing>, Infallible>(link.answer(request).await) }
    });
    let builder = worker_builder(tasks);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut hello_due = pin!(sleep(HELLO_TIME));
    let mut is_looked_at = false;
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            // The connection itself: requests, answers, its end.
            ended = connection.as_mut() => {
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
                    connection.as_mut().graceful_shutdown();
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
                connection.as_mut().graceful_shutdown();
            }
        }
    }
    link.close();
}

/// An operator's connection.
pub async fn admin(app: Arc<App>, stream: TcpStream, tasks: TaskTracker) {
    let service = service_fn(|request: Request<Incoming>| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(super::admin::answer(app, request).await) }
    });
    let builder = client_builder(tasks);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        debug!(%error, "admin connection ended");
    }
}

fn client_builder(tasks: TaskTracker) -> auto::Builder<Tracked> {
    let mut builder = auto::Builder::new(Tracked(tasks));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CLIENT_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME);
    builder
}

fn worker_builder(tasks: TaskTracker) -> http2::Builder<Tracked> {
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

/// Runs what hyper wants run, where the drain can wait for it.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
