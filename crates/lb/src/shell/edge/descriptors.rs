//! File descriptors: each connection is one, and the usual limit of a process is far below the
//! connections that it is set to bear.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

use crate::limits::CONNECTIONS_MAX;

/// Raises the limit of this process as far as the system lets it.
pub fn raise() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard {
        if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            debug!(%error, "limit of open files not raised");
        }
    }
    if hard < CONNECTIONS_MAX as u64 {
        warn!(files_max = hard, "fewer files may be open than there may be connections");
    }
}
