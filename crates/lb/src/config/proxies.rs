//! `[proxies]`: who is believed about where requests come from.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::core::proxies::{Believed, Proxies};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawProxies {
    trusted: Vec<String>,
    trust_unix: bool,
    header: RawHeader,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawHeader {
    None,
    #[default]
    XForwardedFor,
    Forwarded,
}

impl RawProxies {
    pub(super) fn read(self) -> Result<Proxies, String> {
        let trusted: Result<Vec<IpNet>, String> =
            self.trusted.iter().map(|text| net(text)).collect();
        let believed = match self.header {
            RawHeader::None => Believed::Nothing,
            RawHeader::XForwardedFor => Believed::XForwardedFor,
            RawHeader::Forwarded => Believed::Forwarded,
        };
        Ok(Proxies { trusted: trusted?, trust_local: self.trust_unix, believed })
    }
}

/// A network, or one address.
fn net(text: &str) -> Result<IpNet, String> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| one())
        .map_err(|_| format!("`{text}`: expected an address or a network such as 10.0.0.0/8"))
}
