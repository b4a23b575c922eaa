//! Settings: a TOML file and flags, checked whole before anything happens.
//!
//! Every setting has a default that is a constant of [`crate::limits`], with its reason there.
//! What is wrong is told with file, key and reason.

mod access_log;
mod admin;
mod admission;
mod cache;
pub mod connections;
mod file;
pub mod http2;
mod images;
pub mod listen;
mod memory;
mod proxies;
pub mod shares;
mod source;
pub mod tls;
mod web;
pub mod workers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pe_proto::catalogue::Catalogue;
use pe_proto::limits::{WALL_MS_DEFAULT, WALL_MS_MAX};
use pe_proto::link::token_in;
use pe_proto::playground::Playground;
use pe_proto::{Digest, path};

use crate::core::admission::Policy;
use crate::core::broker::Terms;
use crate::core::proxies::Proxies;
use crate::core::resolve::Grants;
use crate::limits;
use crate::shell::access::Destination;
use crate::shell::edge::Patience;
use crate::shell::health::CanaryJob;
use crate::shell::site::{NotRead, Site};
use connections::Connections;
use file::File;
use http2::Http2;
use listen::{Listen, RawListens};
use tls::Identity;
use workers::WorkerSettings;

pub use admin::AdminTerms;
pub use source::Source;

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) listen: Vec<Listen>,
    pub(crate) listen_workers: Vec<Listen>,
    pub(crate) listen_admin: Vec<Listen>,
    pub(crate) tls: Option<Identity>,
    pub(crate) workers_tls: Option<Identity>,
    pub(crate) proxies: Proxies,
    pub(crate) http2: Http2,
    pub(crate) connections: Connections,
    pub(crate) catalogue: Catalogue,
    pub(crate) images_dir: PathBuf,
    pub(crate) workers: WorkerSettings,
    pub(crate) terms: Terms,
    pub(crate) grants: Grants,
    pub(crate) poll: Duration,
    pub(crate) patience: Patience,
    pub(crate) drain_max: Duration,
    pub(crate) settle: Duration,
    pub(crate) canary: CanaryJob,
    pub(crate) admission: Policy,
    pub(crate) bodies_bytes_max: usize,
    pub(crate) cache: crate::cache::Sizes,
    pub(crate) shares: shares::ShareSizes,
    pub(crate) admin: AdminTerms,
    pub(crate) access_log: Destination,
    pub(crate) site: Option<Arc<Site>>,
    /// Where all of it came from.
    pub(crate) source: Source,
}

/// What flags say; each goes before the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// See `pe-lb --help`; and so on. Of listeners, an empty list is nothing said.
    pub listen: Vec<Listen>,
    /// Where workers are listened for.
    pub listen_workers: Vec<Listen>,
    /// Where operators are, if anywhere.
    pub listen_admin: Vec<Option<Listen>>,
    /// The catalogue's file.
    pub catalogue: Option<PathBuf>,
    /// The file with the workers' token.
    pub worker_token_file: Option<PathBuf>,
    /// The directory of the built page.
    pub web: Option<PathBuf>,
    /// Wall clock of a job that asks for none.
    pub wall_ms_default: Option<u64>,
    /// The most that a job may ask for.
    pub wall_ms_max: Option<u64>,
}

