//! Everything that can be wrong with a playground, each with its place.
//!
//! A playground without flaws expands for its defaults and for its examples, and no value that its
//! fields accept can fail but for a conflict or for being too many words.

mod examples;
mod form;

use std::collections::BTreeSet;

use crate::limits::{
    LABEL_BYTES_MAX, PLAYGROUND_FLAWS_MAX, PLAYGROUND_ITEMS_MAX, PLAYGROUND_TEXT_BYTES_MAX,
    PLAYGROUND_WORD_BYTES_MAX, PLAYGROUND_WORDS_MAX, WALL_MS_MAX,
};

use super::words::Word;
use super::{Flaw, Playground, shell};

impl Playground {
    /// All flaws, in the order of the document; none if it can be used.
    pub fn check(&self) -> Vec<Flaw> {
        let mut flaws = Flaws::default();
        self.check_labels(&mut flaws);
        self.check_template(&self.command, "/command", &mut flaws);
        self.check_form(&mut flaws);
        self.check_examples(&mut flaws);
        flaws.found
    }

    fn check_labels(&self, flaws: &mut Flaws) {
        flaws.few("/categories", self.categories.len(), PLAYGROUND_ITEMS_MAX);
        for (index, category) in self.categories.iter().enumerate() {
            if !is_slug(category) {
                let reason = "expected letters a-z, digits and `-`, beginning with a letter";
                flaws.add(format!("/categories/{index}"), reason);
            }
        }
        flaws.types("/takes", &self.takes);
        flaws.types("/makes", &self.makes);
        flaws.distinct("/categories", self.categories.iter().map(String::as_str), "");
        if self.wall_ms.is_some_and(|ms| ms == 0 || ms > WALL_MS_MAX) {
            flaws.add("/wall_ms", format!("expected 1 to {WALL_MS_MAX}"));
        }
    }

    fn check_template(&self, template: &[String], at: &str, flaws: &mut Flaws) {
        flaws.words(at, template);
        for (index, word) in template.iter().enumerate() {
            if let Word::Field(name) = Word::parse(word) {
                if self.field(name).is_none() {
                    let reason = format!(
                        "there is no field `{name}`; write `{{{word}}}` if `{word}` is meant"
                    );
                    flaws.add(format!("{at}/{index}"), reason);
                }
            }
        }
        for index in shell::holes(self, template) {
            let reason = "a value would be run as a shell script: make it a word after the script, \
                          which the script calls \"$1\"";
            flaws.add(format!("{at}/{index}"), reason);
        }
    }
}

/// Flaws so far.
#[derive(Default)]
struct Flaws {
    found: Vec<Flaw>,
}

impl Flaws {
    fn add(&mut self, pointer: impl Into<String>, reason: impl Into<String>) {
        if self.found.len() < PLAYGROUND_FLAWS_MAX {
            self.found.push(Flaw::new(pointer, reason));
        }
    }

    fn few(&mut self, at: &str, count: usize, most: usize) {
        if count > most {
            self.add(at, format!("expected at most {most}, got {count}"));
        }
    }

    /// A line for people that must be there.
    fn title(&mut self, at: &str, text: &str) {
        if text.is_empty() || text.len() > LABEL_BYTES_MAX || text.contains(char::is_control) {
            self.add(at, format!("expected one line of 1 to {LABEL_BYTES_MAX} bytes"));
        }
    }

    /// A text for people that may be empty.
    fn prose(&mut self, at: &str, text: &str) {
        if text.len() > PLAYGROUND_TEXT_BYTES_MAX {
            self.add(at, format!("expected at most {PLAYGROUND_TEXT_BYTES_MAX} bytes"));
        }
    }

    fn words(&mut self, at: &str, words: &[String]) {
        self.few(at, words.len(), PLAYGROUND_WORDS_MAX);
        for (index, word) in words.iter().enumerate() {
            if word.len() > PLAYGROUND_WORD_BYTES_MAX || word.contains('\0') {
                let most = PLAYGROUND_WORD_BYTES_MAX;
                let reason = format!("expected at most {most} bytes and no NUL");
                self.add(format!("{at}/{index}"), reason);
            }
        }
    }

    fn types(&mut self, at: &str, types: &[String]) {
        self.few(at, types.len(), PLAYGROUND_ITEMS_MAX);
        for (index, each) in types.iter().enumerate() {
            if !is_media_type(each) {
                let reason = "expected a media type in small letters, such as `text/x-c`";
                self.add(format!("{at}/{index}"), reason);
            }
        }
        self.distinct(at, types.iter().map(String::as_str), "");
    }

    fn distinct<'a>(&mut self, at: &str, names: impl Iterator<Item = &'a str>, key: &str) {
        let mut seen = BTreeSet::new();
        for (index, name) in names.enumerate() {
            if !seen.insert(name) {
                self.add(format!("{at}/{index}{key}"), format!("`{name}` is there twice"));
            }
        }
    }
}

fn is_slug(text: &str) -> bool {
    let is_later = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 32
        && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && text.bytes().all(is_later)
}

/// RFC 6838 4.2 in small letters; `image/*` means any image.
fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        name.bytes().next().is_some_and(is_plain)
            && name.bytes().all(|byte| is_plain(byte) || b"!#$&-^_.+".contains(&byte))
            && name.len() <= 127
    };
    text.split_once('/').is_some_and(|(kind, name)| is_name(kind) && (name == "*" || is_name(name)))
}
