//! `[admin]`: who may ask on the admin listener.

use std::path::PathBuf;

use pe_proto::Digest;
use serde::Deserialize;

use crate::limits::ADMIN_HOSTS_MAX;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminSection {
    pub(super) token_file: Option<PathBuf>,
    hosts: Vec<String>,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminTerms {
    /// What operators prove themselves with, if anything: the digest of their token.
    pub token: Option<Digest>,
    /// Names, in lower case, that the listener may be asked under beside addresses and
    /// `localhost`.
    pub hosts: Vec<String>,
}

impl AdminSection {
    /// # Errors
    /// What is wrong with `hosts`.
    pub(super) fn check(self, token: Option<Digest>) -> Result<AdminTerms, String> {
        if self.hosts.len() > ADMIN_HOSTS_MAX {
            return Err(format!("expected at most {ADMIN_HOSTS_MAX} names"));
        }
        for host in &self.hosts {
            if host.is_empty() || host.contains(['/', ':', ' ']) {
                return Err(format!("expected names of hosts without a port, got `{host}`"));
            }
        }
        let hosts = self.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(AdminTerms { token, hosts })
    }
}
