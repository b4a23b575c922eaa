//! Settings read again while the process runs: on SIGHUP, or when an operator asks.
//!
//! The whole of the settings is read and checked before anything of it holds. If anything is
//! wrong, it is told and everything stays as it is. What cannot change while the process runs
//! keeps its old value, and is named: it holds after a restart.

use std::sync::{Arc, Mutex, PoisonError};

use pe_proto::admin::Reloaded;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use crate::config::{BadConfig, Config, Source};
use crate::shell::app::App;

/// Keys, and sections, that hold at once. Whatever else changed needs a restart.
const LIVE: [&str; 15] = [
    "catalogue",
    "images",
    "wall_ms_default",
    "wall_ms_max",
    "admin",
    "access_log",
    "worker_token_file",
    "workers.file",
    "workers.confirm_percent",
    "workers.confirm_runs_max",
    "admission",
    "memory",
    "tls",
    "workers_tls",
    "web",
];

/// See the module.
#[derive(Debug)]
pub struct Reload {
    /// What holds now, as far as it was applied. A leaf lock, for one reload at a time.
    source: Mutex<Source>,
}

/// Why everything stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    /// The settings are wrong.
    #[error(transparent)]
    Bad(#[from] BadConfig),
    /// A defect.
    #[error("the catalogue cannot be served")]
    Catalogue(#[from] serde_json::Error),
}

impl Reload {
    /// With the settings that the process began with.
    pub fn new(source: Source) -> Self {
        Self { source: Mutex::new(source) }
    }

    /// What was given, by key.
    pub fn given(&self) -> std::collections::BTreeMap<String, String> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).given().clone()
    }

    /// Reads everything again and lets it hold. It reads files, so it belongs on a thread for
    /// that.
    ///
    /// # Errors
    /// Nothing changed.
    pub fn run(&self, app: &App) -> Result<Reloaded, NotReloaded> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let config = source.load_again()?;
        let (applied, needs_restart) =
            source.changes(&config.source).into_iter().partition(|key| is_live(key));
        apply(app, &config)?;
        // What needs a restart is told again at each reload until there was one: the old values
        // of it are what is compared with.
        source.take(&config.source, is_live);
        Ok(Reloaded { applied, needs_restart })
    }
}

fn is_live(key: &str) -> bool {
    let section = key.split('.').next().unwrap_or_default();
    LIVE.contains(&section) || LIVE.contains(&key)
}

/// Lets new settings hold, each part its own.
fn apply(app: &App, config: &Config) -> Result<(), NotReloaded> {
    app.live.replace(config)?;
    app.admit.reload(config);
    app.memory.resize(config.bodies_bytes_max);
    app.edge.reload(config);
    app.access.reopen(config.access_log.clone());
    app.door.reload(config);
    app.confirmations.reload(config.workers.confirm);
    Ok(())
}

/// Reloads, and tells the log about it.
pub async fn reload(app: Arc<App>) -> Result<Reloaded, String> {
    let metrics = app.metrics.clone();
    let done = tokio::task::spawn_blocking(move || app.reload.run(&app)).await;
    metrics.ops.reloaded(matches!(done, Ok(Ok(_))));
    match done {
        Ok(Ok(reloaded)) => {
            let Reloaded { applied, needs_restart } = &reloaded;
            info!(applied = applied.join(" "), "settings reloaded");
            if !needs_restart.is_empty() {
                info!(keys = needs_restart.join(" "), "changed settings need a restart");
            }
            Ok(reloaded)
        }
        Ok(Err(not)) => {
            let reason = with_sources(&not);
            error!(reason, "settings not reloaded, the old ones stay");
            Err(reason)
        }
        Err(_) => Err("the reload crashed".to_owned()),
    }
}

/// Listens for SIGHUP (read the settings again) and SIGUSR1 (open the access log anew) until it
/// is dropped.
///
/// # Errors
/// The system does not let us.
pub fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?))
}

/// Does what signals say.
pub async fn watch(app: Arc<App>, (mut hangup, mut rotate): (Signal, Signal)) {
    loop {
        tokio::select! {
            biased;
            // The settings; a reload opens the access log anew, too.
            Some(()) = hangup.recv() => {
                // Told in the log.
                let _ = reload(Arc::clone(&app)).await;
            }
            // The access log was renamed.
            Some(()) = rotate.recv() => app.access.rotate(),
            else => return,
        }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
