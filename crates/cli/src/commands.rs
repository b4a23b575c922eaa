//! The commands: the only place where streams, sockets and disks come together.
//!
//! One runtime on one thread. Ctrl-C ends any command at any point: its future is dropped, which
//! closes its connection, and pe exits with 130. Work that blocks (disks, own streams) is on the
//! runtime's blocking threads, so that it cannot keep Ctrl-C waiting.

mod admin;
mod deliver;
mod image;
mod images;
mod replay;
mod run;
mod wait_ready;

use std::io::Write as _;

use crate::admin::operator::AdminError;
use crate::arguments::Command;
use crate::client::ClientError;
use crate::exit_status::{CANCELLED, FAILED, USAGE};
use crate::inputs::BadInput;
use crate::key::BadKey;
use crate::replay::{BadLink, BadState};
use crate::request::BadRequest;
use crate::words::printable;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Arguments(#[from] BadRequest),
    #[error("{0}")]
    Input(#[from] BadInput),
    #[error("{0}")]
    Key(#[from] BadKey),
    #[error("--out `{path}` cannot be used: {error}")]
    Out { path: String, error: std::io::Error },
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    Admin(#[from] AdminError),
    #[error("the token in `{path}` cannot be used: {problem}")]
    Token { path: String, problem: String },
    #[error("{0}")]
    BadLink(#[from] BadLink),
    #[error("`{}` is no link, and no file that can be read: {error}", printable(&.path.display().to_string()))]
    Link { path: std::path::PathBuf, error: std::io::Error },
    #[error("the link cannot be run again: {0}")]
    State(#[from] BadState),
    #[error("the catalogue of the server cannot be read: {0}; is pe older than the server?")]
    Catalogue(serde_json::Error),
    #[error("cannot write to standard output: {0}")]
    Stdout(std::io::Error),
    #[error("{0}")]
    Image(#[from] image::ImageFailure),
    #[error("internal error: {0}")]
    Internal(String),
}

impl Failure {
    fn exit_status(&self) -> u8 {
        match self {
            Self::Arguments(_)
            | Self::Input(_)
            | Self::Key(_)
            | Self::Out { .. }
            | Self::BadLink(_)
            | Self::Link { .. }
            | Self::State(_)
            | Self::Token { .. } => USAGE,
            Self::Image(failure) => failure.exit_status(),
            Self::Admin(_)
            | Self::Client(_)
            | Self::Catalogue(_)
            | Self::Stdout(_)
            | Self::Internal(_) => FAILED,
        }
    }
}

/// Runs a command to its exit status.
pub fn execute(command: Command) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::Internal(error.to_string())),
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            // Ctrl-C first: whatever else is ready, the person wants it to end.
            interrupted = tokio::signal::ctrl_c() => match interrupted {
                Ok(()) => None,
                Err(error) => Some(Err(Failure::Internal(error.to_string()))),
            },
            outcome = dispatch(command) => Some(outcome),
        }
    });
    // A blocking thread may still wait for standard input or a full pipe: leave it behind.
    runtime.shutdown_background();
    match outcome {
        Some(Ok(status)) => status,
        Some(Err(failure)) => report(&failure),
        None => {
            say("cancelled");
            CANCELLED
        }
    }
}

async fn dispatch(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Run(args) => run::run(*args).await,
        Command::Admin(args) => admin::admin(*args).await,
        Command::Replay(args) => replay::replay(*args).await,
        Command::Images(args) => images::images(args).await,
        Command::Image(args) => image::image(args).await,
        Command::WaitReady(args) => wait_ready::wait_ready(args).await,
        Command::Version => {
            let version = format!("pe {}\n", env!("CARGO_PKG_VERSION"));
            print(version.into_bytes()).await?;
            Ok(0)
        }
    }
}

fn report(failure: &Failure) -> u8 {
    say(&failure.to_string());
    failure.exit_status()
}

/// One line of pe's own on stderr. If stderr is gone there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "pe: {line}");
}

/// Writes exact bytes to stdout.
async fn print(bytes: Vec<u8>) -> Result<(), Failure> {
    blocking(move || print_now(&bytes)).await?
}

/// A reader that went away (`pe .. | head`) has what it wanted; that is no failure.
fn print_now(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Stdout(error)),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::Internal(error.to_string()))
}
