//! A client's connection, from its first byte to its last.
//!
//! ```text
//!  PROXY header? -> seat -> TLS? -> first byte -> HTTP/1.1 or HTTP/2 -> (asked to end) -> gone
//!                    '-> no room: 503
//! ```

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::admin;
use super::gate::{How, NoSeat};
use super::listener::Stream;
use super::metered::{Metered, Prefixed, Transport, listen};
use super::proxy_header::{self, Source};
use super::tasks::Prompt;
use crate::core::client::{Client, Peer};
use crate::core::proxies::Believed;
use crate::core::reading::{self, Reading};
use crate::limits::{
    HEADERS_MAX, HTTP1_BUFFER_BYTES, LEAVING_TIME, PING_INTERVAL, PING_TIME, TURNED_AWAY_TIME,
};
use crate::metrics::edge::Ending;
use crate::shell::app::App;
use crate::shell::outbox::{Sending, gathered};
use crate::shell::outgoing::Outgoing;
use crate::shell::router;
use crate::shell::vitals::{Verdict, Vitals, Wish};

/// Serves a connection until it ends.
pub async fn serve(app: Arc<App>, stream: Stream, peer: Peer, how: How, tasks: Arc<TaskTracker>) {
    let ending = connection(&app, stream, peer, how, tasks).await;
    app.metrics.edge.ended(ending);
    debug!(ending = ending.as_str(), "connection ended");
}

