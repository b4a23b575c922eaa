//! URLs that we ask, and those that we are sent to.

use http::Uri;

use crate::reference::Authority;

use super::super::document::printable;
use super::error::BadTurn;
use super::policy::Endpoint;

/// A URL of http or https, without a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) endpoint: Endpoint,
    pub(super) uri: Uri,
}

impl Url {
    /// A path at an endpoint of ours.
    pub(super) fn at(endpoint: &Endpoint, path: &str) -> Result<Self, BadTurn> {
        Self::read(&format!("{endpoint}{path}"))
    }

    /// Reads an absolute URL.
    pub(super) fn read(text: &str) -> Result<Self, BadTurn> {
        // A fragment is the browser's business, and the parser drops it silently.
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|_| BadTurn::Url)?;
        Ok(Self { endpoint: endpoint(&uri).ok_or(BadTurn::Url)?, uri })
    }

    /// What a `Location` means that was found here: a URL, or a path of this server.
    pub(super) fn join(&self, location: &str) -> Result<Self, BadTurn> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Self::at(&self.endpoint, location);
        }
        Self::read(location)
    }

    /// For errors: without the query, where storage puts its signatures.
    pub(super) fn shown(&self) -> String {
        printable(&format!("{}{}", self.endpoint, self.uri.path()))
    }
}

/// Where a URI leads, if it is one of ours: http or https, a plain host, nobody's name before it.
pub(super) fn endpoint(uri: &Uri) -> Option<Endpoint> {
    let tls = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority: Authority = uri.authority()?.as_str().parse().ok()?;
    Some(Endpoint::new(authority, tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_24_urls_have_plain_hosts() {
        let check = |text: &str, expected: Option<&str>| {
            let read = Url::read(text).ok().map(|url| url.endpoint.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("https://a.example/x?y#z", Some("https://a.example:443"));
        check("http://a.example:5000/x", Some("http://a.example:5000"));
        check("https://[::1]/x", Some("https://[::1]:443"));
        for bad in [
            "ftp://a.example/x",
            "file:///etc/passwd",
            "https://user:password@a.example/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://a.example\\@b.example/x",
            "//a.example/x",
            "x",
            "",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_location_is_a_url_or_a_path() {
        let here = Url::read("https://a.example/v2/x").expect("a URL");
        let check = |location: &str, expected: Option<&str>| {
            let joined = here.join(location).ok().map(|url| url.uri.to_string());
            assert_eq!(joined.as_deref(), expected, "{location}");
        };
        check("/y?z=1", Some("https://a.example:443/y?z=1"));
        check("https://b.example/y", Some("https://b.example/y"));
        check("//b.example/y", None);
        check("y", None);
    }
}
