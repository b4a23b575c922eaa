//! `[images]`: where the packs are that workers may fetch.

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Images {
    dir: Option<PathBuf>,
}

impl Images {
    /// The directory with `packs/`: that of the catalogue, unless another is set.
    pub(super) fn dir(self, catalogue: &Path) -> PathBuf {
        let beside = || catalogue.parent().unwrap_or(Path::new("")).to_owned();
        self.dir.unwrap_or_else(beside)
    }
}
