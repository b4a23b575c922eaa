//! What the argument of `pe replay` names (`protocol.md 8.11`).
//!
//! ```text
//! http://server/s/ID        the server's share       /s/ID        the same, of --server
//! http://server/embed/s/ID  the same                 FILE         a state as JSON
//! http://server/#s=STATE    the state itself         #s=STATE     the state itself
//! http://server/embed#s=..  the same
//! ```

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::{Decompress, FlushDecompress, Status};

use crate::limits::STATE_BYTES_MAX;
use crate::server::Server;

/// What is made room for at a time.
const UNPACKED_AT_ONCE: usize = 64 * 1024;

/// Characters of a share's name.
const ID_CHARS: usize = 22;

/// A link, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The server that it leads to, if it is whole.
    pub server: Option<Server>,
    /// Where the state is.
    pub place: Place,
}

/// Where a state is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// With the server, under this name.
    Share(String),
    /// In the link: its JSON.
    Here(Vec<u8>),
    /// In a file.
    File(PathBuf),
}

/// Why an argument is no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    /// A URL that leads elsewhere.
    #[error(
        "`{0}` is no link of the page: those end in /s/ and a name of 22 characters, or have #s="
    )]
    Elsewhere(String),
    /// The part after `#s=`.
    #[error("the state in the link is damaged: {0}. Was all of the link copied?")]
    Damaged(String),
    /// It unpacks to more than any state has.
    #[error("the state in the link is larger than {STATE_BYTES_MAX} bytes")]
    TooLarge,
}

impl Link {
    /// Takes an argument apart.
    ///
    /// # Errors
    /// It is a URL, but of nothing that the page has.
    pub fn parse(text: &str) -> Result<Self, BadLink> {
        let (before, hash) = match text.split_once("#s=") {
            Some((before, hash)) => (before, Some(hash)),
            None => (text, None),
        };
        let (origin, path) = split(before);
        if let Some(hash) = hash {
            let base = path.trim_end_matches('/');
            let base = base.strip_suffix("/embed").unwrap_or(base);
            let server = server(origin, base).ok_or_else(|| elsewhere(text))?;
            return Ok(Self { server, place: Place::Here(unpack(hash)?) });
        }
        match path.rsplit_once("/s/") {
            Some((base, id)) if is_id(id) => {
                let base = base.strip_suffix("/embed").unwrap_or(base);
                let server = server(origin, base).ok_or_else(|| elsewhere(text))?;
                Ok(Self { server, place: Place::Share(id.to_owned()) })
            }
            _ if origin.is_some() => Err(elsewhere(text)),
            _ => Ok(Self { server: None, place: Place::File(text.into()) }),
        }
    }
}

/// Scheme and authority of a URL, if it is one, and what follows.
fn split(text: &str) -> (Option<&str>, &str) {
    let Some((scheme, rest)) = text.split_once("://") else {
        return (None, text);
    };
    let slash = rest.find('/').unwrap_or(rest.len());
    text.split_at_checked(scheme.len() + 3 + slash).map_or((None, text), |(a, b)| (Some(a), b))
}

/// The server, if an origin is given and is one; `None` if it is not one.
fn server(origin: Option<&str>, base: &str) -> Option<Option<Server>> {
    match origin {
        None => Some(None),
        Some(origin) => format!("{origin}{base}").parse().ok().map(Some),
    }
}

fn elsewhere(text: &str) -> BadLink {
    let short: String = text.chars().take(100).collect();
    BadLink::Elsewhere(crate::words::printable(&short))
}

fn is_id(id: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    id.len() == ID_CHARS && id.bytes().all(is_fine)
}

