//! What browsers are told about each file of the page: what it is, how long it may be kept, and
//! what it may do (`protocol.md 8.12`).
//!
//! Output of jobs never becomes a part of the page. What is to be looked at is posted into
//! `/sandbox`, which by its own policy has an origin that is nobody's, wherever it is opened: it
//! can read nothing of the page, of its storage, or of the network.

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderName, VARY};
use http::{HeaderMap, HeaderValue};

use crate::shell::pages;

/// The page itself. Frames are `/sandbox`, and pictures and sounds that are made of bytes.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                    img-src 'self' blob: data:; font-src 'self'; media-src blob:; \
                    frame-src 'self' blob:; worker-src 'self'; manifest-src 'self'; \
                    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The same, in a frame of any site.
const EMBED: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                     img-src 'self' blob: data:; font-src 'self'; media-src blob:; \
                     frame-src 'self' blob:; worker-src 'self'; base-uri 'none'; \
                     form-action 'none'; frame-ancestors *";

/// Where output is looked at. Any site may be around it, as any may be around `/embed`. Styles of
/// the output are its own affair; scripts are ours alone, and nothing may be loaded or sent.
const SANDBOX: &str = "sandbox allow-scripts; default-src 'none'; script-src 'self'; \
                       style-src 'self' 'unsafe-inline'; img-src blob: data:; \
                       media-src blob: data:; font-src 'self' data:; worker-src 'self' blob:; \
                       base-uri 'none'; form-action 'none'; frame-ancestors *";

/// A script; the policy is that of a worker that is made of it.
const SCRIPT: &str = "default-src 'none'; script-src 'self'; connect-src 'self'";

/// Anything else, should somebody open it by itself.
const REST: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// Where a browser says what it asks for.
pub(crate) const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// A file by what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Page,
    Embed,
    Sandbox,
    Script,
    Rest,
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        match name.rsplit_once('.') {
            _ if name == "sandbox.html" => Self::Sandbox,
            _ if name == "embed.html" => Self::Embed,
            Some((_, "html")) => Self::Page,
            Some((_, "js" | "mjs")) => Self::Script,
            Some(_) | None => Self::Rest,
        }
    }

    fn policy(self) -> &'static str {
        match self {
            Self::Page => PAGE,
            Self::Embed => EMBED,
            Self::Sandbox => SANDBOX,
            Self::Script => SCRIPT,
            Self::Rest => REST,
        }
    }
}

/// Of every answer with a file.
pub(super) fn headers(name: &str, kind: Kind) -> HeaderMap {
    let mut headers = pages::headers(media_type(name), Some(kind.policy()));
    let is_hashed = name.starts_with("assets/");
    if is_hashed {
        let for_ever = "public, max-age=31536000, immutable";
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(for_ever));
    }
    match kind {
        // No window of another site has a handle on it.
        Kind::Page => {
            headers.insert(OPENER, HeaderValue::from_static("same-origin"));
            headers.insert(RESOURCE, HeaderValue::from_static("same-origin"));
        }
        Kind::Embed => {
            headers.insert(RESOURCE, HeaderValue::from_static("cross-origin"));
        }
        Kind::Sandbox => {
            headers.insert(OPENER, HeaderValue::from_static("same-origin"));
            headers.insert(RESOURCE, HeaderValue::from_static("cross-origin"));
            headers.insert(VARY, HeaderValue::from_static("accept-encoding, sec-fetch-dest"));
        }
        // The sandbox's origin is nobody's, so to it our own files are another origin's. They are
        // the same for everybody.
        Kind::Script | Kind::Rest => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(RESOURCE, HeaderValue::from_static("cross-origin"));
        }
    }
    if matches!(kind, Kind::Page | Kind::Embed | Kind::Sandbox) {
        let none = "camera=(), microphone=(), geolocation=(), payment=(), usb=()";
        headers.insert(PERMISSIONS, HeaderValue::from_static(none));
    }
    headers
}

fn media_type(name: &str) -> HeaderValue {
    let guess = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    let is_text = guess.starts_with("text/");
    HeaderValue::from_static(match guess {
        "application/javascript" | "text/javascript" => "text/javascript; charset=utf-8",
        "text/html" => "text/html; charset=utf-8",
        "text/css" => "text/css; charset=utf-8",
        _ if is_text => "text/plain; charset=utf-8",
        _ if name.ends_with(".webmanifest") => "application/manifest+json",
        other => other,
    })
}
