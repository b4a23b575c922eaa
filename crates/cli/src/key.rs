//! An API key, read from a file: keys do not belong on command lines, where everybody who can
//! list processes sees them.

use std::path::{Path, PathBuf};

use http::HeaderValue;

use crate::limits::KEY_BYTES_MAX;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// The file cannot be read.
    #[error("--key-file `{}` cannot be read: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It holds something else.
    #[error("--key-file `{}`: expected one line with a key and nothing else", .0.display())]
    NotAKey(PathBuf),
}

/// Reads a key, as it is sent.
///
/// # Errors
/// There is none.
pub fn read(path: &Path) -> Result<HeaderValue, BadKey> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| BadKey::Unreadable { path: path.to_owned(), error })?;
    let key = text.trim();
    let is_key =
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    let value = is_key.then(|| HeaderValue::try_from(format!("Bearer {key}")).ok()).flatten();
    let mut value = value.ok_or_else(|| BadKey::NotAKey(path.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word_in_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        let check = |text: &str, expected: Option<&str>| {
            std::fs::write(&path, text).expect("a file");
            let read = read(&path).ok();
            let read = read.as_ref().map(|value| value.to_str().expect("text"));
            assert_eq!(read, expected, "{text:?}");
        };
        check("pe_0123\n", Some("Bearer pe_0123"));
        for text in ["", "\n", "two words", "two\nlines", "schl\u{fc}ssel", &"x".repeat(10_000)] {
            check(text, None);
        }
        assert!(matches!(read(&dir.path().join("none")), Err(BadKey::Unreadable { .. })));
    }
}