/// Base64url of raw DEFLATE, to JSON; never to more than a state may have.
fn unpack(hash: &str) -> Result<Vec<u8>, BadLink> {
    let damaged = |why: String| BadLink::Damaged(why);
    let packed = URL_SAFE_NO_PAD.decode(hash.trim_end_matches('='));
    let packed = packed.map_err(|bad| damaged(bad.to_string()))?;
    let mut unpacker = Decompress::new(false);
    let mut state = Vec::new();
    loop {
        let before = (unpacker.total_in(), state.len());
        let left = usize::try_from(before.0).ok().and_then(|at| packed.get(at..));
        state.reserve(UNPACKED_AT_ONCE);
        let left = left.unwrap_or_default();
        let status = unpacker.decompress_vec(left, &mut state, FlushDecompress::None);
        let status = status.map_err(|bad| damaged(bad.to_string()))?;
        if state.len() > STATE_BYTES_MAX {
            return Err(BadLink::TooLarge);
        }
        if status == Status::StreamEnd {
            break;
        }
        if before == (unpacker.total_in(), state.len()) {
            return Err(damaged("it is cut off".to_owned()));
        }
    }
    if unpacker.total_in() != packed.len() as u64 {
        return Err(damaged("there is more behind it".to_owned()));
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    const ID: &str = "RBNvo1WzZ4oRRq0W9-hknp";

    fn packed(state: &[u8]) -> String {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
        packer.write_all(state).expect("memory");
        URL_SAFE_NO_PAD.encode(packer.finish().expect("memory"))
    }

    #[test]
    fn every_form_of_a_link_is_understood() {
        let state = Place::Here(b"{}".to_vec());
        let hash = packed(b"{}");
        let check = |text: &str, server: Option<&str>, place: &Place| {
            let link = Link::parse(text).expect(text);
            assert_eq!(link.server.map(|server| server.to_string()).as_deref(), server, "{text}");
            assert_eq!(&link.place, place, "{text}");
        };
        let share = Place::Share(ID.to_owned());
        check(&format!("http://a.example:8080/s/{ID}"), Some("http://a.example:8080"), &share);
        check(&format!("https://a.example/embed/s/{ID}"), Some("https://a.example"), &share);
        check(&format!("https://a.example/pe/s/{ID}"), Some("https://a.example/pe"), &share);
        check(&format!("/s/{ID}"), None, &share);
        check(&format!("http://[::1]:8080/#s={hash}"), Some("http://[::1]:8080"), &state);
        check(&format!("http://a.example#s={hash}"), Some("http://a.example"), &state);
        check(&format!("http://a.example/embed#s={hash}"), Some("http://a.example"), &state);
        check(&format!("http://a.example/pe/embed#s={hash}"), Some("http://a.example/pe"), &state);
        check(&format!("#s={hash}"), None, &state);
        check("state.json", None, &Place::File("state.json".into()));
        check("./s/state.json", None, &Place::File("./s/state.json".into()));
    }

    #[test]
    fn what_leads_elsewhere_or_is_damaged_is_refused() {
        for text in [
            "http://a.example/",
            "http://a.example/s/short",
            "ftp://a.example/s/RBNvo1WzZ4oRRq0W9-hknp",
        ] {
            assert!(matches!(Link::parse(text), Err(BadLink::Elsewhere(_))), "{text}");
        }
        for hash in ["", "%", "AAAA*", "____"] {
            let refused = Link::parse(&format!("#s={hash}"));
            assert!(matches!(refused, Err(BadLink::Damaged(_))), "{hash}: {refused:?}");
        }
        let whole = packed(br#"{"v":1,"image":"busybox"}"#);
        for end in 0..whole.len() {
            let part = whole.get(..end).expect("ASCII");
            let refused = Link::parse(&format!("#s={part}"));
            assert!(matches!(refused, Err(BadLink::Damaged(_))), "cut at {end}: {refused:?}");
        }
    }

    #[test]
    fn a_small_link_never_becomes_a_large_state() {
        let bomb = packed(&vec![b' '; STATE_BYTES_MAX + 1]);
        assert!(bomb.len() < 100_000);
        assert_eq!(Link::parse(&format!("#s={bomb}")), Err(BadLink::TooLarge));
    }
}
