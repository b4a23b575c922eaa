//! `[access_log]`: where one line for each request goes.

use std::path::PathBuf;

use serde::Deserialize;

use crate::shell::access::Destination;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AccessLogSection {
    to: Option<PathBuf>,
}

impl AccessLogSection {
    /// `off`, `stderr`, or a file.
    pub(super) fn check(self) -> Destination {
        match self.to {
            None => Destination::Off,
            Some(path) => match path.to_str() {
                Some("off") => Destination::Off,
                Some("stderr") => Destination::Stderr,
                Some(_) | None => Destination::File(path),
            },
        }
    }
}
