//! The process: everything built, run, and ended in order.
//!
//! Drain, in order: stop accepting clients · refuse new jobs · tell clients to go elsewhere
//! (GOAWAY) · finish what is in flight, workers still at work · release parked slots and tell
//! workers to go · end. Whatever is left at the deadline is dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::cache::Cache;
use crate::config::Config;
use crate::core::broker::Census;
use crate::driver::Driver;
use crate::limits::{ACCESS_FLUSH, ADMIN_CONNECTIONS_MAX, WORKER_CONNECTIONS_MAX};
use crate::metrics::Metrics;
use crate::reload::{self, Reload};
use crate::shell::access::AccessLog;
use crate::shell::app::App;
use crate::shell::health::{self, CanaryJob, Questions, Readiness};
use crate::shell::link::door::Door;
use crate::shell::live::Live;
use crate::shell::request_id::RequestIds;
use crate::shell::run::Flights;
use crate::shell::serve;

/// A load balancer whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    driver: Driver,
    canary: CanaryJob,
    questions: Questions,
    clients: TcpListener,
    workers: TcpListener,
    admin: TcpListener,
    signals: (Signal, Signal),
    connections_max: usize,
    drain_max: Duration,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum NotBuilt {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The system has no randomness.
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    /// Metrics do not register.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
    /// The catalogue cannot be served.
    #[error("catalogue")]
    Catalogue(#[from] serde_json::Error),
    /// The access log cannot be opened.
    #[error("access log")]
    AccessLog(#[source] std::io::Error),
    /// Signals cannot be listened for.
    #[error("signals")]
    Signals(#[source] std::io::Error),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything in flight was finished.
    Wholly,
    /// The deadline came first.
    AtDeadline,
    /// It did not come to a drain: a task that everything hangs on ended before.
    Crashed,
}

impl Server {
    /// Binds the listeners and puts everything together; nothing is served yet.
    ///
    /// # Errors
    /// See [`NotBuilt`].
    pub async fn bind(config: Config) -> Result<Self, NotBuilt> {
        let listen = async |address: SocketAddr| {
            let listener = TcpListener::bind(address).await;
            listener.map_err(|source| NotBuilt::Listen { address, source })
        };
        let clients = listen(config.listen).await?;
        let workers = listen(config.listen_workers).await?;
        let admin = listen(config.listen_admin).await?;
        let metrics = Metrics::new()?;
        let (driver, handle) = Driver::new(config.terms, config.poll, metrics.clone());
        let (readiness, questions) = Readiness::new();
        let door = Door::new(&config);
        let access =
            AccessLog::open(config.access_log.clone(), metrics.ops.access_lines_dropped.clone());
        let app = Arc::new(App {
            door,
            live: Live::new(&config)?,
            reload: Reload::new(config.source),
            access: access.map_err(NotBuilt::AccessLog)?,
            cache: Cache::new(&config.cache, metrics.cache.clone()),
            flights: Flights::default(),
            driver: handle,
            metrics,
            request_ids: RequestIds::new().map_err(NotBuilt::Randomness)?,
            readiness,
            bodies: App::bodies(),
            results: App::results(),
            stop: CancellationToken::new(),
            drain: CancellationToken::new(),
            patience: config.patience,
        });
        let Config { canary, connections_max, drain_max, .. } = config;
        Ok(Self {
            app,
            driver,
            canary,
            questions,
            clients,
            workers,
            admin,
            signals: reload::signals().map_err(NotBuilt::Signals)?,
            connections_max,
            drain_max,
        })
    }

    /// Where clients and workers are listened for.
    ///
    /// # Errors
    /// The system does not say.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.clients.local_addr()?, self.workers.local_addr()?))
    }

    /// Where operators are listened for.
    ///
    /// # Errors
    /// The system does not say.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// How many of everything there are.
    pub fn census(&self) -> watch::Receiver<Census> {
        self.app.driver.census()
    }

    /// Serves until `stop`, then drains.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Drained {
        let Self { app, driver, clients, workers, admin, .. } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        tasks.spawn(health::watch(Arc::clone(&app), self.canary, self.questions));

        tasks.spawn(reload::watch(Arc::clone(&app), self.signals));

        let client_tasks = TaskTracker::new();
        let worker_tasks = TaskTracker::new();
        let workers_end = CancellationToken::new();
        tasks.spawn(serve::accept(
            clients,
            Arc::new(Semaphore::new(self.connections_max)),
            app.drain.clone(),
            client_tasks.clone(),
            {
                let (app, tasks) = (Arc::clone(&app), client_tasks.clone());
                move |stream, peer| serve::client(Arc::clone(&app), stream, peer, tasks.clone())
            },
        ));
        tasks.spawn(serve::accept(
            workers,
            Arc::new(Semaphore::new(WORKER_CONNECTIONS_MAX)),
            workers_end.clone(),
            worker_tasks.clone(),
            {
                let (app, tasks) = (Arc::clone(&app), worker_tasks.clone());
                let stop = workers_end.clone();
                move |stream, _| {
                    serve::worker(Arc::clone(&app), stream, stop.clone(), tasks.clone())
                }
            },
        ));

        // Operators are answered to the end: the drain is what they may want to watch.
        let admin_tasks = TaskTracker::new();
        tasks.spawn(serve::accept(
            admin,
            Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX)),
            CancellationToken::new(),
            admin_tasks.clone(),
            {
                let (app, tasks) = (Arc::clone(&app), admin_tasks.clone());
                move |stream, _| serve::admin(Arc::clone(&app), stream, tasks.clone())
            },
        ));

        tokio::select! {
            biased;
            // The drain is asked for.
            () = stop => {}
            // By an operator.
            () = app.stop.cancelled() => {}
            // None of them ends before the drain, unless by a defect. Better to end, and be
            // started again, than to go on without.
            _ = tasks.join_next() => {
                error!("a task ended that must not");
                return Drained::Crashed;
            }
        }
        info!(jobs = app.driver.census().borrow().jobs, "draining");
        let drain = drain(&app, &client_tasks, &worker_tasks, &workers_end);
        let drained = match timeout(self.drain_max, drain).await {
            Ok(()) => Drained::Wholly,
            Err(_) => {
                warn!(jobs = app.driver.census().borrow().jobs, "drain deadline reached");
                Drained::AtDeadline
            }
        };
        tasks.shutdown().await;
        app.access.flush(ACCESS_FLUSH).await;
        drained
    }
}

async fn drain(
    app: &App,
    client_tasks: &TaskTracker,
    worker_tasks: &TaskTracker,
    workers_end: &CancellationToken,
) {
    // Refused first: a job that comes over a connection that is being told to go must not be
    // queued.
    app.driver.drain().await;
    app.drain.cancel();
    client_tasks.close();
    client_tasks.wait().await;
    // Nobody waits for a run any more, so the last of them are ending.
    app.flights.ended().await;
    workers_end.cancel();
    app.driver.release_all().await;
    worker_tasks.close();
    worker_tasks.wait().await;
}