async fn connection(
    app: &Arc<App>,
    mut stream: Stream,
    peer: Peer,
    how: How,
    tasks: Arc<TaskTracker>,
) -> Ending {
    let edge = &app.edge;
    let (mut peer, mut first) = (peer, Bytes::new());
    if how.is_proxied && edge.proxies.is_trusted(peer) {
        match proxy_header::read(&mut stream).await {
            Ok((Source::Client(address), rest)) => (peer, first) = (Peer::Ip(address), rest),
            Ok((Source::Proxy, rest)) => first = rest,
            Err(error) => {
                debug!(%error, "no PROXY header");
                return Ending::ProxyHeader;
            }
        }
    }
    let vitals = edge.places.vitals();
    let key = (!edge.proxies.is_trusted(peer)).then(|| Client::at(peer.address()).key);
    // The seat is held until the connection is gone.
    let (_seat, refused) = match edge.places.sit(&vitals, key) {
        Ok(seat) => (Some(seat), None),
        Err(no_seat) => (None, Some(no_seat)),
    };
    let _turned_away = match refused.map(|_| edge.places.turn_away()) {
        None => None,
        Some(Some(place)) => Some(place),
        // Not even room to say so.
        Some(None) => return Ending::TurnedAway,
    };
    let stream = Prefixed::new(first, stream);
    let (mut transport, agreed) = match &edge.tls {
        Some(tls) if how.is_tls => {
            let _shaking = edge.places.shake(&vitals);
            let shaken = tokio::select! {
                biased;
                // Given up for others, or for the drain: nothing was asked yet.
                _ = vitals.called(Wish::Stay) => return Ending::Asked,
                shaken = tls.accept(stream) => shaken,
                () = settled(app) => return Ending::Drained,
            };
            match shaken {
                Ok(shaken) => {
                    app.metrics.edge.handshake(&shaken);
                    (Transport::Right(Box::new(shaken.stream)), Some(shaken.is_h2))
                }
                Err(error) => {
                    debug!(%error, "handshake failed");
                    app.metrics.edge.handshake_failed();
                    return Ending::Handshake;
                }
            }
        }
        _ => (Transport::Left(stream), None),
    };
    let patience = app.patience.head.min(app.patience.idle);
    let (is_h2, first) = match hear(app, &vitals, &mut transport, patience).await {
        Ok((said_h2, first)) => (agreed.unwrap_or(said_h2), first),
        Err(ending) => return ending,
    };
    let frames = is_h2.then_some(edge.http2.frames);
    let io = Metered::new(Prefixed::new(first, transport), vitals.clone(), frames);
    let prompt = Prompt(tasks);
    if let Some(no_seat) = refused {
        return turn_away(app, io, is_h2, no_seat, prompt).await;
    }
    let direct = key.map(|_| Client::at(peer.address()));
    let answer = |request: Request<Incoming>| {
        let pulse = vitals.begin();
        let app = Arc::clone(app);
        let client = direct.unwrap_or_else(|| Client::at(told(&app, peer, &request)));
        router::answer(app, client, pulse, request)
    };
    if is_h2 {
        let (io, outbox) = gathered(io);
        let service = service_fn(answer);
        let connection = http2_builder(app, prompt).serve_connection(TokioIo::new(io), service);
        match watch(app, &vitals, Box::pin(outbox.of(connection)), Version::Http2).await {
            Watched::Ended(ending) => ending,
            // It cannot be taken apart, and was not asked to be.
            Watched::AtRest(_) => Ending::Closed,
        }
    } else {
        let service = service_fn(|request| {
            let answered = answer(request);
            async move {
                let mut response = answered.await?;
                if app.drain.is_cancelled() {
                    // How HTTP/1 says GOAWAY.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        serve_http1(app, &vitals, io, service).await
    }
}

/// Waits for something to be said; nothing was asked yet, so whoever wants the connection to end
/// gets it.
async fn hear(
    app: &App,
    vitals: &Vitals,
    transport: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> Result<(bool, Bytes), Ending> {
    tokio::select! {
        biased;
        // Its seat is needed.
        _ = vitals.called(Wish::Stay) => Err(Ending::Asked),
        // The client, before the drain: what it said is served.
        heard = timeout(patience, listen(transport)) => match heard {
            Ok(Ok(heard)) => Ok(heard),
            Ok(Err(_)) => Err(Ending::Closed),
            Err(_) if vitals.begun() > 0 => Err(Ending::Idle),
            Err(_) => Err(Ending::Silent),
        },
        // The drain, when what was on its way must have come.
        () = settled(app) => Err(Ending::Drained),
    }
}

/// The drain, and after it the time for what was on its way.
async fn settled(app: &App) {
    app.drain.cancelled().await;
    sleep(app.edge.settle).await;
}

/// HTTP/1.1. Between requests that are far apart, nothing is held of the connection but its socket
/// and its TLS: what hyper holds to speak (buffers of 16 KiB and more) is made anew.
async fn serve_http1<S>(app: &App, vitals: &Vitals, mut io: Metered, mut service: S) -> Ending
where
    S: HttpService<Incoming, ResBody = Outgoing>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    loop {
        let connection = http1_builder(app).serve_connection(TokioIo::new(io), service);
        let parts = match watch(app, vitals, Box::pin(connection), Version::Http1).await {
            Watched::Ended(ending) => return ending,
            Watched::AtRest(connection) => Pin::into_inner(connection).into_parts(),
        };
        (io, service) = (parts.io.into_inner(), parts.service);
        app.metrics.edge.rested();
        // A head that has begun is read on, and its clock begins anew only this once: there is no
        // rest before there was a request.
        let first = if parts.read_buf.is_empty() {
            match hear(app, vitals, io.below(), app.patience.idle).await {
                Ok((_, first)) => first,
                Err(ending) => return ending,
            }
        } else {
            parts.read_buf
        };
        io.below().unread(first);
    }
}

/// Where a request comes from that came over a trusted proxy.
fn told(app: &App, peer: Peer, request: &Request<Incoming>) -> IpAddr {
    let proxies = &app.edge.proxies;
    let name = match proxies.believed {
        Believed::Nothing => return peer.address(),
        Believed::XForwardedFor => "x-forwarded-for",
        Believed::Forwarded => "forwarded",
    };
    let values = request.headers().get_all(name).iter();
    proxies.client(peer, values.map(http::HeaderValue::as_bytes))
}

/// What hyper's connections of both versions can do.
pub(super) trait Speaking: Future<Output = hyper::Result<()>> {
    /// Ends after the requests that are open.
    fn finish(self: Pin<&mut Self>);
}

impl<S> Speaking for http1::Connection<TokioIo<Metered>, S>
where
    S: HttpService<Incoming, ResBody = Outgoing>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Speaking for http2::Connection<I, S, Prompt>
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = Outgoing>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<C: Speaking, S: AsyncWrite + Unpin> Speaking for Sending<C, S> {
    fn finish(self: Pin<&mut Self>) {
        self.get_mut().connection().finish();
    }
}

/// What the versions of HTTP differ in, here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A connection between requests can be taken apart, and cannot be told to go but by an answer.
    Http1,
    /// It can be told to go at any time, and loses nothing.
    Http2,
}

/// What became of a connection.
enum Watched<C> {
    /// It is over.
    Ended(Ending),
    /// It had requests, and has had none for a while.
    AtRest(Pin<Box<C>>),
}

/// Lets a connection speak until it ends or must end, or rests if it may.
async fn watch<C: Speaking>(
    app: &App,
    vitals: &Vitals,
    mut connection: Pin<Box<C>>,
    version: Version,
) -> Watched<C> {
    let begun = vitals.begun();
    let mut known = Wish::Stay;
    let patience = app.patience;
    let terms = reading::Terms { stretch: patience.stall, rate_min: app.edge.read_rate_min };
    let mut reading = Reading::default();
    let mut looks = interval(patience.look);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut counted = vitals.moved();
    // When the drain ends it, if its next answer does not.
    let mut settled = pin!(settled(app));
    let mut is_settled = false;
    // Why it was asked to end, and by when it must have.
    let mut asked: Option<(Ending, Option<Instant>)> = None;
    let ending = loop {
        let due = asked.and_then(|(_, due)| due);
        tokio::select! {
            biased;
            // The connection itself: requests, answers, its end.
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "connection broke");
                    if let Some(flood) = vitals.flood() {
                        break Ending::from(flood);
                    }
                }
                break asked.map_or(Ending::Closed, |(why, _)| why);
            }
            // The drain: GOAWAY, or the last answer of HTTP/1.
            () = app.drain.cancelled(), if asked.is_none() => {
                asked = Some((Ending::Drained, None));
                if version == Version::Http2 {
                    is_settled = true;
                    connection.as_mut().finish();
                }
            }
            // Between requests, HTTP/1 can only be hung up on; a client that is quick to ask again
            // had its answer by now, and was told with it.
            () = settled.as_mut(), if !is_settled => {
                is_settled = true;
                connection.as_mut().finish();
            }
            // Its seat is needed.
            wish = vitals.called(known) => {
                known = wish;
                match wish {
                    Wish::Stay => {}
                    Wish::Leave => {
                        asked = Some((Ending::Asked, Some(Instant::now() + LEAVING_TIME)));
                        connection.as_mut().finish();
                    }
                    Wish::Out => break Ending::Asked,
                }
            }
            // It was asked, and does not go.
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                break Ending::Asked;
            }
            // Signs of life.
            _ = looks.tick() => {
                count(app, vitals, &mut counted);
                let is_at_rest = version == Version::Http1 && asked.is_none() && vitals.begun() > begun;
                if is_at_rest && vitals.is_at_rest(patience.look) {
                    count(app, vitals, &mut counted);
                    return Watched::AtRest(connection);
                }
                match vitals.check(patience.idle, patience.stall) {
                    Verdict::Fine => {}
                    Verdict::Idle if asked.is_some() => break Ending::Idle,
                    Verdict::Idle => {
                        asked = Some((Ending::Idle, None));
                        connection.as_mut().finish();
                    }
                    Verdict::Stalled => break Ending::Stalled,
                }
                let (_, taken) = vitals.moved();
                if reading.is_too_slow(terms, vitals.now(), vitals.is_owed(), taken) {
                    break Ending::Slow;
                }
            }
        }
    };
    count(app, vitals, &mut counted);
    Watched::Ended(ending)
}

