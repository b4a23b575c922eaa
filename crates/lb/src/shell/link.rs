//! The worker link: the server's side of `protocol.md 6`.
//!
//! One connection is one visit: hello begins it, the end of the connection ends it, and with it
//! everything that hangs on it (parked slots, leases, results on their way). A request that names
//! another session than that of its own connection is refused and counted.

mod done;
mod frame;
pub mod lease_body;

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use pe_proto::Digest;
use pe_proto::link::{CONTENT_TYPE as LINK, Hello, Ready, SessionId, State, Welcome, paths};
use pe_proto::outcome::RanOn;
use tracing::{debug, info, warn};

use super::app::App;
use super::outgoing::Outgoing;
use crate::core::broker::{Offer, ParkRefused};
use crate::core::client::CertificateNames;
use crate::driver::{SlotVerdict, Visit};
use crate::respond::LinkRefusal;
use frame::read_frame;
use lease_body::LeaseBody;

/// A worker's connection.
#[derive(Debug)]
pub struct Link {
    app: Arc<App>,
    /// Who the worker's certificate says that it is, if it had to show one.
    names: Option<CertificateNames>,
    /// A leaf lock: taken to look, never held on.
    session: Mutex<Option<Arc<Session>>>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    visit: Visit,
    /// What results say about where they ran.
    ran_on: RanOn,
}

impl Link {
    /// A connection that has not said hello.
    pub fn new(app: Arc<App>, names: Option<CertificateNames>) -> Self {
        Self { app, names, session: Mutex::new(None) }
    }

    /// Whether hello was said.
    pub fn is_introduced(&self) -> bool {
        self.lock().is_some()
    }

    /// The connection ended: the visit is over, even while its requests are still being dropped.
    pub fn close(&self) {
        let session = self.lock().take();
        if let Some(session) = session {
            info!(worker = session.ran_on.worker, "worker left");
        }
    }

    /// Answers one request of the worker.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Outgoing> {
        match self.dispatch(request).await {
            Ok(response) => response,
            Err(refusal) => {
                self.app.metrics.link_refusal(refusal);
                // A result that crosses with its lease's cancel is nobody's fault.
                if refusal == LinkRefusal::NotHeld {
                    debug!(reason = %refusal, "worker request refused");
                } else {
                    warn!(reason = %refusal, "worker request refused");
                }
                refusal.respond()
            }
        }
    }

    async fn dispatch(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Outgoing>, LinkRefusal> {
        self.authorize(request.headers())?;
        if request.method() != Method::POST {
            return Err(LinkRefusal::Method);
        }
        let (parts, body) = request.into_parts();
        match parts.uri.path() {
            paths::HELLO => self.hello(body).await,
            paths::READY => self.ready(body).await,
            paths::STATE => self.state(body).await,
            path => match path.strip_prefix(paths::DONE).map(str::parse) {
                Some(Ok(lease)) => self.done(lease, body).await,
                Some(Err(_)) => Err(LinkRefusal::Malformed),
                None => Err(LinkRefusal::NotFound),
            },
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), LinkRefusal> {
        let Some(expected) = &self.app.worker_token else {
            return Ok(());
        };
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .unwrap_or_default();
        if is_same(&Digest::of(given), expected) { Ok(()) } else { Err(LinkRefusal::Unauthorized) }
    }

    async fn hello(&self, body: Incoming) -> Result<Response<Outgoing>, LinkRefusal> {
        let (hello, _) = read_frame::<Hello>(body).await?;
        if !hello.is_bounded() {
            return Err(LinkRefusal::Malformed);
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| LinkRefusal::Busy)?;
        let id = SessionId(id);
        let slots_max = usize::try_from(hello.slots).map_err(|_| LinkRefusal::Malformed)?;
        info!(
            worker = hello.worker,
            arch = %hello.arch,
            cpu = hello.cpu,
            vmm = hello.vmm,
            slots = hello.slots,
            images = hello.images.len(),
            certificate = self.names.as_ref().map(|names| names.0.join(",")),
            "worker arrived"
        );
        let Hello { worker, arch, cpu, vmm, kernel, images, .. } = hello;
        let offer = Offer::new(arch, images);
        let visit =
            self.app.driver.arrive(slots_max, offer).await.map_err(|_| LinkRefusal::Busy)?;
        let ran_on = RanOn { arch, kernel, cpu, worker, vmm };
        {
            let mut session = self.lock();
            if session.is_some() {
                return Err(LinkRefusal::Session);
            }
            *session = Some(Arc::new(Session { id, visit, ran_on }));
        }
        let poll_ms = u64::try_from(self.app.driver.poll().as_millis()).unwrap_or(u64::MAX);
        let welcome = pe_proto::codec::to_vec(&Welcome { session: id, poll_ms });
        let mut response =
            Response::new(Outgoing::whole(welcome.map_err(|_| LinkRefusal::Busy)?.into()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(LINK));
        Ok(response)
    }

    /// Parks a slot. What this future owns is the slot: if the worker resets the stream, or its
    /// connection ends, the future is dropped and the slot is gone.
    async fn ready(&self, body: Incoming) -> Result<Response<Outgoing>, LinkRefusal> {
        let (ready, _) = read_frame::<Ready>(body).await?;
        let worker = self.session(ready.session)?.visit.worker;
        let parked = self.app.driver.park(worker).await;
        let (verdict, hold) = parked.map_err(|_| LinkRefusal::Busy)?;
        match verdict {
            Ok(SlotVerdict::Lease(assignment)) => {
                debug!(
                    lease = %assignment.lease,
                    slot = ready.slot,
                    request_id = assignment.order.request_id,
                    "slot leased"
                );
                let body = LeaseBody::new(*assignment, hold).map_err(|_| LinkRefusal::Busy)?;
                let mut response = Response::new(Outgoing::lease(body));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(LINK));
                Ok(response)
            }
            Ok(SlotVerdict::Release) | Err(ParkRefused::Draining) => Ok(no_content()),
            Err(ParkRefused::UnknownWorker) => Err(LinkRefusal::Session),
            Err(ParkRefused::TooMany) => Err(LinkRefusal::TooManySlots),
        }
    }

    async fn state(&self, body: Incoming) -> Result<Response<Outgoing>, LinkRefusal> {
        let (state, _) = read_frame::<State>(body).await?;
        if !state.is_bounded() {
            return Err(LinkRefusal::Malformed);
        }
        let session = self.session(state.session)?;
        let State { draining, images, .. } = state;
        info!(worker = session.ran_on.worker, draining, images = images.len(), "worker changed");
        let offer = Offer::new(session.ran_on.arch, images);
        self.app.driver.change(session.visit.worker, offer, draining).await;
        Ok(no_content())
    }

    fn session(&self, id: SessionId) -> Result<Arc<Session>, LinkRefusal> {
        let session = self.lock().clone();
        session.filter(|session| session.id == id).ok_or(LinkRefusal::Session)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_content() -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Compares all bytes whatever they are. What is compared are digests, so even a leak would tell
/// nothing about the token.
fn is_same(a: &Digest, b: &Digest) -> bool {
    a.0.iter().zip(&b.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
