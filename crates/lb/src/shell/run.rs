//! `POST /api/v1/run`: one job from the request to the answer.
//!
//! Take the body in; hand the job to the broker; wait for its result; answer in the form that is
//! wanted. A client that hangs up drops this future, and with it the job's place in the queue or
//! its lease. Nothing of the result is sent before so much of it was checked that the rest can
//! only fail by the link; until then, a job whose worker is lost is leased again and the client
//! never knows.

mod compose;
mod execute;
mod receive;
pub mod relay;

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use pe_proto::Outcome;
use pe_proto::outcome::Clock;
use tokio::time::Instant;
use tracing::{Span, field, info};

use super::app::App;
use super::intake::{self, Form, NotTaken};
use super::outgoing::Outgoing;
use crate::core::client::Client;
use crate::driver::Order;
use crate::respond::Failure;

pub use execute::{Wanted, execute};

/// Where the job's digest is told.
const JOB: HeaderName = HeaderName::from_static("pe-job");

/// Answers a request to run a job.
///
/// # Errors
/// What is wrong with the job, or why it could not be run.
///
/// # Cancel safety
/// A dropped future withdraws the job.
pub async fn answer(
    app: &Arc<App>,
    client: Client,
    request_id: &str,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Failure> {
    let (parts, mut body) = request.into_parts();
    let form = Form::of_request(&parts.headers);
    let taken = match form {
        Some(form) => intake::take(app, form, &mut body).await.map(|intake| (form, intake)),
        None => Err(NotTaken::MediaType),
    };
    let (form, intake) = taken.map_err(|not| Failure::from(not).with_rest_of(body))?;
    let answer_form = Form::of_answer(&parts.headers, form);
    let received = Instant::now();
    let digest = intake.digest.hex();
    Span::current().record("job", field::display(&digest));

    let order =
        Arc::new(Order { request_id: request_id.to_owned(), spec: intake.spec, body: intake.body });
    let wanted = match answer_form {
        Form::Json => Wanted::Whole,
        Form::Binary => Wanted::Begun,
    };
    let finished = execute(app, client.key, Arc::clone(&order), wanted).await?;
    let head = compose::head(&digest, &order, &finished, received.elapsed());
    compose::count(&app.metrics, &head);
    if is_proof(&head.outcome) {
        app.readiness.prove(order.spec.arch);
    }
    info!(
        outcome = head.outcome.kind(),
        total_us = head.phases.total_us,
        queue_us = head.phases.queue_us,
        worker = head.ran_on.as_ref().map(|ran_on| ran_on.worker.as_str()),
        "job answered"
    );
    let mut response = match answer_form {
        Form::Json => compose::json(&head, finished).await?,
        Form::Binary => compose::binary(&head, finished)?,
    };
    let headers = response.headers_mut();
    if let Ok(digest) = HeaderValue::try_from(digest) {
        headers.insert(JOB, digest);
    }
    Ok(response)
}

/// Whether a job with this outcome shows that jobs go through.
fn is_proof(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Exited { .. } | Outcome::Signaled { .. } | Outcome::OutOfMemory => true,
        Outcome::TimedOut { clock } => *clock == Clock::Guest,
        Outcome::Refused { .. } | Outcome::Lost { .. } => false,
    }
}
