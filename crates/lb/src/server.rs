//! The process: everything built, run, and ended in order.
//!
//! Drain, in order: stop accepting clients, tell them to go elsewhere (GOAWAY) · serve what was on
//! its way · refuse new jobs · finish what is in flight, workers still at work · release parked slots and tell
//! workers to go · end. Whatever is left at the deadline is dropped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::cache::{Cache, Writer};
use crate::config::Config;
use crate::config::listen::Listen;
use crate::core::broker::Census;
use crate::driver::Driver;
use crate::limits::{
    ACCESS_FLUSH, ADMIN_CONNECTIONS_MAX, ATTENDANCE_INTERVAL, WORKER_CONNECTIONS_MAX,
};
use crate::metrics::Metrics;
use crate::reload::{self, Reload};
use crate::shares::Shares;
use crate::shell::access::AccessLog;
use crate::shell::admit::Admit;
use crate::shell::app::App;
use crate::shell::edge::activation::{self, Activated};
use crate::shell::edge::listener::Listener;
use crate::shell::edge::{Edge, admin, client, gate, worker};
use crate::shell::health::{self, CanaryJob, Questions, Readiness};
use crate::shell::link::door::Door;
use crate::shell::link::packs::Transfers;
use crate::shell::live::Live;
use crate::shell::memory::Memory;
use crate::shell::request_id::RequestIds;
use crate::shell::run::{Confirmations, Flights};