/// Counts what moved since the last time.
fn count(app: &App, vitals: &Vitals, counted: &mut (u64, u64)) {
    let (read, written) = vitals.moved();
    app.metrics.edge.moved(read - counted.0, written - counted.1);
    *counted = (read, written);
}

/// Answers whatever is asked first with a 503, and ends.
async fn turn_away(app: &App, io: Metered, is_h2: bool, no_seat: NoSeat, prompt: Prompt) -> Ending {
    let service = service_fn(|_: Request<Incoming>| async move {
        Ok::<Response<Outgoing>, Infallible>(admin::no_room(no_seat))
    });
    let speak = async {
        if is_h2 {
            let connection = http2_builder(app, prompt).serve_connection(TokioIo::new(io), service);
            let mut connection = Box::pin(connection);
            // Streams that came before the GOAWAY are answered, later ones are not taken.
            connection.as_mut().finish();
            connection.await
        } else {
            let mut builder = http1_builder(app);
            builder.keep_alive(false);
            builder.serve_connection(TokioIo::new(io), service).await
        }
    };
    // Whoever does not listen hears nothing.
    let _ = timeout(TURNED_AWAY_TIME, speak).await;
    Ending::TurnedAway
}

pub(super) fn http1_builder(app: &App) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(app.patience.head)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    builder
}

pub(super) fn http2_builder(app: &App, prompt: Prompt) -> http2::Builder<Prompt> {
    let terms = app.edge.http2;
    let mut builder = http2::Builder::new(prompt);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(terms.streams_max)
        .max_header_list_size(terms.header_list_bytes_max)
        .header_table_size(terms.header_table_bytes)
        .max_frame_size(terms.frame_bytes_max)
        .max_pending_accept_reset_streams(terms.pending_resets_max)
        .max_local_error_reset_streams(terms.local_resets_max)
        .max_send_buf_size(terms.send_buffer_bytes)
        .initial_stream_window_size(terms.stream_window_bytes)
        .initial_connection_window_size(terms.connection_window_bytes)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME);
    builder
}
