//! `pe wait-ready`: asks `/readyz` until it says yes.

use std::time::Duration;

use http::StatusCode;
use pe_proto::api::{PROBLEM, Problem};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::arguments::WaitReadyArgs;
use crate::client::{Client, ClientError, Patience, Reply};
use crate::exit_status::NOT_READY;
use crate::limits::{PROBLEM_BYTES_MAX, READY_POLL};
use crate::progress::LiveLine;
use crate::units::show_duration;
use crate::words::printable;

use super::{Failure, say};

/// Where a server says whether a job could run.
const READY_PATH: &str = "/readyz";

pub(super) async fn wait_ready(args: WaitReadyArgs) -> Result<u8, Failure> {
    let (server, ca) = (args.server.server, args.server.ca);
    let client = Client::new(server.clone(), Patience::for_wall(Duration::ZERO)).trusting(ca);
    let mut line = LiveLine::on_stderr(args.quiet);
    let start = Instant::now();
    let deadline = start + args.timeout;
    let mut reason = String::new();
    loop {
        let next = Instant::now() + READY_POLL;
        let now_reason = match timeout_at(deadline, client.get(READY_PATH, PROBLEM_BYTES_MAX)).await
        {
            Ok(Ok(reply)) if reply.status == StatusCode::OK => {
                line.clear();
                if !args.quiet {
                    say(&format!("{server} is ready, after {}", show_duration(start.elapsed())));
                }
                return Ok(0);
            }
            Ok(Ok(reply)) => why_not(&reply),
            Ok(Err(error)) => why_no_answer(&error),
            // Cut off by the deadline: the last reason still tells more than that.
            Err(_) if reason.is_empty() => "it has not answered".to_owned(),
            Err(_) => reason.clone(),
        };
        // Where no line can be drawn over itself, each new reason is a line: logs stay short.
        if now_reason != reason && !line.is_live() && !args.quiet {
            say(&format!("waiting for {server}: {now_reason}"));
        }
        reason = now_reason;
        if Instant::now() >= deadline {
            break;
        }
        line.draw(&format!("waiting: {reason} ({})", show_duration(start.elapsed())));
        sleep_until(next.min(deadline)).await;
    }
    line.clear();
    say(&format!("{server} is not ready after {}: {reason}", show_duration(args.timeout)));
    Ok(NOT_READY)
}

/// What the server says about itself.
fn why_not(reply: &Reply) -> String {
    if reply.content_type == PROBLEM {
        if let Ok(problem) = serde_json::from_slice::<Problem>(&reply.body) {
            return printable(&problem.detail);
        }
    }
    if let Some(reason) = reported_reason(&reply.body) {
        return printable(&reason);
    }
    reply.first_line().unwrap_or_else(|| format!("it answers {}", reply.status))
}

/// The reason in the server's report on itself: its own, else that of an architecture.
fn reported_reason(body: &[u8]) -> Option<String> {
    let report: serde_json::Value = serde_json::from_slice(body).ok()?;
    let of_archs =
        || report.get("archs")?.as_object()?.values().find_map(|arch| arch.get("reason"));
    report.get("reason").or_else(of_archs)?.as_str().map(str::to_owned)
}

/// Why it says nothing; in short, because it will be asked again.
fn why_no_answer(error: &ClientError) -> String {
    match error {
        ClientError::Connect { error, .. } => format!("no server answers yet ({error})"),
        ClientError::Broken { .. } | ClientError::Silent { .. } => {
            "the server does not answer yet".to_owned()
        }
        ClientError::Problem { .. } | ClientError::NotOurs { .. } | ClientError::Answer { .. } => {
            error.to_string()
        }
    }
}
