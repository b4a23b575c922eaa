//! Where a load balancer listens for operators.

use std::path::PathBuf;

use crate::server::{BadServer, Server};

/// A TCP address or a socket of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `http://host:port`.
    Tcp(Server),
    /// `unix:/path`.
    Unix(PathBuf),
}

/// Why a text does not say where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Neither.
    #[error("{0}, or a socket such as unix:/run/pe-lb/admin.sock")]
    Server(#[from] BadServer),
    /// A socket without a path.
    #[error("expected a path after `unix:`, such as unix:/run/pe-lb/admin.sock")]
    NoPath,
}

impl std::str::FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        match text.strip_prefix("unix:") {
            Some("") => Err(BadTarget::NoPath),
            Some(path) => Ok(Self::Unix(path.into())),
            None => Ok(Self::Tcp(text.parse()?)),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(server) => server.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_or_a_socket() {
        let shown = |text: &str| text.parse::<Target>().map(|target| target.to_string());
        for text in ["http://127.0.0.1:8082", "unix:/run/pe-lb/admin.sock", "unix:relative"] {
            assert_eq!(shown(text).as_deref(), Ok(text));
        }
        assert_eq!(shown("unix:"), Err(BadTarget::NoPath));
        for text in ["127.0.0.1:8082", "/run/pe-lb/admin.sock", ""] {
            let told = shown(text).expect_err("no target").to_string();
            assert!(told.contains("unix:/run/pe-lb/admin.sock"), "{told}");
        }
    }
}
