//! Request ids: one name for a request in the answer, in all logs, and in the guest.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::REQUEST_ID_BYTES_MAX;

/// Where it travels.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes ids: a part that is new with each process, and a count.
#[derive(Debug)]
pub struct RequestIds {
    process: u32,
    count: AtomicU64,
}

impl RequestIds {
    /// Ids of a new process.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { process: getrandom::u32()?, count: AtomicU64::new(1) })
    }

    /// The id that the request came with, if it is fit for logs and headers; else a new one.
    pub fn of(&self, headers: &HeaderMap) -> String {
        match Self::given(headers).and_then(|value| value.to_str().ok()) {
            Some(id) => id.to_owned(),
            None => self.next(),
        }
    }

    /// The id that the request came with, if it is fit for logs and headers.
    pub fn given(headers: &HeaderMap) -> Option<&HeaderValue> {
        headers.get(REQUEST_ID).filter(|value| value.to_str().is_ok_and(is_sane))
    }

    /// A new one.
    pub fn next(&self) -> String {
        format!("{:08x}-{:x}", self.process, self.count.fetch_add(1, Ordering::Relaxed))
    }
}

fn is_sane(id: &str) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_taken_over_and_others_replaced() {
        let ids = RequestIds::new().unwrap();
        let check = |given: &'static [u8], is_taken: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(given).unwrap());
            assert_eq!(ids.of(&headers).as_bytes() == given, is_taken);
        };
        check(b"abc-1.2_3:4", true);
        check(b"", false);
        check(b"a b", false);
        check(b"a\"b", false);
        check(b"\xff", false);
        check(&[b'a'; REQUEST_ID_BYTES_MAX], true);
        check(&[b'a'; REQUEST_ID_BYTES_MAX + 1], false);
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }
}
