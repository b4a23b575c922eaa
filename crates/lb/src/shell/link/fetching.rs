//! `POST /worker/v1/fetches`, `POST /worker/v1/wants`: what a worker could fetch, and what it had
//! better fetch first (`protocol.md 6.7`, `6.8`).

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use hyper::body::Incoming;
use pe_proto::Digest;
use pe_proto::limits::WANTED_IMAGES_MAX;
use pe_proto::link::{CONTENT_TYPE as LINK, Fetches, Wanted, Wants};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::frame::read_frame;
use super::{Link, Session, no_content};
use crate::core::broker;
use crate::respond::LinkRefusal;
use crate::shell::outgoing::Outgoing;

impl Link {
    /// Takes down what a worker could fetch. Of its word only what the catalogue has counts.
    pub(super) async fn fetches(&self, body: Incoming) -> Result<Response<Outgoing>, LinkRefusal> {
        let session = self.lock().clone().ok_or(LinkRefusal::Session)?;
        let _turn = session.changes.acquire().await.map_err(|_| LinkRefusal::Busy)?;
        let (fetches, _) = Box::pin(read_frame::<Fetches>(body)).await?;
        if !fetches.is_bounded() {
            return Err(LinkRefusal::Malformed);
        }
        if fetches.session != session.id {
            return Err(LinkRefusal::Session);
        }
        let Fetches { mut able, under_way, .. } = fetches;
        {
            let settings = self.app.live.now();
            able.retain(|image| settings.stock.has(session.ran_on.arch, *image));
        }
        able.sort_unstable();
        able.dedup();
        debug!(worker = session.ran_on.worker, able = able.len(), "worker fetches");
        let of = |bytes, bytes_total| broker::Fetch { bytes, bytes_total };
        let under_way =
            under_way.iter().map(|it| (it.image, of(it.bytes, it.bytes_total))).collect();
        let told = broker::Fetches { able: able.clone(), under_way };
        self.app.driver.fetches(session.visit.worker, told).await;
        session.able.send_replace(able.into());
        Ok(no_content())
    }

    /// Waits until something else is wanted of the worker than it knows.
    pub(super) async fn wants(&self, body: Incoming) -> Result<Response<Outgoing>, LinkRefusal> {
        let (wants, _) = read_frame::<Wants>(body).await?;
        if !wants.is_bounded() {
            return Err(LinkRefusal::Malformed);
        }
        let session = self.session(wants.session)?;
        let _place = session.wants.try_acquire().map_err(|_| LinkRefusal::Busy)?;
        let (mut able, mut waited_for) = (session.able.subscribe(), self.app.driver.wanted());
        let until = Instant::now() + self.app.driver.poll();
        let known = Wanted { catalogue: wants.catalogue, images: wants.known };
        loop {
            let images =
                wanted(&session, &able.borrow_and_update(), &waited_for.borrow_and_update());
            let wanted = Wanted { catalogue: self.app.live.now().stock.digest, images };
            if wanted != known {
                return answer(&wanted);
            }
            tokio::select! {
                biased;
                // Nothing new. That the catalogue changed is told with the next question.
                () = sleep_until(until) => return Ok(no_content()),
                // It could fetch something else. The sender is the session's.
                _ = able.changed() => {}
                // Other jobs wait.
                changed = waited_for.changed() => if changed.is_err() {
                    return Ok(no_content());
                },
            }
        }
    }
}

fn wanted(
    session: &Session,
    able: &[Digest],
    waited_for: &Arc<[crate::core::ids::Fit]>,
) -> Vec<Digest> {
    let of_arch = waited_for.iter().filter(|fit| fit.arch == session.ran_on.arch);
    let images = of_arch.map(|fit| fit.image).filter(|image| able.binary_search(image).is_ok());
    images.take(WANTED_IMAGES_MAX).collect()
}

fn answer(wanted: &Wanted) -> Result<Response<Outgoing>, LinkRefusal> {
    let frame = pe_proto::codec::to_vec(wanted).map_err(|_| LinkRefusal::Busy)?;
    let mut response = Response::new(Outgoing::whole(frame.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(LINK));
    Ok(response)
}
