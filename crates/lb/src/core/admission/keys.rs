//! API keys: who somebody is, when an address does not say it.
//!
//! A key is 32 random bytes, so its SHA-256 tells nothing about it, and a table of digests needs
//! neither salt nor slow hashing. The file has a line per key: name, class, digest. It holds no
//! secret that could be used: who reads it learns names.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pe_proto::Digest;

use crate::core::ids::ClientKey;
use crate::limits::{API_KEY_BYTES_MAX, API_KEYS_MAX, NAME_BYTES_MAX};

/// What a key begins with, so that people and scanners for leaked secrets know one.
const PREFIX: &str = "pe_";

/// All keys, by what they hash to.
#[derive(Debug, Clone, Default)]
pub struct Keys(HashMap<Digest, Arc<Key>>);

/// Who a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, in logs and lists.
    pub name: Arc<str>,
    /// Its class.
    pub class: String,
    /// Whose budget and turn are used with it.
    pub client: ClientKey,
}

/// What is wrong with a file of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadKeys {
    line: usize,
    problem: String,
}

impl Keys {
    /// Reads a file's text. Blank lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str, is_class: impl Fn(&str) -> bool) -> Result<Self, BadKeys> {
        let mut keys = HashMap::new();
        let mut names = BTreeSet::new();
        for (index, text) in text.lines().enumerate() {
            let bad = |problem: &str| BadKeys { line: index + 1, problem: problem.to_owned() };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            let &[name, class, digest] = words.as_slice() else {
                return Err(bad("expected a name, a class and `sha256:` with 64 digits"));
            };
            if !is_name(name) {
                let problem = "expected a name of 1 to 64 letters, digits, `-`, `_` and `.`";
                return Err(bad(problem));
            }
            if !is_class(class) {
                return Err(bad(&format!("there is no class `{class}`")));
            }
            let digest: Digest = digest.parse().map_err(|problem| bad(&format!("{problem}")))?;
            if !names.insert(name) {
                return Err(bad(&format!("the name `{name}` is there twice")));
            }
            let client = client_of(name);
            let key = Key { name: name.into(), class: class.to_owned(), client };
            if keys.insert(digest, Arc::new(key)).is_some() {
                return Err(bad("the same key is there under two names"));
            }
            if keys.len() > API_KEYS_MAX {
                return Err(bad(&format!("there are more than {API_KEYS_MAX} keys")));
            }
        }
        Ok(Self(keys))
    }

    /// Whose key this is. It is looked up by its digest: how long that takes says nothing about
    /// keys that are there.
    pub fn find(&self, key: &[u8]) -> Option<&Arc<Key>> {
        if key.len() > API_KEY_BYTES_MAX {
            return None;
        }
        self.0.get(&Digest::of(key))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A new key and its line in the file, from 32 bytes that nobody can guess.
///
/// # Errors
/// The name cannot be one.
pub fn mint(name: &str, class: &str, random: [u8; 32]) -> Result<(String, String), BadKeys> {
    let key = format!("{PREFIX}{}", Digest(random).hex());
    let line = format!("{name} {class} {}", Digest::of(key.as_bytes()));
    Keys::parse(&line, |_| true)?;
    Ok((key, line))
}

/// Whom the queue and the budgets know a key's holder as. No address looks like it: those of
/// clients end in zeros or begin with them.
pub fn client_of(name: &str) -> ClientKey {
    let Digest(bytes) = Digest::of(format!("api key\0{name}").as_bytes());
    let mut client = [0; 16];
    for (to, from) in client.iter_mut().zip(bytes) {
        *to = from;
    }
    let [first, .., last] = &mut client;
    *first |= 1;
    *last |= 1;
    ClientKey(client)
}

fn is_name(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_found_by_its_line_and_the_line_does_not_hold_it() {
        let (key, line) = mint("ci", "gold", [7; 32]).unwrap();
        assert!(key.starts_with("pe_0707") && !line.contains("0707"), "{key} {line}");
        let file = format!("# keys\n\n  {line}  \n");
        let keys = Keys::parse(&file, |class| class == "gold").unwrap();
        let found = keys.find(key.as_bytes()).unwrap();
        assert_eq!((&*found.name, found.class.as_str()), ("ci", "gold"));
        assert!(keys.find(b"pe_0").is_none() && keys.find(&[b'x'; 10_000]).is_none());
    }

    #[test]
    fn what_is_wrong_with_a_file_of_keys_is_told_with_its_line() {
        let digest = Digest::of(b"a");
        let check = |text: &str, parts: &[&str]| {
            let said = Keys::parse(text, |class| class == "gold").unwrap_err().to_string();
            assert!(parts.iter().all(|part| said.contains(part)), "{text}: {said}");
        };
        check("ci gold", &["line 1", "a name, a class"]);
        check(&format!("\nci lead {digest}"), &["line 2", "no class `lead`"]);
        check("ci gold sha256:12", &["line 1", "64 hexadecimal digits"]);
        check(&format!("c/i gold {digest}"), &["line 1", "a name of 1 to 64"]);
        check(&format!("ci gold {digest}\nci gold {}", Digest::of(b"b")), &["line 2", "twice"]);
        check(&format!("ci gold {digest}\nco gold {digest}"), &["line 2", "two names"]);
    }

    #[test]
    fn holders_of_keys_are_no_addresses() {
        let ClientKey(client) = client_of("ci");
        assert!(client[0] != 0 && client[15] != 0);
        assert_ne!(client_of("ci"), client_of("cd"));
    }
}
