//! The forms and encodings that a result can be answered in, and which of them a client wants.
//!
//! Negotiation never refuses: who names nothing that is spoken here gets the default.

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pe_proto::api::BINARY;

/// The forms that a job and its answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `application/json`.
    Json,
    /// [`BINARY`].
    Binary,
}

/// Media type of the JSON form.
pub const JSON: &str = "application/json";

/// Media type of the form of HTML and curl, in which only jobs come.
pub const MULTIPART: &str = "multipart/form-data";

/// The forms that a job may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobForm {
    /// A form that answers have, too.
    Plain(Form),
    /// [`MULTIPART`].
    Multipart {
        /// What stands between the parts.
        boundary: String,
    },
}

impl JobForm {
    /// The form that a request is in.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = value.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case(MULTIPART) {
            let boundary = multer::parse_boundary(value).ok()?;
            return Some(Self::Multipart { boundary });
        }
        Form::of_media_type(media_type).map(Self::Plain)
    }

    /// The form of an answer to whom it is all the same.
    pub fn answer(&self) -> Form {
        match self {
            Self::Plain(form) => *form,
            Self::Multipart { .. } => Form::Json,
        }
    }
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Json, Self::Binary];

    /// The form that an answer is wanted in: the one that `accept` prefers, or else `default`.
    pub fn of_answer(headers: &HeaderMap, default: Self) -> Self {
        let mut best = (default, 0.0);
        for (range, quality) in ranked(headers, &ACCEPT) {
            if let Some(form) = Self::of_media_type(range) {
                let is_better = quality > best.1 || (quality >= best.1 && form == default);
                if is_better && quality > 0.0 {
                    best = (form, quality);
                }
            }
        }
        best.0
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Binary => BINARY,
        }
    }

    fn of_media_type(media_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| media_type.eq_ignore_ascii_case(form.media_type()))
    }
}

/// How a result's bytes are packed on the way to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Gzip, Self::Zstd];

    /// The encoding that a client likes best; of those it likes equally, the one that packs best.
    pub fn of_answer(headers: &HeaderMap) -> Self {
        if !headers.contains_key(ACCEPT_ENCODING) {
            return Self::Identity;
        }
        // What is not named has the quality of `*`, and without one there is only identity.
        let mut qualities = [None; 3];
        let mut rest = 0.0;
        for (name, quality) in ranked(headers, &ACCEPT_ENCODING) {
            if name == "*" {
                rest = quality;
            }
            for (encoding, found) in Self::ALL.into_iter().zip(&mut qualities) {
                if name.eq_ignore_ascii_case(encoding.as_str()) {
                    *found = Some(quality);
                }
            }
        }
        let mut best = (Self::Identity, qualities.first().copied().flatten().unwrap_or(0.0));
        for (encoding, quality) in Self::ALL.into_iter().zip(qualities).skip(1) {
            let quality = quality.unwrap_or(rest);
            if quality > 0.0 && quality >= best.1 {
                best = (encoding, quality);
            }
        }
        best.0
    }

    /// As in headers, and the label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What `content-encoding` says of it, if anything.
    pub fn header(self) -> Option<HeaderValue> {
        (self != Self::Identity).then(|| HeaderValue::from_static(self.as_str()))
    }
}

/// The items of a header with their qualities.
fn ranked<'a>(
    headers: &'a HeaderMap,
    name: &'static HeaderName,
) -> impl Iterator<Item = (&'a str, f32)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        (named, quality.unwrap_or(1.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_decides_the_form_of_the_answer() {
        let check = |accept: Option<&'static str>, request: Form, expected: Form| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Form::of_answer(&headers, request), expected, "{accept:?}");
        };
        for request in Form::ALL {
            check(None, request, request);
            check(Some("*/*"), request, request);
            check(Some("text/html, */*;q=0.8"), request, request);
            check(Some("application/json"), request, Form::Json);
            check(Some("application/vnd.pe.v1"), request, Form::Binary);
            check(Some("application/json, application/vnd.pe.v1"), request, request);
            check(Some("application/json;q=0.5, Application/Vnd.pe.V1"), request, Form::Binary);
            check(Some("application/json;q=0"), Form::Binary, Form::Binary);
        }
    }

    #[test]
    fn accept_encoding_decides_how_an_answer_is_packed() {
        let check = |accept: &'static str, expected: Encoding| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
            assert_eq!(Encoding::of_answer(&headers), expected, "{accept:?}");
        };
        assert_eq!(Encoding::of_answer(&HeaderMap::new()), Encoding::Identity);
        check("", Encoding::Identity);
        check("gzip", Encoding::Gzip);
        check("gzip, deflate, br, zstd", Encoding::Zstd);
        check("zstd, GZIP", Encoding::Zstd);
        check("gzip;q=1.0, zstd;q=0.5", Encoding::Gzip);
        check("gzip;q=0", Encoding::Identity);
        check("*", Encoding::Zstd);
        check("*;q=0", Encoding::Identity);
        check("zstd;q=0, *", Encoding::Gzip);
        check("identity;q=1, gzip;q=0.5", Encoding::Identity);
        check("br", Encoding::Identity);
    }
}