impl Overrides {
    /// What flags set, by the keys of the file.
    fn given(&self) -> Vec<(String, String)> {
        let Self {
            listen,
            listen_workers,
            listen_admin,
            catalogue,
            worker_token_file,
            web,
            wall_ms_default,
            wall_ms_max,
        } = self;
        let text = |value: &Option<PathBuf>| value.as_ref().map(|path| path.display().to_string());
        [
            ("listen", listen::given(listen.iter())),
            ("listen_workers", listen::given(listen_workers.iter())),
            ("listen_admin", listen::given(listen_admin.iter().flatten())),
            ("catalogue", text(catalogue)),
            ("worker_token_file", text(worker_token_file)),
            ("web.dir", text(web)),
            ("wall_ms_default", wall_ms_default.map(|it| it.to_string())),
            ("wall_ms_max", wall_ms_max.map(|it| it.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// A file cannot be read.
    #[error("{file}: cannot be read")]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{file}: {problem}")]
    Syntax {
        /// Which.
        file: PathBuf,
        /// Where and why.
        problem: String,
    },
    /// The directory of the page has none.
    #[error("{dir}: no page that can be served: {source}")]
    Web {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: NotRead,
    },
    /// A value cannot be.
    #[error("{origin}: {key}: {problem}")]
    Value {
        /// The file, or the flags.
        origin: String,
        /// Which value.
        key: &'static str,
        /// Why.
        problem: String,
    },
}

impl Config {
    /// Reads everything that the settings name.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(file: Option<&Path>, flags: Overrides) -> Result<Self, BadConfig> {
        let text = match file {
            Some(path) => read(path)?,
            None => String::new(),
        };
        let bad = |problem| BadConfig::Syntax {
            file: file.map(Path::to_owned).unwrap_or_default(),
            problem,
        };
        let raw = File::parse(&text).map_err(bad)?;
        let mut source = Source::new(file, &text, &flags);
        let origin = file.map_or("flags".to_owned(), |path| path.display().to_string());
        let value = |key, problem: &str| BadConfig::Value {
            origin: origin.clone(),
            key,
            problem: problem.to_owned(),
        };
        let millis = |key, given: Option<u64>, default: Duration| match given {
            None => Ok(default),
            Some(0) => Err(value(key, "expected milliseconds from 1 on, got 0")),
            Some(given) => Ok(Duration::from_millis(given)),
        };
        let count = |key, given: Option<usize>, default: usize, most: usize| match given {
            None => Ok(default),
            Some(given) if (1..=most).contains(&given) => Ok(given),
            Some(given) => Err(value(key, &format!("expected 1 to {most}, got {given}"))),
        };
        let catalogue = flags
            .catalogue
            .or(raw.catalogue)
            .ok_or_else(|| value("catalogue", "expected the path of a catalogue file"))?;
        let worker_token = match flags.worker_token_file.or(raw.worker_token_file) {
            Some(path) => Some(token(&path)?),
            None => None,
        };
        let workers = raw.workers.check(worker_token, value)?;
        let site = raw.web.read(flags.web)?;
        if let Some(site) = &site {
            source.folder("web.dir", site.digest());
        }
        let admin_token = raw.admin.token_file.as_deref().map(token).transpose()?;
        let admin = raw.admin.check(admin_token);
        let admin = admin.map_err(|problem| value("admin.hosts", &problem))?;
        let bodies_bytes_max = raw.memory.check();
        let bodies_bytes_max =
            bodies_bytes_max.map_err(|problem| value("memory.bodies_bytes_max", &problem))?;
        let queue = raw.queue;
        let times = raw.times;
        let terms = Terms {
            queue_jobs_max: count(
                "queue.jobs_max",
                queue.jobs_max,
                limits::QUEUE_JOBS_MAX,
                limits::JOBS_MAX,
            )?,
            queue_wait: millis("queue.wait_ms", queue.wait_ms, limits::QUEUE_WAIT)?,
            fetch_wait: millis("queue.fetch_wait_ms", queue.fetch_wait_ms, limits::FETCH_WAIT)?,
            releases_max: limits::RELEASES_MAX,
            reports_max: limits::REPORTS_MAX,
            lease_grace: millis("times.lease_grace_ms", times.lease_grace_ms, limits::LEASE_GRACE)?,
            worker_grace: millis(
                "times.worker_grace_ms",
                times.worker_grace_ms,
                limits::WORKER_GRACE,
            )?,
            hedge: workers.hedge,
        };
        let wall_ms_max = flags.wall_ms_max.or(raw.wall_ms_max).unwrap_or(limits::WALL_MS_GRANTED);
        if !(1..=WALL_MS_MAX).contains(&wall_ms_max) {
            let problem = format!("expected 1 to {WALL_MS_MAX}, got {wall_ms_max}");
            return Err(value("wall_ms_max", &problem));
        }
        let wall_ms_default = flags
            .wall_ms_default
            .or(raw.wall_ms_default)
            .unwrap_or_else(|| WALL_MS_DEFAULT.min(wall_ms_max));
        if !(1..=wall_ms_max).contains(&wall_ms_default) {
            let problem =
                format!("expected 1 to wall_ms_max ({wall_ms_max}), got {wall_ms_default}");
            return Err(value("wall_ms_default", &problem));
        }
        let listens = |key, flags: Vec<Listen>, raw: Option<RawListens>, default| {
            let raw = raw.map(|raw| raw.parse().map_err(|bad| value(key, &bad))).transpose()?;
            Ok(if flags.is_empty() { raw.unwrap_or_else(|| vec![default]) } else { flags })
        };
        let tls = raw.tls.read()?;
        let workers_tls = raw.workers_tls.read()?;
        let listen = listens("listen", flags.listen, raw.listen, LISTEN)?;
        let listen_workers =
            listens("listen_workers", flags.listen_workers, raw.listen_workers, LISTEN_WORKERS)?;
        let is_admin_said = !flags.listen_admin.is_empty();
        let listen_admin: Vec<_> = flags.listen_admin.into_iter().flatten().collect();
        let listen_admin = if is_admin_said {
            listen_admin
        } else {
            listens("listen_admin", listen_admin, raw.listen_admin, LISTEN_ADMIN)?
        };
        for (key, all, has_tls) in [
            ("listen", &listen, tls.is_some()),
            ("listen_workers", &listen_workers, workers_tls.is_some()),
            ("listen_admin", &listen_admin, false),
        ] {
            if let Some(bare) = all.iter().find(|listen| listen.is_tls && !has_tls) {
                let section = match key {
                    "listen" => "[tls] has no certificate",
                    "listen_workers" => "[workers_tls] has no certificate",
                    _ => "there is no TLS for operators; use a unix socket, or a proxy",
                };
                return Err(value(key, &format!("`{bare}`: {section}")));
            }
            if all.is_empty() && key != "listen_admin" {
                return Err(value(key, "expected at least one listener"));
            }
        }
        let patience = Patience {
            head: millis("times.head_ms", times.head_ms, limits::HEADER_TIME)?,
            body_idle: millis("times.body_idle_ms", times.body_idle_ms, limits::BODY_IDLE)?,
            idle: millis("times.idle_ms", times.idle_ms, limits::IDLE)?,
            stall: millis("times.stall_ms", times.stall_ms, limits::WRITE_STALL)?,
            look: limits::VITALS_INTERVAL,
        };
        let canary = CanaryJob {
            image: raw.canary.image.unwrap_or_else(|| "busybox".to_owned()),
            args: raw.canary.args.unwrap_or_else(|| vec!["true".to_owned()]),
            fresh: millis("canary.fresh_ms", raw.canary.fresh_ms, limits::CANARY_FRESH)?,
        };
        let cache = raw.cache.check().map_err(|(key, problem)| value(key, &problem))?;
        let shares = raw.shares.check().map_err(|(key, problem)| value(key, &problem))?;
        // Two stores in one directory would take each other's files for lost ones.
        if let (Some((cache, _)), Some((shares, _))) = (&cache.disk, &shares.disk) {
            if shares.starts_with(cache) || cache.starts_with(shares) {
                return Err(value(
                    "shares.disk_dir",
                    "expected another directory than the cache's",
                ));
            }
        }
        Ok(Self {
            cache,
            shares,
            listen,
            listen_workers,
            listen_admin,
            tls,
            workers_tls,
            proxies: raw.proxies.read().map_err(|bad| value("proxies.trusted", &bad))?,
            http2: raw.http2.read().map_err(|bad| value("http2", &bad))?,
            connections: raw
                .connections
                .read(|key, given, default| count(key, given, default, 1_000_000))?,
            images_dir: raw.images.dir(&catalogue),
            catalogue: read_catalogue(&catalogue)?,
            workers,
            terms,
            grants: Grants { wall_ms_default, wall_ms_max },
            poll: poll(millis("times.poll_ms", times.poll_ms, limits::POLL)?)
                .ok_or_else(|| value("times.poll_ms", "expected at most 50000"))?,
            patience: Patience { look: patience.look.min(patience.stall / 2), ..patience },
            settle: times.settle_ms.map_or(limits::SETTLE, Duration::from_millis),
            drain_max: millis("times.drain_ms", times.drain_ms, limits::DRAIN)?,
            canary,
            admission: raw.admission.check(&origin)?,
            bodies_bytes_max,
            admin,
            access_log: raw.access_log.check(),
            site,
            source,
        })
    }
}

/// Where clients are listened for unless something else is set: this machine only.
const LISTEN: Listen = Listen::local(8080);
/// The same for workers.
const LISTEN_WORKERS: Listen = Listen::local(8081);
/// The same for operators.
const LISTEN_ADMIN: Listen = Listen::local(8082);

fn poll(given: Duration) -> Option<Duration> {
    (given <= limits::POLL).then_some(given)
}

fn read(path: &Path) -> Result<String, BadConfig> {
    let file = path.to_owned();
    std::fs::read_to_string(path).map_err(|source| BadConfig::Read { file, source })
}

fn token(path: &Path) -> Result<Digest, BadConfig> {
    let text = read(path)?;
    let token = token_in(&text).filter(|token| token.len() >= limits::TOKEN_BYTES_MIN);
    token.map(|token| Digest::of(token.as_bytes())).ok_or_else(|| {
        let least = limits::TOKEN_BYTES_MIN;
        let problem =
            format!("expected a token of at least {least} visible characters on the first line");
        BadConfig::Syntax { file: path.to_owned(), problem }
    })
}

fn read_catalogue(path: &Path) -> Result<Catalogue, BadConfig> {
    let bad = |problem: String| BadConfig::Syntax { file: path.to_owned(), problem };
    let catalogue: Catalogue =
        serde_json::from_str(&read(path)?).map_err(|error| bad(error.to_string()))?;
    let mut names = std::collections::BTreeSet::new();
    for image in &catalogue.images {
        if image.name.is_empty() || image.name.contains([':', '@']) {
            return Err(bad(format!(
                "image `{}`: expected a name without `:` and `@`",
                image.name
            )));
        }
        for tag in &image.tags {
            if !names.insert((&image.name, tag)) {
                return Err(bad(format!("image `{}:{tag}` is there twice", image.name)));
            }
        }
        let mut env = image.platforms.iter().flat_map(|platform| &platform.config.env);
        if let Some(pair) = env.find(|pair| !pair.contains('=') || pair.starts_with('=')) {
            return Err(bad(format!("image `{}`: env `{pair}` has no name", image.name)));
        }
        for prefix in image.platforms.iter().map(|platform| &platform.pack.prefix) {
            let wrong = if prefix.is_empty() { None } else { path::check_str(prefix).err() };
            if let Some(why) = wrong {
                return Err(bad(format!("image `{}`: pack prefix `{prefix}`: {why}", image.name)));
            }
        }
        let flaws = image.playground.iter().flat_map(Playground::check).collect::<Vec<_>>();
        if let Some((first, others)) = flaws.split_first() {
            let more = match others.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            return Err(bad(format!("image `{}`: playground{first}{more}", image.name)));
        }
    }
    Ok(catalogue)
}

#[cfg(test)]
mod tests;
