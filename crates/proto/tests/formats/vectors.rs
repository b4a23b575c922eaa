//! Golden vectors: `crates/proto/vectors/<message>-v1-<name>.hex`, or `.json` where the format is.
//!
//! In a `.hex` file a line that begins with `#` is a comment, and white space means nothing. A
//! vector is never edited: a layout that changes gets a new version and new vectors.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The bytes of a vector, if it is there.
pub(crate) fn load(name: &str) -> Option<Vec<u8>> {
    let text = std::fs::read_to_string(folder().join(name)).ok()?;
    if name.ends_with(".hex") { Some(from_hex(&text)) } else { Some(text.trim_end().into()) }
}

/// Compares what was encoded with its vector; when there is none, says what to add.
pub(crate) fn expect(name: &str, encoded: &[u8]) {
    let text = if name.ends_with(".hex") {
        to_hex(encoded)
    } else {
        String::from_utf8_lossy(encoded).into_owned()
    };
    match load(name) {
        Some(golden) => assert!(
            golden == encoded,
            "{name} does not match: a layout changed without a new version; encoded now:\n{text}"
        ),
        None => panic!("no vector crates/proto/vectors/{name}; if it is new, add:\n{text}"),
    }
}

/// All vectors of messages that have a fuzz target: target, file name, bytes.
pub(crate) fn all() -> Vec<(String, String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the vectors are in the repository") {
        let name = entry.expect("a folder can be listed").file_name();
        let name = name.to_str().expect("vector names are ASCII").to_owned();
        let message = name.split('-').next().unwrap_or_default().to_owned();
        let bytes = load(&name).expect("a listed file can be read");
        found.push((message, name, bytes));
    }
    found.sort();
    found
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for (index, word) in line.chunks(4).enumerate() {
            text.push_str(if index == 0 { "" } else { " " });
            for byte in word {
                let _ = write!(text, "{byte:02x}");
            }
        }
        text.push('\n');
    }
    text
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .filter(|char| !char.is_whitespace())
        .map(|char| char.to_digit(16).expect("hexadecimal digits"))
        .collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().fold(0, |high, low| high * 16 + low));
    pairs.map(|byte| u8::try_from(byte).expect("two digits")).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}
