//! The worker link: the server's side of `protocol.md 6`.
//!
//! One connection is one visit: hello begins it, the end of the connection ends it, and with it
//! everything that hangs on it (parked slots, leases, results on their way). A request that names
//! another session than that of its own connection is refused and counted.

mod done;
pub mod door;
mod fetching;
mod frame;
pub mod lease_body;
pub mod packs;
mod pieces;
pub mod stock;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use pe_proto::Digest;
use pe_proto::link::{CONTENT_TYPE as LINK, Hello, Ready, SessionId, State, Welcome, paths};
use pe_proto::outcome::RanOn;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::app::App;
use super::outgoing::Outgoing;
use crate::core::broker::{Arrival, Offer, ParkRefused};
use crate::core::client::CertificateNames;
use crate::core::trust::Identity;
use crate::core::trust::roster::{Pass, is_same};
use crate::driver::{Busy, Profile, SlotVerdict, Visit};
use crate::limits::{LARGE_FRAMES_SPARE, WRONG_TOKEN_DELAY};
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
    /// Whether a hello is being read: there is one at a time, so that their frames, which are
    /// the largest, are not many.
    is_greeting: AtomicBool,
    /// Bounds its transfers of packs.
    transfers: Arc<Semaphore>,
    sentence: watch::Sender<Option<Sentence>>,
}

/// Why a worker's connection is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentence {
    /// It showed a wrong token: after the answer that says so.
    AfterAnswer,
    /// Its token holds no more, or there are too many wrong ones: without a word.
    AtOnce,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    visit: Visit,
    identity: Arc<Identity>,
    /// The token that hello came with, and who it made of the worker.
    token: Digest,
    pass: Pass,
    /// What results say about where they ran.
    ran_on: RanOn,
    /// Bounds the heads of results that are read at a time.
    results: Semaphore,
    /// Changes are read one after another.
    changes: Semaphore,
    /// What it says that it could fetch; sorted.
    able: watch::Sender<Arc<[Digest]>>,
    /// It asks once at a time what is wanted.
    wants: Semaphore,
}

impl Link {
    /// A connection that has not said hello.
    pub fn new(app: Arc<App>, names: Option<CertificateNames>) -> Self {
        let (session, is_greeting) = (Mutex::new(None), AtomicBool::new(false));
        let (sentence, _) = watch::channel(None);
        let transfers = packs::places_of_one();
        Self { app, names, session, is_greeting, transfers, sentence }
    }

