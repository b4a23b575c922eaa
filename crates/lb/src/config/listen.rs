//! Where it is listened, and what is spoken there: `[tls:][proxy:]ADDRESS`, where an address is
//! `IP:PORT`, `unix:/path`, or `systemd:NAME`, a socket that systemd opened (`FileDescriptorName=`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// Whether trusted peers begin with a header of the PROXY protocol.
    pub is_proxied: bool,
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and port of this host.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
    /// A socket that is there already, by its name.
    Activated(String),
}

/// What is not a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected [tls:][proxy:] and IP:PORT, unix:/PATH or systemd:NAME")]
pub struct BadListen;

impl FromStr for Listen {
    type Err = BadListen;

    fn from_str(text: &str) -> Result<Self, BadListen> {
        let (text, is_tls) = strip(text, "tls:");
        let (text, is_proxied) = strip(text, "proxy:");
        let address = if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                return Err(BadListen);
            }
            Address::Unix(path)
        } else if let Some(name) = text.strip_prefix("systemd:") {
            if name.is_empty() {
                return Err(BadListen);
            }
            Address::Activated(name.to_owned())
        } else {
            Address::Tcp(text.parse().map_err(|_| BadListen)?)
        };
        Ok(Self { address, is_tls, is_proxied })
    }
}

fn strip<'a>(text: &'a str, prefix: &str) -> (&'a str, bool) {
    text.strip_prefix(prefix).map_or((text, false), |rest| (rest, true))
}

impl Listen {
    /// A port of this machine only, in clear text.
    pub const fn local(port: u16) -> Self {
        let address = Address::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        Self { address, is_tls: false, is_proxied: false }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_tls { "tls:" } else { "" })?;
        f.write_str(if self.is_proxied { "proxy:" } else { "" })?;
        match &self.address {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Activated(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// As it is written: one, several, or none as an empty list.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum RawListens {
    One(String),
    Many(Vec<String>),
}

impl RawListens {
    /// Reads all of them.
    pub(super) fn parse(&self) -> Result<Vec<Listen>, String> {
        let texts = match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts.as_slice(),
        };
        texts.iter().map(|text| text.parse().map_err(|bad| format!("`{text}`: {bad}"))).collect()
    }
}

/// What flags said, if anything.
pub(super) fn given<'a>(listens: impl Iterator<Item = &'a Listen>) -> Option<String> {
    let all: Vec<String> = listens.map(ToString::to_string).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// What flags take: listeners, or the word `none`.
///
/// # Errors
/// It is neither.
pub fn flag(text: &str) -> Result<Option<Listen>, BadListen> {
    if text == "none" { Ok(None) } else { text.parse().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_an_address_and_what_is_spoken_there() {
        for good in [
            "127.0.0.1:8080",
            "[::]:443",
            "tls:0.0.0.0:443",
            "proxy:10.0.0.1:80",
            "tls:proxy:10.0.0.1:443",
            "unix:/run/pe/lb.sock",
            "proxy:systemd:clients",
        ] {
            assert_eq!(good.parse::<Listen>().unwrap().to_string(), good);
        }
        for bad in
            ["", "localhost:80", "127.0.0.1", "unix:lb.sock", "systemd:", "proxy:tls:1.1.1.1:1"]
        {
            assert_eq!(bad.parse::<Listen>(), Err(BadListen), "{bad}");
        }
    }
}
