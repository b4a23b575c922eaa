//! `[web]`: the page that was built.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::BadConfig;
use crate::shell::site::Site;

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawWeb {
    dir: Option<PathBuf>,
}

impl RawWeb {
    /// Reads the directory that a flag names, or else the file; none is named, none is served.
    pub(super) fn read(self, flag: Option<PathBuf>) -> Result<Option<Arc<Site>>, BadConfig> {
        let Some(dir) = flag.or(self.dir) else {
            return Ok(None);
        };
        match Site::read(&dir) {
            Ok(site) => Ok(Some(Arc::new(site))),
            Err(source) => Err(BadConfig::Web { dir, source }),
        }
    }
}
