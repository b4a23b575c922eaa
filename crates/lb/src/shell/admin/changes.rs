//! What operators change (`protocol.md 9.2`). Each change is told in the log.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use pe_proto::Digest;
use pe_proto::admin::{self, BanRequest, Done, DrainWorker, Purge, QuarantineWorker, Unban};
use pe_proto::api::ProblemKind;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tracing::info;

use super::json;
use crate::core::ids::WorkerId;
use crate::limits::{ADMIN_BODY_BYTES_MAX, ADMIN_BODY_TIME};
use crate::reload;
use crate::respond::Failure;
use crate::shell::app::App;
use crate::shell::outgoing::Outgoing;

/// Nothing is asked for but the change itself.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Makes a change.
pub(super) async fn answer(
    app: &Arc<App>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Failure> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let body = read(body).await?;
    match path {
        admin::RELOAD => {
            let Nothing {} = parse(&body)?;
            let reloaded = reload::reload(Arc::clone(app)).await;
            json(&reloaded.map_err(|reason| Failure::new(ProblemKind::BadRequest, reason))?)
        }
        admin::DRAIN_WORKER => {
            let DrainWorker { worker, draining } = parse(&body)?;
            let word = if draining { "gets no more jobs" } else { "gets jobs again" };
            let id = named(app, &worker).await?;
            let changed = app.driver.drain_worker(id, draining).await;
            json(&done(changed.into(), format!("{worker} {word}")))
        }
        admin::QUARANTINE_WORKER => {
            let QuarantineWorker { worker, quarantined } = parse(&body)?;
            let word = if quarantined { "is in quarantine" } else { "is forgiven" };
            let id = named(app, &worker).await?;
            let changed = app.driver.quarantine(id, quarantined).await;
            json(&done(changed.into(), format!("{worker} {word}")))
        }
        admin::BAN => {
            let BanRequest { client, seconds, reason } = parse(&body)?;
            let banned = app.admit.ban(&client, Duration::from_secs(seconds), &reason);
            banned.map_err(|not| {
                Failure::new(ProblemKind::BadRequest, not.to_string()).at("/client")
            })?;
            json(&done(1, format!("{client} is banned for {seconds} s")))
        }
        admin::UNBAN => {
            let Unban { client } = parse(&body)?;
            json(&match app.admit.unban(&client) {
                true => done(1, format!("{client} may ask again")),
                false => done(0, format!("{client} is not banned")),
            })
        }
        admin::PURGE => {
            let Purge { job } = parse(&body)?;
            let digest: Digest = job.parse().map_err(|_| {
                let detail = "expected a job's digest: 64 lower-case hexadecimal digits";
                Failure::new(ProblemKind::BadRequest, detail).at("/job")
            })?;
            app.flights.purge(digest);
            app.confirmations.purge(digest);
            let forgotten = app.cache.purge(digest).await;
            info!(job = digest.hex(), forgotten, "result purged");
            json(&match forgotten {
                0 => done(0, "no result of this job was known"),
                _ => done(forgotten, "forgotten; who asks again runs it anew"),
            })
        }
        _ => {
            let Nothing {} = parse(&body)?;
            info!("drain asked for");
            app.stop.cancel();
            json(&done(1, "draining; the process ends when its jobs are answered"))
        }
    }
}

/// Some visit of a worker: orders are about all visits of its name.
async fn named(app: &App, name: &str) -> Result<WorkerId, Failure> {
    let workers = app.driver.survey().await.workers;
    workers.iter().find(|row| &*row.name == name).map(|row| row.id).ok_or_else(|| {
        let detail = "no worker of this name is here; GET /admin/v1/workers lists all";
        Failure::new(ProblemKind::NotFound, detail).at("/worker")
    })
}

fn done(changed: usize, detail: impl Into<String>) -> Done {
    Done { changed: changed as u64, detail: detail.into() }
}

async fn read(body: Incoming) -> Result<Vec<u8>, Failure> {
    let read = Limited::new(body, ADMIN_BODY_BYTES_MAX).collect();
    match timeout(ADMIN_BODY_TIME, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the body may have at most {ADMIN_BODY_BYTES_MAX} bytes");
            Err(Failure::new(ProblemKind::TooLarge, detail))
        }
        Ok(Err(_)) => Err(Failure::new(ProblemKind::BadRequest, "the body is cut off")),
        Err(_) => Err(Failure::new(ProblemKind::RequestTimeout, "the body did not arrive in time")),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let pointer =
            if path == "." { String::new() } else { format!("/{}", path.replace('.', "/")) };
        Failure::new(ProblemKind::BadRequest, error.into_inner().to_string()).at(pointer)
    })
}
