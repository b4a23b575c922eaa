//! Credentials out of Docker's `config.json` (`auths`), which Podman and skopeo share.
//!
//! Programs that keep credentials (`credsStore`, `credHelpers`) are not run: what an image's name
//! makes us start must not be decided by a file that other programs write. They are refused only
//! when they would be needed.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;

use crate::reference::{Authority, Reference};

/// Why credentials cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// Not JSON, or not of this shape. What is in it is not repeated.
    #[error("the file of credentials is not one of Docker's: it has a mistake in line {0}")]
    Json(usize),
    /// They are with a program.
    #[error(
        "the credentials for {registry} are kept by the program docker-credential-{program}, \
         which is not run; `docker login` without it, or an --auth-file, give them as text"
    )]
    Helper {
        /// Whose.
        registry: Authority,
        /// Which.
        program: String,
    },
    /// A kind that is not known.
    #[error(
        "the credentials for {0} are an identity token, and only a user and a password are known"
    )]
    Kind(Authority),
    /// Not Base64 of `user:password`.
    #[error("the credentials for {0} are not `user:password` in Base64")]
    Encoding(Authority),
}

/// Credentials of several registries.
#[derive(Clone, Default)]
pub struct Credentials {
    entries: Vec<(Authority, String, Entry)>,
    store: Option<String>,
    helpers: BTreeMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

/// A user and a password, as `Authorization` has them.
#[derive(Clone)]
pub(super) struct Basic(HeaderValue);

impl Credentials {
    /// Reads the bytes of a `config.json`.
    ///
    /// # Errors
    /// It is not one.
    pub fn read(bytes: &[u8]) -> Result<Self, BadCredentials> {
        let file: File =
            serde_json::from_slice(bytes).map_err(|why| BadCredentials::Json(why.line()))?;
        let entries = file.auths.into_iter().filter_map(|(key, entry)| {
            let (registry, path) = key_parts(&key)?;
            Some((registry, path, entry))
        });
        Ok(Self { entries: entries.collect(), store: file.store, helpers: file.helpers })
    }

    /// What there is for an image: of several entries, the one that names most of its path.
    pub(super) fn find(&self, image: &Reference) -> Result<Option<Basic>, BadCredentials> {
        let registry = &image.registry;
        let helper = self.helpers.iter().find(|(key, _)| {
            key_parts(key).is_some_and(|(known, path)| known == *registry && path.is_empty())
        });
        if let Some((_, program)) = helper {
            let program = super::super::document::printable(program);
            return Err(BadCredentials::Helper { registry: registry.clone(), program });
        }
        let covers = |path: &str| {
            let rest = image.repository.strip_prefix(path);
            path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let fitting =
            self.entries.iter().filter(|(known, path, _)| known == registry && covers(path));
        let Some((_, _, entry)) = fitting.max_by_key(|(_, path, _)| path.len()) else {
            return Ok(None);
        };
        match (entry.basic(registry)?, &self.store) {
            (None, Some(program)) => {
                let program = super::super::document::printable(program);
                Err(BadCredentials::Helper { registry: registry.clone(), program })
            }
            (basic, _) => Ok(basic),
        }
    }
}

impl Entry {
    fn basic(&self, registry: &Authority) -> Result<Option<Basic>, BadCredentials> {
        if !self.identitytoken.is_empty() || !self.registrytoken.is_empty() {
            return Err(BadCredentials::Kind(registry.clone()));
        }
        let bad = || BadCredentials::Encoding(registry.clone());
        let text = match (self.auth.as_str(), self.username.as_str()) {
            ("", "") => return Ok(None),
            ("", user) => format!("{user}:{}", self.password),
            (auth, _) => {
                let bytes = STANDARD.decode(auth).map_err(|_| bad())?;
                // Docker once wrote NULs behind it.
                String::from_utf8(bytes).map_err(|_| bad())?.trim_end_matches('\0').to_owned()
            }
        };
        if !text.contains(':') {
            return Err(bad());
        }
        let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(text)));
        let mut value = value.map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok(Some(Basic(value)))
    }
}

impl Basic {
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Registry and path of a key: `registry`, `registry/path`, `https://registry/v1/`.
fn key_parts(key: &str) -> Option<(Authority, String)> {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    Some((authority.parse().ok()?, path.to_owned()))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registries =
            self.entries.iter().map(|(registry, path, _)| format!("{registry}/{path}"));
        f.debug_list().entries(registries).finish()
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Basic(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, image: &str) -> Result<Option<String>, BadCredentials> {
        let image = image.parse().expect("a reference");
        let basic = Credentials::read(json.as_bytes())?.find(&image)?;
        Ok(basic.map(|basic| {
            let value = basic.header();
            let text = value.to_str().expect("text").strip_prefix("Basic ").expect("Basic");
            String::from_utf8(STANDARD.decode(text).expect("Base64")).expect("text")
        }))
    }

    #[test]
    fn credentials_are_found_by_registry_and_path() {
        let json = format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{}"}},
                "registry:5000": {{"auth": "{}"}},
                "registry:5000/team": {{"username": "team", "password": "b:c"}},
                "other.example": {{}}
            }}, "HttpHeaders": {{}}}}"#,
            STANDARD.encode("me:secret"),
            STANDARD.encode("all:a\0\0"),
        );
        let check = |image: &str, expected: Option<&str>| {
            assert_eq!(found(&json, image), Ok(expected.map(str::to_owned)), "{image}");
        };
        check("gcc", Some("me:secret"));
        check("registry:5000/x", Some("all:a"));
        check("registry:5000/team/x", Some("team:b:c"));
        check("registry:5000/teams/x", Some("all:a"));
        // Another port is another registry.
        check("registry:5001/x", None);
        check("other.example/x", None);
        check("unknown.example/x", None);
    }

    #[test]
    fn what_a_program_keeps_is_refused_only_where_it_is_needed() {
        let json = r#"{"auths": {"a.example": {}}, "credsStore": "desktop",
            "credHelpers": {"b.example": "gcloud"}}"#;
        let check = |image: &str, expected: Option<&str>| match (found(json, image), expected) {
            (Ok(None), None) => {}
            (Err(BadCredentials::Helper { program, .. }), Some(expected)) => {
                assert_eq!(program, expected);
            }
            (found, _) => panic!("{image}: {found:?}"),
        };
        check("a.example/x", Some("desktop"));
        check("b.example/x", Some("gcloud"));
        check("c.example/x", None);
        for (entry, is_kind) in
            [(r#"{"identitytoken": "x"}"#, true), (r#"{"auth": "!!!!"}"#, false)]
        {
            let json = format!(r#"{{"auths": {{"a.example": {entry}}}}}"#);
            match found(&json, "a.example/x") {
                Err(BadCredentials::Kind(_)) if is_kind => {}
                Err(BadCredentials::Encoding(_)) if !is_kind => {}
                other => panic!("{entry}: {other:?}"),
            }
        }
        assert_eq!(found("{\n\"auths\": 1}", "gcc"), Err(BadCredentials::Json(2)));
    }

    #[test]
    fn no_secret_is_printed() {
        let json = format!(
            r#"{{"auths": {{"a.example": {{"auth": "{}"}}}}}}"#,
            STANDARD.encode("u:secret")
        );
        let credentials = Credentials::read(json.as_bytes()).expect("credentials");
        let basic = credentials.find(&"a.example/x".parse().expect("a reference"));
        let shown = format!("{credentials:?} {basic:?}");
        assert!(
            !shown.contains("secret") && !shown.contains(&STANDARD.encode("u:secret")),
            "{shown}"
        );
        assert!(shown.contains("a.example"));
    }
}
