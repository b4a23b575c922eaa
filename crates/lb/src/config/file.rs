//! The TOML file as it is written.

use std::path::PathBuf;

use serde::Deserialize;

use super::access_log::AccessLogSection;
use super::admin::AdminSection;
use super::admission::Admission;
use super::cache;
use super::connections::RawConnections;
use super::http2::RawHttp2;
use super::images::Images;
use super::listen::RawListens;
use super::memory::Memory;
use super::proxies::RawProxies;
use super::tls::{RawTls, RawWorkersTls};
use super::web::RawWeb;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Option<RawListens>,
    pub(super) listen_workers: Option<RawListens>,
    pub(super) listen_admin: Option<RawListens>,
    pub(super) catalogue: Option<PathBuf>,
    pub(super) worker_token_file: Option<PathBuf>,
    pub(super) wall_ms_default: Option<u64>,
    pub(super) wall_ms_max: Option<u64>,
    pub(super) connections: RawConnections,
    pub(super) http2: RawHttp2,
    pub(super) proxies: RawProxies,
    pub(super) tls: RawTls,
    pub(super) workers_tls: RawWorkersTls,
    pub(super) images: Images,
    pub(super) queue: Queue,
    pub(super) times: Times,
    pub(super) canary: Canary,
    pub(super) admission: Admission,
    pub(super) memory: Memory,
    pub(super) workers: super::workers::Workers,
    pub(super) cache: cache::Raw,
    pub(super) shares: super::shares::Raw,
    pub(super) admin: AdminSection,
    pub(super) access_log: AccessLogSection,
    pub(super) web: RawWeb,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Queue {
    pub(super) jobs_max: Option<usize>,
    pub(super) wait_ms: Option<u64>,
    pub(super) fetch_wait_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Times {
    pub(super) poll_ms: Option<u64>,
    pub(super) lease_grace_ms: Option<u64>,
    pub(super) worker_grace_ms: Option<u64>,
    pub(super) head_ms: Option<u64>,
    pub(super) body_idle_ms: Option<u64>,
    pub(super) idle_ms: Option<u64>,
    pub(super) stall_ms: Option<u64>,
    pub(super) drain_ms: Option<u64>,
    pub(super) settle_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Canary {
    pub(super) image: Option<String>,
    pub(super) args: Option<Vec<String>>,
    pub(super) fresh_ms: Option<u64>,
}

impl File {
    /// Reads a file's text; what is wrong is told with line and key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}
