//! A small answer, read whole within a bound.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::words::{Wait, printable};

/// Longest piece of somebody's text that is repeated in a message, in characters.
const SAID_CHARS_MAX: usize = 200;

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Media type, without parameters, in lower case.
    pub content_type: String,
    /// What its headers say about waiting.
    pub wait: Wait,
    /// The body, or as much of it as was allowed.
    pub body: Vec<u8>,
}

impl Reply {
    pub(crate) async fn read(
        response: Response<Incoming>,
        bytes_max: usize,
    ) -> Result<Self, hyper::Error> {
        let headers = response.headers();
        let text = |value: &http::HeaderValue| value.to_str().map(str::to_owned).ok();
        let mut reply = Self {
            status: response.status(),
            content_type: content_type(headers),
            wait: Wait {
                retry_after: headers.get(RETRY_AFTER).and_then(text),
                position: headers.get("pe-queue-position").and_then(text),
                estimate_ms: headers.get("pe-queue-wait-ms").and_then(text),
            },
            body: Vec::new(),
        };
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame?.into_data() {
                let left = bytes_max.saturating_sub(reply.body.len());
                reply.body.extend_from_slice(piece.get(..left).unwrap_or(&piece));
                if piece.len() > left {
                    break;
                }
            }
        }
        Ok(reply)
    }

    /// The first line of a text body, fit for a message.
    pub fn first_line(&self) -> Option<String> {
        let text = std::str::from_utf8(&self.body).ok()?;
        let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        Some(printable(&line.chars().take(SAID_CHARS_MAX).collect::<String>()))
    }
}

/// Media type of an answer, without parameters, in lower case; empty if there is none.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
