//! `pe replay`: a link's state, its stored result, a fresh run, and the difference.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pe_proto::api::{CachePolicy, PageState, SHARES_PATH};
use pe_proto::limits::WALL_MS_DEFAULT;
use serde_json::json;

use crate::answer::Received;
use crate::arguments::ReplayArgs;
use crate::client::{Client, Patience};
use crate::exit_status::{DIFFERENT, FAILED};
use crate::inputs::read_bounded;
use crate::key;
use crate::limits::{SHARE_BYTES_MAX, STATE_BYTES_MAX};
use crate::progress::LiveLine;
use crate::replay::compare::ended;
use crate::replay::{BadState, Difference, Link, Place, archive, differences};
use crate::request;
use crate::server::Server;
use crate::units::show_bytes;
use crate::words::{names, printable};

use super::images::catalogue;
use super::{Failure, blocking, print, say};

pub(super) async fn replay(args: ReplayArgs) -> Result<u8, Failure> {
    let link = Link::parse(&args.link)?;
    let key = args.key_file.as_deref().map(key::read).transpose()?;
    let home = link.server.or_else(|| args.server.clone()).unwrap_or_else(Server::local);
    let there = args.server.unwrap_or_else(|| home.clone());
    let client = |server: Server, wall: Duration| {
        Client::new(server, Patience::for_wall(wall))
            .trusting(args.ca.clone())
            .with_key(key.clone())
    };
    let text = match link.place {
        Place::Share(id) => share(&client(home.clone(), Duration::ZERO), &id).await?,
        Place::Here(text) => text,
        Place::File(path) => blocking(move || file(&path)).await??,
    };
    let state: PageState = serde_json::from_slice(&text).map_err(BadState::Json)?;
    let wall = Duration::from_millis(state.limits.wall_ms.unwrap_or(WALL_MS_DEFAULT));
    let (home, there) = (client(home, wall), client(there, wall));

    // Before the run: it is what there is to compare with, and may go while a job waits.
    let mut then = match &state.job {
        Some(job) => home.result(job).await?,
        None => None,
    };
    let job = state.job.clone();
    let now = run(&there, state, args.quiet).await?;
    if then.is_none() && job.as_ref() != Some(&now.head.job) {
        then = home.result(&now.head.job).await?;
    }
    if !args.quiet && job.as_ref().is_some_and(|job| *job != now.head.job) {
        say("it is another job now than in the link: its image, or what the server adds, changed");
    }
    let Some(then) = then else {
        say(&format!(
            "no result of it is stored any more, so there is nothing to compare; it {} now",
            ended(&now.head.outcome)
        ));
        return Ok(FAILED);
    };
    let found = differences(&then, &now);
    let told = if args.json { as_json(&found, &then, &now) } else { as_text(&found, &now) };
    print(told.into_bytes()).await?;
    Ok(if found.is_empty() { 0 } else { DIFFERENT })
}

async fn share(client: &Client, id: &str) -> Result<Vec<u8>, Failure> {
    let reply = client.get(&format!("{SHARES_PATH}/{id}"), SHARE_BYTES_MAX).await?;
    if reply.status != http::StatusCode::OK || reply.content_type != "application/json" {
        return Err(client.refusal(&reply).into());
    }
    Ok(reply.body)
}

fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::Link { path: PathBuf::from(path), error };
    let file = File::open(path).map_err(unreadable)?;
    Ok(read_bounded(file, path, STATE_BYTES_MAX as u64)?)
}

/// Runs the job of a state, whatever is known of it.
async fn run(client: &Client, state: PageState, is_quiet: bool) -> Result<Received, Failure> {
    let packed = archive(&state)?;
    let (args, env) = command(client, &state).await?;
    let (config, ..) = state.into_request(args, env, CachePolicy::Off).split();
    let head = request::encode_head(&config)?;
    let mut line = LiveLine::on_stderr(is_quiet);
    let received = client.run(&config, head, packed, &mut line).await;
    line.clear();
    Ok(received?)
}

/// The command line and environment: what the form of the image makes of the values, unless the
/// command was written by hand.
async fn command(
    client: &Client,
    state: &PageState,
) -> Result<(Vec<String>, BTreeMap<String, String>), Failure> {
    let catalogue = catalogue(client).await?;
    let image = catalogue.find(&state.image, None);
    // What is no image of the server's is the server's to say.
    let form = image.and_then(|(image, _)| image.playground.as_ref());
    let made = form.map(|form| form.expand(&state.values)).transpose();
    let made = made.map_err(|flaw| BadState::Form(flaw.to_string()))?;
    match (&state.command, made) {
        (Some(words), made) => Ok((words.clone(), made.unwrap_or_default().env)),
        (None, Some(made)) => Ok((made.args, made.env)),
        (None, None) => Err(BadState::NoCommand.into()),
    }
}

fn as_text(found: &[Difference], now: &Received) -> String {
    if found.is_empty() {
        let files = match now.files.as_slice() {
            [] => String::new(),
            files => format!(", and {}", names(files.iter().map(|file| file.path.as_str()))),
        };
        let out = show_bytes(now.stdout.len() as u64);
        let err = show_bytes(now.stderr.len() as u64);
        let how = ended(&now.head.outcome);
        return format!("same: {how}, {out} on stdout, {err} on stderr{files}\n");
    }
    found.iter().map(|Difference { what, how }| format!("{what}: {how}\n")).collect()
}

fn as_json(found: &[Difference], then: &Received, now: &Received) -> String {
    let list: Vec<_> =
        found.iter().map(|Difference { what, how }| json!({"what": what, "how": how})).collect();
    let told = json!({
        "same": found.is_empty(),
        "differences": list,
        "then": {"job": printable(&then.head.job), "outcome": then.head.outcome, "image": then.head.image},
        "now": {"job": printable(&now.head.job), "outcome": now.head.outcome, "image": now.head.image},
    });
    format!("{told:#}\n")
}