    /// Resolves when the connection is to be ended, for its token's sake.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn condemned(&self) -> Sentence {
        let (mut sentence, mut roster) = (self.sentence.subscribe(), self.app.door.watch());
        loop {
            if let Some(sentence) = *sentence.borrow_and_update() {
                return sentence;
            }
            if !self.is_still_let_in(&roster.borrow_and_update()) {
                self.app.metrics.trust.revoked.inc();
                return Sentence::AtOnce;
            }
            tokio::select! {
                biased;
                // Something wrong was shown. The senders are as long-lived as we are.
                _ = sentence.changed() => {}
                // Tokens changed.
                _ = roster.changed() => {}
            }
        }
    }

    fn is_still_let_in(&self, roster: &crate::core::trust::roster::Roster) -> bool {
        let session = self.lock().clone();
        session.is_none_or(|session| roster.find(&session.token).as_ref() == Some(&session.pass))
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
        let token = self.authorize(request.headers()).await?;
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let pack = path.strip_prefix(paths::PACKS);
        if path == paths::CATALOGUE || pack.is_some() {
            return match (pack, &parts.method) {
                (Some(name), method @ (&Method::GET | &Method::HEAD)) => {
                    Box::pin(self.pack(method, name, &parts.headers)).await
                }
                (None, &Method::GET) => Ok(self.catalogue(&parts.headers)),
                _ => Err(LinkRefusal::Method),
            };
        }
        if parts.method != Method::POST {
            return Err(LinkRefusal::Method);
        }
        match path {
            paths::HELLO => self.greet(token, body).await,
            paths::READY => self.ready(body).await,
            paths::STATE => self.state(body).await,
            paths::FETCHES => self.fetches(body).await,
            paths::WANTS => Box::pin(self.wants(body)).await,
            path => match path.strip_prefix(paths::DONE).map(str::parse) {
                Some(Ok(lease)) => Box::pin(self.done(lease, body)).await,
                Some(Err(_)) => Err(LinkRefusal::Malformed),
                None => Err(LinkRefusal::NotFound),
            },
        }
    }

    /// The digest of the token that a request shows, if it is that of the connection, or of
    /// somebody who may say hello.
    async fn authorize(&self, headers: &HeaderMap) -> Result<Digest, LinkRefusal> {
        if self.sentence.borrow().is_some() {
            return Err(LinkRefusal::Unauthorized);
        }
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .unwrap_or_default();
        let given = Digest::of(given);
        let is_right = match self.lock().as_deref() {
            Some(session) => is_same(&session.token, &given),
            None => self.app.door.roster().find(&given).is_some(),
        };
        if is_right {
            return Ok(given);
        }
        self.app.metrics.trust.wrong_tokens.inc();
        let doghouse = self.app.door.doghouse();
        // From here on nothing that comes over this connection is looked at.
        let sentence = doghouse.as_ref().map_or(Sentence::AtOnce, |_| Sentence::AfterAnswer);
        self.sentence.send_replace(Some(sentence));
        if doghouse.is_none() {
            // The end of the connection is the answer.
            std::future::pending::<()>().await;
        }
        sleep(WRONG_TOKEN_DELAY).await;
        Err(LinkRefusal::Unauthorized)
    }

    async fn greet(
        &self,
        token: Digest,
        body: Incoming,
    ) -> Result<Response<Outgoing>, LinkRefusal> {
        if self.is_introduced() || self.is_greeting.swap(true, Ordering::Relaxed) {
            return Err(LinkRefusal::Session);
        }
        let greeted = Box::pin(self.hello(token, body)).await;
        self.is_greeting.store(false, Ordering::Relaxed);
        greeted
    }

    async fn hello(
        &self,
        token: Digest,
        body: Incoming,
    ) -> Result<Response<Outgoing>, LinkRefusal> {
        let (hello, _) = read_frame::<Hello>(body).await?;
        if !hello.is_bounded() {
            return Err(LinkRefusal::Malformed);
        }
        if hello.deployment != self.app.door.deployment() {
            return Err(LinkRefusal::Deployment);
        }
        let pass = self.app.door.roster().find(&token).ok_or(LinkRefusal::Unauthorized)?;
        let is_certified = |name: &str| {
            let names = self.names.as_ref();
            names.is_none_or(|names| names.0.iter().any(|each| each == name))
        };
        let identity = pass.admit(&hello, is_certified).map_err(LinkRefusal::Misfit)?;
        let identity = Arc::new(identity);
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| LinkRefusal::Busy)?;
        let id = SessionId(id);
        let slots_max = usize::try_from(hello.slots).map_err(|_| LinkRefusal::Malformed)?;
        info!(
            worker = hello.worker,
            owner = &*identity.owner,
            trusted = identity.is_trusted,
            arch = %hello.arch,
            cpu = hello.cpu,
            vmm = hello.vmm,
            slots = hello.slots,
            images = hello.images.len(),
            certificate = self.names.as_ref().map(|names| names.0.join(",")),
            "worker arrived"
        );
        let Hello { worker, arch, cpu, vmm, kernel, images, labels, .. } = hello;
        let (owner, is_trusted) = (identity.owner_key(), identity.is_trusted);
        let offer = Offer::new(arch, images);
        let arrival = Arrival { slots_max, offer, owner, is_trusted };
        let profile = Profile {
            identity: Arc::clone(&identity),
            is_own: matches!(pass, Pass::Own(_)),
            arch,
            labels,
            cpu: cpu.clone(),
            vmm: vmm.clone(),
        };
        let visit = self.app.driver.arrive(arrival, profile).await.map_err(LinkRefusal::from)?;
        let ran_on = RanOn { arch, kernel, cpu, worker, vmm };
        let results = Semaphore::new(slots_max + LARGE_FRAMES_SPARE);
        let changes = Semaphore::new(1);
        let session = Session {
            id,
            visit,
            identity,
            token,
            pass,
            ran_on,
            results,
            changes,
            able: watch::Sender::new(Arc::default()),
            wants: Semaphore::new(1),
        };
        *self.lock() = Some(Arc::new(session));
        if !self.is_still_let_in(&self.app.door.roster()) {
            // Revoked while hello was being said.
            self.sentence.send_replace(Some(Sentence::AtOnce));
        }
        let poll_ms = u64::try_from(self.app.driver.poll().as_millis()).unwrap_or(u64::MAX);
        let deployment = self.app.door.deployment().to_owned();
        let welcome = pe_proto::codec::to_vec(&Welcome { session: id, poll_ms, deployment });
        let mut response =
            Response::new(Outgoing::whole(welcome.map_err(|_| LinkRefusal::Busy)?.into()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(LINK));
        Ok(response)
    }

    /// Parks a slot. What this future owns is the slot: if the worker resets the stream, or its
    /// connection ends, the future is dropped and the slot is gone.
    async fn ready(&self, body: Incoming) -> Result<Response<Outgoing>, LinkRefusal> {
        let (ready, rest) = read_frame::<Ready>(body).await?;
        let worker = self.session(ready.session)?.visit.worker;
        // A body that is still open is ended when the lease has arrived: the sign of life.
        let sign = (!rest.body.is_end_stream()).then_some(rest.body);
        let parked = self.app.driver.park(worker, sign.is_some()).await;
        let (verdict, hold) = parked.map_err(LinkRefusal::from)?;
        match verdict {
            Ok(SlotVerdict::Lease(assignment)) => {
                debug!(
                    lease = %assignment.lease,
                    slot = ready.slot,
                    request_id = assignment.order.request_id,
                    "slot leased"
                );
                let body =
                    LeaseBody::new(*assignment, hold, sign).map_err(|_| LinkRefusal::Busy)?;
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
        let session = self.lock().clone().ok_or(LinkRefusal::Session)?;
        let _turn = session.changes.acquire().await.map_err(|_| LinkRefusal::Busy)?;
        let (state, _) = Box::pin(read_frame::<State>(body)).await?;
        if !state.is_bounded() {
            return Err(LinkRefusal::Malformed);
        }
        if state.session != session.id {
            return Err(LinkRefusal::Session);
        }
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

impl From<Busy> for LinkRefusal {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::Visits => Self::Visits,
            Busy::Slots => Self::Slots,
            Busy::Jobs | Busy::Workers | Busy::Inbox => Self::Busy,
        }
    }
}
