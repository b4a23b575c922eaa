//! Which registries may be asked, and what each may send us to. A rule a registry; what no rule
//! names is not asked.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::reference::{Authority, BadReference, Host};

/// A host, a port and whether it speaks TLS: what a connection goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The host, and always a port.
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Endpoint {
    pub(super) fn new(authority: Authority, tls: bool) -> Self {
        let port = authority.port.unwrap_or(if tls { 443 } else { 80 });
        Self { host: authority.host, port, tls }
    }

    pub(super) fn authority(&self) -> Authority {
        Authority { host: self.host.clone(), port: Some(self.port) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// A registry that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As references name it.
    pub(super) registry: Authority,
    /// Where its API is.
    pub(super) api: Authority,
    /// Where its tokens are from, beside the API itself.
    pub(super) realms: Vec<Authority>,
    /// Where its blobs are, beside the API itself and hosts of the public network.
    pub(super) storage: Vec<Authority>,
    /// Clear text.
    pub(super) plain: bool,
    /// Loopback and private addresses.
    pub(super) private: bool,
    /// Whom to believe in place of the system's authorities.
    pub(super) ca: Option<PathBuf>,
}

/// The registries that may be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// Why a file of rules is not one.
#[derive(Debug, thiserror::Error)]
pub enum BadPolicy {
    /// Not TOML, or not of this shape.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// Not a host.
    #[error("`{text}` is not a registry: {why}")]
    Host {
        /// What was given.
        text: String,
        /// Why.
        why: BadReference,
    },
    /// Two rules.
    #[error("{0} has two rules")]
    Twice(Authority),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    registry: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    host: String,
    api: Option<String>,
    #[serde(default)]
    realms: Vec<String>,
    #[serde(default)]
    storage: Vec<String>,
    #[serde(default)]
    http: bool,
    #[serde(default)]
    private: bool,
    ca: Option<PathBuf>,
}

/// Large public registries: their hosts, and those of their tokens if they are others.
const WELL_KNOWN: [(&str, &[&str]); 8] = [
    ("docker.io", &["auth.docker.io"]),
    ("ghcr.io", &[]),
    ("quay.io", &[]),
    ("gcr.io", &[]),
    ("public.ecr.aws", &[]),
    ("mcr.microsoft.com", &[]),
    ("registry.k8s.io", &[]),
    ("registry.gitlab.com", &["gitlab.com"]),
];

/// Docker's registry is not where its name is.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

impl Policy {
    /// The large public registries.
    pub fn well_known() -> Self {
        let rule = |(host, realms): &(&str, &[&str])| {
            let mut rule = Rule::public(host.parse().ok()?);
            if *host == HUB.0 {
                rule.api = HUB.1.parse().ok()?;
            }
            rule.realms = realms.iter().filter_map(|realm| realm.parse().ok()).collect();
            Some(rule)
        };
        Self { rules: WELL_KNOWN.iter().filter_map(rule).collect() }
    }

    /// The rules of a file, and no others.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, BadPolicy> {
        let mut policy = Self::default();
        for raw in toml::from_str::<File>(text)?.registry {
            let rule = Rule::read(raw)?;
            if policy.rule(&rule.registry).is_some() {
                return Err(BadPolicy::Twice(rule.registry));
            }
            policy.rules.push(rule);
        }
        Ok(policy)
    }

    /// One more; it replaces a rule for the same registry.
    pub fn allow(&mut self, rule: Rule) {
        self.rules.retain(|each| each.registry != rule.registry);
        self.rules.push(rule);
    }

    /// The rule for a registry.
    pub(super) fn rule(&self, registry: &Authority) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.registry == *registry)
    }
}

impl Rule {
    /// A registry of the public network, over TLS, which gives its tokens itself.
    pub fn public(registry: Authority) -> Self {
        Self {
            api: registry.clone(),
            registry,
            realms: Vec::new(),
            storage: Vec::new(),
            plain: false,
            private: false,
            ca: None,
        }
    }

    /// A registry of this machine or network, in clear text.
    pub fn local(registry: Authority) -> Self {
        Self { plain: true, private: true, ..Self::public(registry) }
    }

    /// Takes tokens from there as well.
    #[must_use]
    pub fn with_realm(mut self, realm: Authority) -> Self {
        self.realms.push(realm);
        self
    }

    /// Its blobs may be there as well, as if it were the registry itself.
    #[must_use]
    pub fn with_storage(mut self, storage: Authority) -> Self {
        self.storage.push(storage);
        self
    }

    fn read(raw: RawRule) -> Result<Self, BadPolicy> {
        let read = |text: &String| match text.parse() {
            Ok(authority) => Ok(authority),
            Err(why) => Err(BadPolicy::Host { text: text.clone(), why }),
        };
        let registry: Authority = read(&raw.host)?;
        Ok(Self {
            api: raw.api.as_ref().map(read).transpose()?.unwrap_or_else(|| registry.clone()),
            registry,
            realms: raw.realms.iter().map(read).collect::<Result<_, _>>()?,
            storage: raw.storage.iter().map(read).collect::<Result<_, _>>()?,
            plain: raw.http,
            private: raw.private,
            ca: raw.ca,
        })
    }

    /// Where its API is.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.api.clone(), !self.plain)
    }

    /// Whether credentials may go there: the API, or where the rule says tokens are from.
    pub(super) fn is_realm(&self, endpoint: &Endpoint) -> bool {
        (endpoint.tls || self.plain)
            && std::iter::once(&self.api).chain(&self.realms).any(|known| is_at(endpoint, known))
    }

    /// Whether the rule names it, for whatever.
    pub(super) fn names(&self, endpoint: &Endpoint) -> bool {
        let all = std::iter::once(&self.api).chain(&self.realms).chain(&self.storage);
        all.into_iter().any(|known| is_at(endpoint, known))
    }
}

fn is_at(endpoint: &Endpoint, known: &Authority) -> bool {
    *endpoint == Endpoint::new(known.clone(), endpoint.tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Authority {
        text.parse().expect("an authority")
    }

    #[test]
    fn the_well_known_registries_are_all_there() {
        let policy = Policy::well_known();
        assert_eq!(policy.rules.len(), WELL_KNOWN.len());
        let hub = policy.rule(&authority("docker.io")).expect("a rule");
        assert_eq!(hub.endpoint().to_string(), "https://registry-1.docker.io:443");
        assert!(hub.is_realm(&Endpoint::new(authority("auth.docker.io"), true)));
        assert!(!hub.is_realm(&Endpoint::new(authority("auth.docker.io"), false)));
        assert!(!hub.is_realm(&Endpoint::new(authority("auth.docker.io:444"), true)));
    }

    #[test]
    fn rules_are_read_from_a_file_that_says_nothing_unknown() {
        let policy = Policy::read(
            "[[registry]]\nhost = \"registry:5000\"\nhttp = true\nprivate = true\n\
             realms = [\"auth:5001\"]\nstorage = [\"minio:9000\"]\n",
        );
        let expected = Rule::local(authority("registry:5000"))
            .with_realm(authority("auth:5001"))
            .with_storage(authority("minio:9000"));
        assert_eq!(policy.expect("rules").rules, [expected]);
        for bad in [
            "[[registry]]\nhost = \"a b\"",
            "[[registry]]\nhost = \"a.example\"\ninsecure = true",
            "[[registry]]\nhost = \"a.example\"\n[[registry]]\nhost = \"A.example\"",
            "[[registry]]",
        ] {
            assert!(Policy::read(bad).is_err(), "{bad}");
        }
        assert_eq!(Policy::read("").expect("no rules"), Policy::default());
    }
}
