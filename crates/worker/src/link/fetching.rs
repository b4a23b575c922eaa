//! The link of a worker that fetches images: it tells what it could have and how far it is, and
//! asks what is wanted (`protocol.md 6.6` to `6.8`). What is fetched, and when, is decided in
//! [`crate::fetch`].

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use pe_proto::Digest;
use pe_proto::codec;
use pe_proto::link::{Fetches, Wanted, Wants, paths};
use tokio::time::{sleep, timeout};

use super::LinkError;
use super::body::LinkBody;
use super::client::{Client, answer};
use super::slot::Visit;
use crate::fetch::{Desk, Report, range};
use crate::limits::{CATALOGUE_BYTES_MAX, DIAL, FETCH_ASK_AGAIN, FETCH_REPORT_EVERY, FETCH_STALL};

impl Client {
    /// Asks for a pack, less so many bytes, and to before `until` if not to its end.
    pub(crate) async fn pack(
        &self,
        pack: Digest,
        from: u64,
        until: Option<u64>,
    ) -> Result<Response<Incoming>, LinkError> {
        let path = format!("{}{}", paths::PACKS, pack.hex());
        self.get(&path, |headers| range(headers, from, until)).await
    }

    /// The catalogue.
    pub(crate) async fn catalogue(&self) -> Result<Vec<u8>, LinkError> {
        let fetch = async {
            let response = self.get(paths::CATALOGUE, |_| ()).await?;
            if response.status() != StatusCode::OK {
                answer("catalogue", response).await?;
                return Err(LinkError::Closed);
            }
            let most = usize::try_from(CATALOGUE_BYTES_MAX).unwrap_or(usize::MAX);
            let body = Limited::new(response.into_body(), most).collect().await;
            Ok(body.map_err(|_| LinkError::Closed)?.to_bytes().to_vec())
        };
        timeout(FETCH_STALL * 2, fetch).await.map_err(|_| LinkError::Late("catalogue"))?
    }

    async fn get(
        &self,
        path: &str,
        set: impl FnOnce(&mut HeaderMap),
    ) -> Result<Response<Incoming>, LinkError> {
        let mut request = self.request(path, LinkBody::frame(Vec::new()))?;
        *request.method_mut() = Method::GET;
        request.headers_mut().remove(header::CONTENT_TYPE);
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        set(request.headers_mut());
        self.send(request).await
    }
}

/// Tells the LB what could be fetched and how far it is, whenever that changes.
pub(super) async fn report(visit: Arc<Visit>, desk: Desk) {
    let mut reports = desk.reports();
    let mut told = Report::default();
    loop {
        let report = reports.borrow_and_update().clone();
        if report != told {
            let Report { able, under_way } = report.clone();
            let fetches = Fetches { session: visit.session, able, under_way };
            let sent = tokio::select! {
                biased;
                // Nobody to tell.
                () = visit.dead.cancelled() => return,
                sent = visit.client.tell(paths::FETCHES, &fetches) => sent,
            };
            match sent {
                Ok(_) => told = report,
                Err(error) => {
                    let error = crate::chain(&error);
                    tracing::warn!(error, "lb was not told what could be fetched");
                    if is_over(&visit, FETCH_ASK_AGAIN).await {
                        return;
                    }
                    continue;
                }
            }
        }
        tokio::select! {
            biased;
            // Nobody to tell.
            () = visit.dead.cancelled() => return,
            // Told with the drain.
            () = visit.shared.drain.cancelled() => return,
            // There is news.
            changed = reports.changed() => if changed.is_err() {
                return;
            },
        }
        // Not for each piece that comes.
        if is_over(&visit, FETCH_REPORT_EVERY).await {
            return;
        }
    }
}

/// Asks the LB what is wanted, again and again: it answers when there is something new.
pub(super) async fn ask(visit: Arc<Visit>, desk: Desk) {
    let (mut catalogue, mut known) = (Digest([0; 32]), Vec::new());
    loop {
        let wants = Wants { session: visit.session, catalogue, known: known.clone() };
        let asked = tokio::select! {
            biased;
            // Nobody to ask.
            () = visit.dead.cancelled() => return,
            // Nothing is fetched any more.
            () = visit.shared.drain.cancelled() => return,
            asked = ask_once(&visit, &wants) => asked,
        };
        let wait = match asked {
            Ok(Some(wanted)) => {
                (catalogue, known) = (wanted.catalogue, wanted.images.clone());
                desk.wants(wanted);
                FETCH_REPORT_EVERY
            }
            Ok(None) => FETCH_REPORT_EVERY,
            Err(error) => {
                let error = crate::chain(&error);
                tracing::warn!(error, "lb does not say what is wanted");
                FETCH_ASK_AGAIN
            }
        };
        if is_over(&visit, wait).await {
            return;
        }
    }
}

async fn ask_once(visit: &Visit, wants: &Wants) -> Result<Option<Wanted>, LinkError> {
    let frame = LinkBody::frame(codec::to_vec(wants)?);
    let asked = timeout(visit.poll_within, visit.client.post(paths::WANTS, frame)).await;
    let response = asked.map_err(|_| LinkError::Late("wants"))??;
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(None);
    }
    let told = timeout(DIAL, answer("wants", response)).await;
    let wanted: Wanted = codec::decode(&told.map_err(|_| LinkError::Late("wants"))??)?;
    if wanted.is_bounded() { Ok(Some(wanted)) } else { Err(LinkError::Closed) }
}

/// Waits; whether the link ended meanwhile.
async fn is_over(visit: &Visit, wait: std::time::Duration) -> bool {
    tokio::select! {
        biased;
        // There is nobody at the other end.
        () = visit.dead.cancelled() => true,
        // It is to end.
        () = visit.shared.drain.cancelled() => true,
        // Time is over.
        () = sleep(wait) => false,
    }
}

/// The link as a place to fetch from, as long as it is up.
pub(super) struct Line(Desk);

impl Line {
    pub(super) fn open(desk: &Desk, client: &Client) -> Self {
        desk.line(Some(client.clone()));
        Self(desk.clone())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.line(None);
    }
}
