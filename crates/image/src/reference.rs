//! Names of images in registries: `[host[:port]/]path[:tag][@sha256:digest]`.
//!
//! A reference decides which machine is talked to, so it is read strictly: what one program takes
//! for a name and another for an address is refused, never guessed. Pure; resolves nothing.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use pe_proto::Digest;

use crate::limits::{HOST_BYTES_MAX, HOST_LABEL_BYTES_MAX, REPOSITORY_BYTES_MAX, TAG_BYTES_MAX};

/// The registry that is meant when a reference names none.
const HUB: &str = "docker.io";

/// The tag that is meant when a reference names neither tag nor digest.
const LATEST: &str = "latest";

/// Why a text is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// Not a name of a host, nor an address.
    #[error("the host is neither a name nor an IPv4 address nor an IPv6 address in brackets")]
    Host,
    /// A number that resolvers take for an address.
    #[error("the host is a number that programs read as different addresses: write it as a.b.c.d")]
    NumericHost,
    /// Not a port.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Not a path.
    #[error(
        "the repository is not small letters and digits, with single dots, dashes or underscores \
         between them, and slashes"
    )]
    Repository,
    /// Too long a path.
    #[error("the repository is longer than {REPOSITORY_BYTES_MAX} bytes")]
    RepositoryLength,
    /// Not a tag.
    #[error("the tag is not 1 to {TAG_BYTES_MAX} letters, digits, dots, dashes and underscores")]
    Tag,
    /// Not a digest.
    #[error("the digest is not `sha256:` and 64 small hexadecimal digits")]
    Digest,
}

/// What is before the port of an authority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name for the resolver, in small letters.
    Name(String),
    /// An address as it is.
    V4(Ipv4Addr),
    /// An address as it is.
    V6(Ipv6Addr),
}

/// A host, and a port if it is not the usual one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// Which machine.
    pub host: Host,
    /// Which of its ports; that of the scheme if absent.
    pub port: Option<u16>,
}

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where it is.
    pub registry: Authority,
    /// Its path there.
    pub repository: String,
    /// Its tag: `latest` if the reference named neither tag nor digest.
    pub tag: Option<String>,
    /// What it must be, whatever the tag says.
    pub digest: Option<Digest>,
}

impl Reference {
    /// What the registry is asked for: the digest if there is one, else the tag.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => LATEST.to_owned(),
        }
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(sha256(digest)?)),
            None => (text, None),
        };
        let (registry, rest) = match named.split_once('/') {
            Some((first, rest)) if is_host(first) => (first.parse()?, rest),
            _ => (HUB.parse()?, named),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(checked_tag(tag)?)),
            None => (rest, None),
        };
        let is_hub = registry == Authority { host: Host::Name(HUB.to_owned()), port: None };
        let repository = match is_hub && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        };
        check_repository(&repository)?;
        let tag = tag.or_else(|| digest.is_none().then(|| LATEST.to_owned()));
        Ok(Self { registry, repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Authority {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']').ok_or(BadReference::Host)?;
                let address = address.parse().map_err(|_| BadReference::Host)?;
                let port = match after {
                    "" => None,
                    after => Some(after.strip_prefix(':').ok_or(BadReference::Port)?),
                };
                (Host::V6(address), port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host.parse()?, Some(port)),
                None => (text.parse()?, None),
            },
        };
        let port = port.map(checked_port).transpose()?;
        match &host {
            // The one name of the Hub that has an alias; credentials are kept under either.
            Host::Name(name) if name == "index.docker.io" && port.is_none() => HUB.parse(),
            Host::Name(_) | Host::V4(_) | Host::V6(_) => Ok(Self { host, port }),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Host {
    type Err = BadReference;

    /// A name or an IPv4 address; one of IPv6 is only known by the brackets of its authority.
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let is_label = |label: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=HOST_LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(known)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > HOST_BYTES_MAX || !text.split('.').all(is_label) {
            return Err(BadReference::Host);
        }
        let name = text.to_ascii_lowercase();
        // As browsers do: what ends in a number is an address, and resolvers read `0x7f.1`,
        // `0177.0.0.1` and `2130706433` in ways of their own.
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || last
                .strip_prefix("0x")
                .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match is_number {
            // Rust's parser takes four decimal numbers without leading zeros, and nothing else.
            true => name.parse().map(Self::V4).map_err(|_| BadReference::NumericHost),
            false => Ok(Self::Name(name)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Whether the part before the first slash names a host, by Docker's rule: it looks like one.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':', '[']) || first.eq_ignore_ascii_case("localhost")
}

fn checked_port(text: &str) -> Result<u16, BadReference> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(port) if is_plain => Ok(port),
        _ => Err(BadReference::Port),
    }
}

fn checked_tag(text: &str) -> Result<String, BadReference> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_tag = (1..=TAG_BYTES_MAX).contains(&text.len())
        && text.bytes().all(known)
        && !text.starts_with(['.', '-']);
    if is_tag { Ok(text.to_owned()) } else { Err(BadReference::Tag) }
}

/// With its prefix: 64 digits alone are a path.
fn sha256(text: &str) -> Result<Digest, BadReference> {
    match text.strip_prefix("sha256:") {
        Some(hex) if !hex.contains(':') => hex.parse().map_err(|_| BadReference::Digest),
        _ => Err(BadReference::Digest),
    }
}

/// By the grammar of the distribution specification.
fn check_repository(path: &str) -> Result<(), BadReference> {
    if path.len() > REPOSITORY_BYTES_MAX {
        return Err(BadReference::RepositoryLength);
    }
    if path.split('/').all(is_component) { Ok(()) } else { Err(BadReference::Repository) }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = |byte: Option<u8>| byte.is_some_and(is_word);
    let mut bytes = text.bytes();
    let separators = text.split(|char: char| char.is_ascii_lowercase() || char.is_ascii_digit());
    ends_well(bytes.next())
        && ends_well(text.bytes().next_back())
        && separators
            .filter(|run| !run.is_empty())
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests;
