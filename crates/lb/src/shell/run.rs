//! `POST /api/v1/run`: one job from the request to the answer.
//!
//! Take the body in; answer from the cache; else take a seat on the job's flight, wait for its
//! result, and answer in the form that is wanted. A client that hangs up drops this future, and
//! with it its seat; the last seat takes the job's place in the queue, or its lease, along.
//! Nothing of a result is sent before so much of it was checked that the rest can only fail by
//! the link; until then, a job whose worker is lost is leased again and the client never knows.

mod compose;
mod confirm;
mod execute;
mod flight;
mod landing;
mod receive;
pub mod replay;

use std::sync::Arc;

use http::header::EXPECT;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use pe_proto::api::CachePolicy;
use pe_proto::outcome::Clock;
use pe_proto::{Digest, Outcome};
use tracing::{Span, debug, field, info};

use super::access::{JobNote, Note};
use super::admit::deadline;
use super::app::App;
use super::intake::{self, NotTaken};
use super::outgoing::Outgoing;
use crate::cache::representation::{JOB, Representation};
use crate::core::client::Client;
use crate::core::form::{Encoding, Form, JobForm};
use crate::driver::Order;
use crate::respond::{Failure, QUEUE_POSITION, QUEUE_WAIT, whole_millis};
use flight::{Wanted, board};

pub use confirm::Confirmations;
pub use execute::{NotRun, Progress, execute};
pub use flight::{FlightRow, Flights};
pub use landing::Landing;

/// Answers a request to run a job.
///
/// # Errors
/// What is wrong with the job, or why it could not be run.
///
/// # Cancel safety
/// A dropped future gives its seat up.
pub async fn answer(
    app: &Arc<App>,
    client: Client,
    request_id: &str,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Failure> {
    let (parts, mut body) = request.into_parts();
    let caller = match app.admit.arrive(&client, &parts.headers) {
        Ok(caller) => caller,
        Err(failure) => return Err(failure.with_rest_of(body)),
    };
    // Whether or not the job will wait: what is wrong is wrong for a known result, too.
    if let Err(failure) = deadline(&parts.headers) {
        return Err(failure.with_rest_of(body));
    }
    let note = parts.extensions.get::<Note>();
    let form = JobForm::of(&parts.headers);
    let answer_form = form.as_ref().map_or(Form::Json, JobForm::answer);
    let answer_form = Form::of_answer(&parts.headers, answer_form);
    if let Some(claimed) = claimed(&parts.headers) {
        let policy = CachePolicy::Use;
        if let Some(known) = known(app, claimed, policy, answer_form, &parts.headers).await {
            debug!("job answered from the cache before it was sent");
            if let Some(note) = note {
                note.digest(&claimed.hex());
            }
            return Ok(hit(note, &known));
        }
    }
    let taken = match form {
        Some(form) => intake::take(app, &caller, note, form, &mut body).await,
        None => Err(NotTaken::MediaType),
    };
    let intake = taken.map_err(|not| Failure::from(not).with_rest_of(body))?;
    let form = answer_form;
    let digest = intake.digest;
    Span::current().record("job", field::display(digest.hex()));
    if let Some(note) = note {
        note.digest(&digest.hex());
    }

    let policy = intake.cache;
    if let Some(known) = known(app, digest, policy, form, &parts.headers).await {
        debug!("job answered from the cache");
        return Ok(hit(note, &known));
    }
    let request_id = request_id.to_owned();
    let order = Arc::new(Order::new(request_id, intake.spec, intake.body));
    let admit = || app.admit.admit(&caller, &order.spec, &parts.headers);
    let mut seat = board(app, digest, policy, Arc::clone(&order), admit)?;
    // A flight that ended between the look-up and the boarding left its result there.
    if policy == CachePolicy::Use && app.cache.has(digest) {
        if let Some(known) = known(app, digest, policy, form, &parts.headers).await {
            return Ok(hit(note, &known));
        }
    }
    let wanted = match form {
        Form::Json => Wanted::Whole,
        Form::Binary => Wanted::Begun,
    };
    let landing = match seat.landing(wanted).await {
        // What was too much for whoever started the flight need not be for who joined it.
        Err(NotRun::Refused(refusal)) if seat.is_joined() && refusal.is_of_one_client() => {
            seat = board(app, digest, policy, Arc::clone(&order), admit)?;
            seat.landing(wanted).await?
        }
        landed => landed?,
    };
    let head = landing.head(seat.status);
    if let Some(note) = note {
        note.job(JobNote::of(&head));
    }
    info!(
        outcome = head.outcome.kind(),
        total_us = head.phases.total_us,
        queue_us = head.phases.queue_us,
        worker = head.ran_on.as_ref().map(|ran_on| ran_on.worker.as_str()),
        "job answered"
    );
    let (is_own, (queued, position)) = (!seat.is_joined(), landing.wait());
    let mut response = match form {
        Form::Json => compose::json(app, &head, &landing).await?,
        Form::Binary => compose::binary(&head, landing, seat)?,
    };
    if is_own {
        let headers = response.headers_mut();
        headers.insert(QUEUE_POSITION, HeaderValue::from(position));
        headers.insert(QUEUE_WAIT, HeaderValue::from(whole_millis(queued)));
    }
    Ok(response)
}

fn hit(note: Option<&Note>, known: &Representation) -> Response<Outgoing> {
    if let Some(note) = note {
        note.job(JobNote::hit());
    }
    compose::hit(known)
}

/// The job that a client says it would send, if only it were asked to (`expect: 100-continue`).
/// It gets what it names, as with a GET, and sends nothing. What it then does send is what counts.
fn claimed(headers: &HeaderMap) -> Option<Digest> {
    let expects = headers.get(EXPECT)?.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let claimed = headers.get(JOB).filter(|_| expects)?.to_str().ok()?;
    claimed.parse().ok().filter(|_| claimed.len() == 64)
}

/// The job's result, if it is known and wanted.
async fn known(
    app: &App,
    digest: Digest,
    policy: CachePolicy,
    form: Form,
    headers: &HeaderMap,
) -> Option<Arc<Representation>> {
    match policy {
        CachePolicy::Use => app.cache.find(digest, form, Encoding::of_answer(headers)).await,
        CachePolicy::Refresh | CachePolicy::Off => None,
    }
}

/// Whether a job with this outcome shows that jobs go through.
fn is_proof(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Exited { .. } | Outcome::Signaled { .. } | Outcome::OutOfMemory => true,
        Outcome::TimedOut { clock } => *clock == Clock::Guest,
        Outcome::Refused { .. } | Outcome::Lost { .. } => false,
    }
}
