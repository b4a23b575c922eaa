//! Names of shares (`protocol.md 8.11`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pe_proto::Digest;

/// Characters of a name: 132 bits, so that nobody finds two states of one name, nor another's by
/// guessing.
const CHARS: usize = 22;

/// The name of a share: the first characters of its hash, in the alphabet of URLs. The same state
/// has the same name, whoever keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShareId([u8; CHARS]);

impl ShareId {
    /// Of a state.
    pub fn of(state: &[u8]) -> Self {
        let text = URL_SAFE_NO_PAD.encode(Digest::of(state).0);
        let mut id = [b'-'; CHARS];
        // 32 bytes are 43 characters.
        for (to, from) in id.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(id)
    }

    /// As it is written; nothing else is a name.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; CHARS] = text.as_bytes().try_into().ok()?;
        let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        id.iter().all(is_fine).then_some(Self(id))
    }

    /// What stores name it by.
    pub fn key(self) -> Digest {
        Digest::of(&[b"pe share ".as_slice(), &self.0].concat())
    }
}

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_beginning_of_the_hash_and_is_read_as_it_is_written() {
        let id = ShareId::of(b"{}");
        // printf '{}' | openssl sha256 -binary | base64 | tr '+/' '-_' | cut -c1-22
        assert_eq!(id.to_string(), "RBNvo1WzZ4oRRq0W9-hknp");
        assert_eq!(ShareId::parse(&id.to_string()), Some(id));
        assert_ne!(ShareId::of(b"{ }"), id);
        assert_ne!(ShareId::of(b"{ }").key(), id.key());
    }

    #[test]
    fn nothing_else_is_a_name() {
        let twenty_one = "A".repeat(21);
        let bad = ["", "A", &twenty_one, &"A".repeat(23), &"é".repeat(11), &"/".repeat(22)];
        for text in bad {
            assert_eq!(ShareId::parse(text), None, "{text}");
        }
        for odd in ['+', '=', '.', '%', ' ', '\0'] {
            assert_eq!(ShareId::parse(&format!("{twenty_one}{odd}")), None, "{odd:?}");
        }
    }
}
