//! `pe run`: prepare everything here, one request, deliver everything here.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use pe_proto::api::RunConfig;
use pe_proto::limits::{INPUT_BYTES_MAX, WALL_MS_DEFAULT};
use tokio::time::Instant;

use crate::arguments::RunArgs;
use crate::client::{Client, ClientError, Patience};
use crate::inputs::{self, BadInput};
use crate::key;
use crate::out_dir::OutDir;
use crate::progress::LiveLine;
use crate::request;

use super::deliver::{Delivery, deliver};
use super::images::catalogue;
use super::{Failure, blocking, form, print, say};

/// What must be right before anything is sent.
struct Prepared {
    config: RunConfig,
    head: Vec<u8>,
    archive: Vec<u8>,
    out: Option<OutDir>,
}

pub(super) async fn run(mut args: RunArgs) -> Result<u8, Failure> {
    let example = if args.example.is_some() || !args.set.is_empty() {
        let asking = Client::new(args.server.server.clone(), Patience::for_wall(Duration::ZERO))
            .trusting(args.server.ca.clone());
        let catalogue = catalogue(&asking).await?;
        form::apply(&mut args, &catalogue)?
    } else {
        None
    };
    let wall = args.wall.unwrap_or(Duration::from_millis(WALL_MS_DEFAULT));
    let key = args.key_file.as_deref().map(key::read).transpose()?;
    let client = Client::new(args.server.server.clone(), Patience::for_wall(wall))
        .trusting(args.server.ca.clone())
        .with_key(key);
    let quiet = args.quiet;
    let (json, timings) = (args.json, args.timings);
    let prepared = blocking(move || prepare(&args, example)).await??;

    let start = Instant::now();
    let mut line = LiveLine::on_stderr(quiet);
    let received = client.run(&prepared.config, prepared.head, prepared.archive, &mut line).await;
    line.clear();
    if let (true, Err(ClientError::Problem { problem, .. })) = (json, &received) {
        let text = serde_json::to_string_pretty(problem);
        let text = text.map_err(|error| Failure::Internal(error.to_string()))?;
        print(format!("{text}\n").into_bytes()).await?;
    }
    let received = received?;
    let here = start.elapsed();
    let delivery = Delivery { json, quiet, timings, here, out: prepared.out };
    blocking(move || deliver(&received, &delivery)).await?
}

fn prepare(args: &RunArgs, example: Option<Vec<u8>>) -> Result<Prepared, Failure> {
    // `--env NAME` is the person's explicit wish to read this variable; it is no configuration.
    let config = request::run_config(args, |name| std::env::var_os(name))?;
    let head = request::encode_head(&config)?;
    // Before the input is read: a directory that cannot be written to should not cost a run.
    let out = match &args.out {
        Some(path) => Some(
            OutDir::open(path, args.force)
                .map_err(|error| Failure::Out { path: path.display().to_string(), error })?,
        ),
        None => None,
    };
    let archive = match example {
        Some(archive) => archive,
        None => inputs::archive(&args.file, stdin(args)?)?,
    };
    Ok(Prepared { config, head, archive, out })
}

fn stdin(args: &RunArgs) -> Result<Option<Vec<u8>>, BadInput> {
    use std::io::IsTerminal as _;
    let own = args.interactive || args.stdin.as_deref() == Some(Path::new("-"));
    if own {
        let stdin = std::io::stdin().lock();
        if stdin.is_terminal() && !args.quiet {
            say("reading standard input; end it with Ctrl-D");
        }
        return inputs::read_bounded(stdin, Path::new("standard input"), INPUT_BYTES_MAX).map(Some);
    }
    let Some(path) = &args.stdin else {
        return Ok(None);
    };
    let unreadable = |error| BadInput::Unreadable { path: path.clone(), error };
    let file = File::open(path).map_err(unreadable)?;
    inputs::read_bounded(file, path, INPUT_BYTES_MAX).map(Some)
}
