//! One thing that is served from memory: its bytes, packed once in each way that pays, and the
//! headers that go with them.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use pe_proto::Digest;

use crate::cache::derive::{Effort, packed};
use crate::core::form::Encoding;
use crate::limits::PACK_BYTES_MIN;
use crate::shell::outgoing::Outgoing;

/// Asked for again each time; who has it is told so.
pub(crate) const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// See the module.
#[derive(Debug, Clone)]
pub struct Page {
    headers: HeaderMap,
    variants: Vec<Variant>,
}

/// The bytes in one encoding. Each has a tag of its own, as caches tell them apart by it.
#[derive(Debug, Clone)]
struct Variant {
    encoding: Encoding,
    body: Bytes,
    etag: HeaderValue,
}

impl Page {
    /// With `headers` in every answer, beside those that follow from the bytes.
    pub(crate) fn new(content: Vec<u8>, headers: HeaderMap, effort: Effort) -> Self {
        let mut variants = Vec::new();
        if content.len() >= PACK_BYTES_MIN {
            for encoding in Encoding::ALL {
                let packed = packed(&content, encoding, effort);
                variants.extend(packed.map(|packed| Variant::new(encoding, packed)));
            }
        }
        variants.push(Variant::new(Encoding::Identity, content));
        Self { headers, variants }
    }

    /// The same bytes, answered with other headers.
    #[must_use]
    pub fn with_headers(&self, headers: HeaderMap) -> Self {
        Self { headers, variants: self.variants.clone() }
    }

    /// The page, or word that the client has it already.
    pub fn respond(&self, request: &HeaderMap) -> Response<Outgoing> {
        let wanted = Encoding::of_answer(request);
        let found = self.variants.iter().find(|variant| variant.encoding == wanted);
        let Some(variant) = found.or(self.variants.last()) else {
            return Response::new(Outgoing::empty());
        };
        let is_known = variant.is_known(request);
        let mut response = if is_known {
            let mut response = Response::new(Outgoing::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(Outgoing::whole(variant.body.clone()))
        };
        let headers = response.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(ETAG, variant.etag.clone());
        if is_known {
            headers.remove(CONTENT_TYPE);
        } else if let Some(encoding) = variant.encoding.header() {
            headers.insert(CONTENT_ENCODING, encoding);
        }
        response
    }
}

impl Variant {
    fn new(encoding: Encoding, body: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", Digest::of(&body).hex());
        // Hexadecimal digits in quotes are a valid value.
        let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { encoding, body: body.into(), etag }
    }

    fn is_known(&self, request: &HeaderMap) -> bool {
        let values = request.get_all(IF_NONE_MATCH).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes())
    }
}

/// What every page says: what it is, that nobody guesses otherwise, that it is asked for again,
/// and that no other site learns where somebody came from.
pub(crate) fn headers(media_type: HeaderValue, policy: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CACHE_CONTROL, NO_CACHE);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(policy) = policy {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    headers
}
