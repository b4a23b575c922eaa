//! Where the server is: `--server` taken apart and checked before anything is done.

use http::Uri;

/// A server that requests can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `host:port`, to connect to.
    pub address: String,
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// For the `host` header.
    pub authority: String,
    /// Path that every request path is appended to; empty, or `/prefix`.
    pub base_path: String,
}

/// Why a text does not say where a server is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadServer {
    /// Anything else.
    #[error("expected a URL such as http://127.0.0.1:8080")]
    NotAUrl,
    /// A name and a password in the URL.
    #[error("a user name or password in the URL is not supported")]
    Credentials,
}

impl Server {
    /// The host alone, which a certificate must name.
    pub fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        host.trim_matches(['[', ']'])
    }
}

impl std::str::FromStr for Server {
    type Err = BadServer;

    fn from_str(text: &str) -> Result<Self, BadServer> {
        let not_a_url = || BadServer::NotAUrl;
        let uri: Uri = text.parse().map_err(|_| not_a_url())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(not_a_url()),
        };
        let authority = uri.authority().ok_or_else(not_a_url)?;
        if authority.as_str().contains('@') {
            return Err(BadServer::Credentials);
        }
        if authority.host().is_empty() || uri.query().is_some() {
            return Err(not_a_url());
        }
        Ok(Self {
            address: format!(
                "{}:{}",
                authority.host(),
                authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 })
            ),
            is_tls,
            authority: authority.as_str().to_owned(),
            base_path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Server {
    /// The one on this machine that `make demo` starts.
    pub fn local() -> Self {
        let address = "127.0.0.1:8080".to_owned();
        Self { authority: address.clone(), address, is_tls: false, base_path: String::new() }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.base_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let check = |text: &str, address: &str, base_path: &str| {
            let server: Server = text.parse().expect(text);
            assert_eq!((server.address.as_str(), server.base_path.as_str()), (address, base_path));
        };
        check("http://127.0.0.1:8080", "127.0.0.1:8080", "");
        check("http://example.org/", "example.org:80", "");
        check("http://[::1]:9/pe/", "[::1]:9", "/pe");
        check("https://example.org/pe", "example.org:443", "/pe");
        let server: Server = "https://[::1]:9".parse().expect("a URL");
        assert_eq!((server.host(), server.to_string()), ("::1", "https://[::1]:9".into()));
    }

    #[test]
    fn what_is_no_server_is_said_plainly() {
        let check = |text: &str, bad: BadServer| assert_eq!(text.parse::<Server>(), Err(bad));
        check("http://me:secret@example.org", BadServer::Credentials);
        for text in ["", "127.0.0.1:8080", "localhost", "ftp://x", "http://x/?q", "http://", "/x"] {
            check(text, BadServer::NotAUrl);
        }
    }
}