/// A load balancer whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    driver: Driver,
    canary: CanaryJob,
    writers: Vec<Writer>,
    questions: Questions,
    clients: Vec<Listener>,
    workers: Vec<Listener>,
    operators: Vec<Listener>,
    signals: (Signal, Signal),
    drain_max: Duration,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum NotBuilt {
    /// It cannot be listened there.
    #[error("cannot listen on {listen}")]
    Listen {
        /// Where.
        listen: Listen,
        /// Why.
        source: std::io::Error,
    },
    /// The directory of the cache cannot be used.
    #[error("cannot keep results in {directory}")]
    Cache {
        /// Which.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory of shares cannot be used.
    #[error("cannot keep shares in {directory}")]
    Shares {
        /// Which.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate cannot be used.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
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
        Self::bind_with(config, Activated::default())
    }

    /// The same, with sockets that are there already.
    ///
    /// # Errors
    /// See [`NotBuilt`].
    /// # Panics
    /// Outside of a runtime, which the sockets belong to.
    pub fn bind_with(config: Config, mut activated: Activated) -> Result<Self, NotBuilt> {
        let mut open = |listens: &[Listen]| {
            let mut opened = Vec::new();
            for listen in listens {
                let found = Listener::open(listen, &mut activated);
                opened.extend(
                    found.map_err(|source| NotBuilt::Listen { listen: listen.clone(), source })?,
                );
            }
            Ok::<_, NotBuilt>(opened)
        };
        let clients = open(&config.listen)?;
        let workers = open(&config.listen_workers)?;
        let operators = open(&config.listen_admin)?;
        for name in activated.left() {
            warn!(name, "a socket was passed that no listener is set for");
        }
        let edge = Edge::new(&config)?;
        let metrics = Metrics::new()?;
        let (driver, handle) = Driver::new(config.terms, config.poll, metrics.clone());
        let (readiness, questions) = Readiness::new();
        let door = Door::new(&config);
        let access =
            AccessLog::open(config.access_log.clone(), metrics.ops.access_lines_dropped.clone());
        let opened = Cache::open(&config.cache, metrics.cache.clone());
        let (cache, cache_writer) = opened.map_err(|source| {
            let directory = config.cache.disk.clone().map(|(directory, _)| directory);
            NotBuilt::Cache { directory: directory.unwrap_or_default(), source }
        })?;
        let opened = Shares::open(&config.shares, metrics.shares.clone());
        let (shares, share_writer) = opened.map_err(|source| {
            let directory = config.shares.disk.clone().map(|(directory, _)| directory);
            NotBuilt::Shares { directory: directory.unwrap_or_default(), source }
        })?;
        let admit = Admit::new(config.admission.clone(), metrics.admission.clone());
        let memory = Memory::new(config.bodies_bytes_max, metrics.memory.clone());
        let app = Arc::new(App {
            door,
            transfers: Transfers::default(),
            admit: Arc::new(admit),
            live: Live::new(&config)?,
            reload: Reload::new(config.source),
            access: access.map_err(NotBuilt::AccessLog)?,
            cache,
            shares,
            flights: Flights::default(),
            confirmations: Confirmations::new(config.workers.confirm, metrics.confirm.clone()),
            driver: handle,
            metrics,
            request_ids: RequestIds::new().map_err(NotBuilt::Randomness)?,
            readiness,
            memory,
            stop: CancellationToken::new(),
            drain: CancellationToken::new(),
            patience: config.patience,
            edge,
        });
        let Config { canary, drain_max, .. } = config;
        let signals = reload::signals().map_err(NotBuilt::Signals)?;
        Ok(Self {
            app,
            driver,
            canary,
            writers: cache_writer.into_iter().chain(share_writer).collect(),
            questions,
            clients,
            workers,
            operators,
            signals,
            drain_max,
        })
    }

    /// The first addresses where clients and workers are listened for.
    ///
    /// # Errors
    /// There is none.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        let first = |listeners: &[Listener]| {
            let address = listeners.iter().find_map(Listener::address);
            address.ok_or(std::io::ErrorKind::AddrNotAvailable)
        };
        Ok((first(&self.clients)?, first(&self.workers)?))
    }

    /// The first address where operators are listened for.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.operators.iter().find_map(Listener::address)
    }

    /// All listeners, in words.
    pub fn listening(&self) -> [String; 3] {
        [&self.clients, &self.workers, &self.operators].map(|listeners| {
            listeners.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        })
    }

    /// What takes new settings over.
    pub fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// How many of everything there are.
    pub fn census(&self) -> watch::Receiver<Census> {
        self.app.driver.census()
    }

    /// Serves until `stop`, then drains.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Drained {
        let Self { app, driver, clients, workers, operators, .. } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        for writer in self.writers {
            tasks.spawn(writer.run());
        }
        tasks.spawn(health::watch(Arc::clone(&app), self.canary, self.questions));
        tasks.spawn(attend(Arc::clone(&app)));

        tasks.spawn(reload::watch(Arc::clone(&app), self.signals));

        let client_tasks = Arc::new(TaskTracker::new());
        let worker_tasks = Arc::new(TaskTracker::new());
        let admin_tasks = Arc::new(TaskTracker::new());
        let workers_end = CancellationToken::new();
        let end = CancellationToken::new();
        let places = Arc::new(Semaphore::new(app.edge.places.connections_max()));
        for listener in clients {
            let (app, tracker) = (Arc::clone(&app), Arc::clone(&client_tasks));
            let (stop, tracked) = (app.drain.clone(), Arc::clone(&client_tasks));
            let serve = move |stream, peer, how| {
                client::serve(Arc::clone(&app), stream, peer, how, Arc::clone(&tracker))
            };
            tasks.spawn(gate::accept(listener, Arc::clone(&places), stop, tracked, serve));
        }
        let places = Arc::new(Semaphore::new(WORKER_CONNECTIONS_MAX));
        for listener in workers {
            let (app, tracker) = (Arc::clone(&app), Arc::clone(&worker_tasks));
            let (stop, tracked) = (workers_end.clone(), Arc::clone(&worker_tasks));
            let end = workers_end.clone();
            let serve = move |stream, peer, how| {
                let (end, tracker) = (end.clone(), Arc::clone(&tracker));
                worker::serve(Arc::clone(&app), stream, peer, how, end, tracker)
            };
            tasks.spawn(gate::accept(listener, Arc::clone(&places), stop, tracked, serve));
        }
        let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
        for listener in operators {
            let (app, tracker) = (Arc::clone(&app), Arc::clone(&admin_tasks));
            let (stop, tracked) = (end.clone(), Arc::clone(&admin_tasks));
            let end = end.clone();
            let serve = move |stream, _, _| {
                admin::serve(Arc::clone(&app), stream, end.clone(), Arc::clone(&tracker))
            };
            tasks.spawn(gate::accept(listener, Arc::clone(&places), stop, tracked, serve));
        }
        activation::say_ready();

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
        activation::say_stopping();
        let drain = drain(&app, &client_tasks, &worker_tasks, &workers_end);
        let drained = match timeout(self.drain_max, drain).await {
            Ok(()) => Drained::Wholly,
            Err(_) => {
                warn!(jobs = app.driver.census().borrow().jobs, "drain deadline reached");
                Drained::AtDeadline
            }
        };
        // Operators are answered to the end: the drain is what they may want to watch.
        end.cancel();
        admin_tasks.close();
        tasks.shutdown().await;
        app.access.flush(ACCESS_FLUSH).await;
        drained
    }
}

/// Counts connections by their state, for as long as the process serves.
async fn attend(app: Arc<App>) {
    let mut looks = interval(ATTENDANCE_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        app.metrics.edge.attended(app.edge.places.attendance());
    }
}

async fn drain(
    app: &App,
    client_tasks: &TaskTracker,
    worker_tasks: &TaskTracker,
    workers_end: &CancellationToken,
) {
    app.drain.cancel();
    client_tasks.close();
    // What was on its way when the listeners closed is served as ever.
    if !app.edge.settle.is_zero() {
        let _ = timeout(app.edge.settle, client_tasks.wait()).await;
    }
    // A job that comes later, over a connection that was told to go, must not be queued.
    app.driver.drain().await;
    client_tasks.wait().await;
    // Nobody waits for a run any more, so the last of them are ending.
    app.flights.ended().await;
    app.cache.flush().await;
    app.shares.flush().await;
    workers_end.cancel();
    app.driver.release_all().await;
    worker_tasks.close();
    worker_tasks.wait().await;
}
