//! What a person can do with an image: its form, and how the form becomes a command
//! (`protocol.md 7.1`).
//!
//! Written by an image's author as a label, so it is hostile text until [`Playground::check`]
//! found nothing. There is no shell and no quoting in it: a value of the form is a word of the
//! command, or a part of one, and can never become more words than its author meant.

mod check;
mod expand;
mod field;
mod shell;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::strict::{object_only, unique_keys};
use crate::api::{Content, FileContent};

pub use expand::Expansion;
pub use field::{Choice, Field, Kind};

/// The label of an OCI image whose value is a [`Playground`] as JSON.
pub const LABEL: &str = "program-explorer.playground";

/// How an image is used from a form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub struct Playground {
    /// What kind of program it is: `compiler`, `graphics`.
    pub categories: Vec<String>,
    /// Media types of files it reads.
    pub takes: Vec<String>,
    /// Media types of files it makes.
    pub makes: Vec<String>,
    /// Wall clock that its jobs need, in milliseconds; none for the usual.
    pub wall_ms: Option<u64>,
    /// Template of the arguments: words, of which `{name}` stands for a field's.
    pub command: Vec<String>,
    /// Variables that take the value of a field.
    pub env: Vec<Variable>,
    /// The form, in the order it is shown.
    pub fields: Vec<Field>,
    /// Values that do not go together.
    pub conflicts: Vec<Conflict>,
    /// Inputs to begin with; the first is the one shown first.
    pub examples: Vec<Example>,
}

/// An environment variable whose value is a field's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The field.
    pub field: String,
}

/// Two values that must not be chosen at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Conflict {
    /// With this,
    #[serde(rename = "if")]
    pub given: Setting,
    /// this cannot be.
    pub not: Setting,
    /// For people, a sentence.
    #[serde(default)]
    pub why: String,
}

/// A field that has a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Setting {
    /// Which field.
    pub field: String,
    /// Its value, as in [`Example::values`].
    pub value: String,
}

/// A whole input that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Example {
    /// For people; unlike those of the others.
    pub title: String,
    /// For people, a sentence.
    #[serde(default)]
    pub description: String,
    /// Files by path, as in [`crate::api::RunRequest`].
    #[serde(default, deserialize_with = "unique_keys")]
    pub files: BTreeMap<String, FileContent>,
    /// Standard input.
    #[serde(default = "nothing")]
    pub stdin: Content,
    /// Values of fields, for those that are not their default.
    #[serde(default, deserialize_with = "unique_keys")]
    pub values: BTreeMap<String, String>,
    /// Template in place of [`Playground::command`].
    #[serde(default)]
    pub command: Option<Vec<String>>,
}

object_only!(Playground, Variable, Conflict, Setting, Example);

/// What is wrong, and where: in a playground, or in the values for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {reason}")]
pub struct Flaw {
    /// JSON pointer into the playground; into `{"values": {..}}` for [`Playground::expand`].
    pub pointer: String,
    /// What was expected, for people.
    pub reason: String,
}

impl Flaw {
    fn new(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), reason: reason.into() }
    }
}

impl Conflict {
    /// For people: the author's reason, or what there is to say without one.
    pub fn reason(&self) -> String {
        if !self.why.is_empty() {
            return self.why.clone();
        }
        let Self { given, not, .. } = self;
        format!(
            "`{}` cannot be `{}` while `{}` is `{}`",
            not.field, not.value, given.field, given.value
        )
    }
}

fn nothing() -> Content {
    Content::Text(String::new())
}

/// A key as a part of a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
