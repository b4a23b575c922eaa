//! From the values of a form to the words of a command (`protocol.md 7.2`).
//!
//! Pure, and the same in the page (`web/`): the vectors `playground_expansion-v1-*` are run by both.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::limits::{ARG_BYTES_MAX, ARGS_MAX, CONFIG_BYTES_MAX};

use super::words::{self, HOLE, Word};
use super::{Example, Field, Flaw, Playground, escaped};

/// What a form means for a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// Its arguments; the image's entrypoint stays before them.
    pub args: Vec<String>,
    /// Variables beyond the image's.
    pub env: BTreeMap<String, String>,
}

impl Playground {
    /// The command for these values; a field that is not among them has its default.
    ///
    /// # Errors
    /// The value that is not possible: of no field, none that its field takes, or one that does not
    /// go together with another.
    pub fn expand(&self, values: &BTreeMap<String, String>) -> Result<Expansion, Flaw> {
        self.expand_template(&self.command, values)
    }

    /// The command of an example.
    ///
    /// # Errors
    /// As [`Playground::expand`].
    pub fn expand_example(&self, example: &Example) -> Result<Expansion, Flaw> {
        self.expand_template(example.command.as_ref().unwrap_or(&self.command), &example.values)
    }

    /// As [`Playground::expand`], with another template.
    ///
    /// # Errors
    /// As [`Playground::expand`].
    pub fn expand_template(
        &self,
        template: &[String],
        values: &BTreeMap<String, String>,
    ) -> Result<Expansion, Flaw> {
        for (name, value) in values {
            let field = self.field(name).ok_or_else(|| at(name, "there is no such field"))?;
            field.accepts(value).map_err(|expected| at(name, expected))?;
        }
        let value_of = |name: &str| {
            let chosen = values.get(name).cloned();
            chosen.or_else(|| self.field(name).map(Field::default_value)).unwrap_or_default()
        };
        for conflict in &self.conflicts {
            let (given, not) = (&conflict.given, &conflict.not);
            if value_of(&given.field) == given.value && value_of(&not.field) == not.value {
                return Err(at(&not.field, conflict.reason()));
            }
        }
        let mut words = Words::default();
        for word in template {
            let (literal, field) = match Word::parse(word) {
                Word::Literal(word) => (word, None),
                Word::Field(name) => (Cow::Borrowed(word.as_str()), self.field(name)),
            };
            match field {
                None => words.push(&literal, None).map_err(|why| Flaw::new("/values", why))?,
                Some(field) => {
                    let value = value_of(&field.name);
                    words::of_field(field, &value, &mut |word, value| words.push(word, value))
                        .map_err(|why| at(&field.name, why))?;
                }
            }
        }
        let env = self.env.iter().map(|each| (each.name.clone(), value_of(&each.field)));
        let env = env.filter(|(_, value)| !value.is_empty()).collect();
        Ok(Expansion { args: words.kept, env })
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Words so far: no more of them than a job may have.
#[derive(Default)]
struct Words {
    kept: Vec<String>,
    bytes: usize,
}

impl Words {
    /// Takes a word, with a value at its holes. Its length is known before it is made.
    fn push(&mut self, word: &str, value: Option<&str>) -> Result<(), String> {
        let bytes = value.map_or(word.len(), |value| {
            let holes = word.matches(HOLE).count();
            let kept = word.len().saturating_sub(holes.saturating_mul(HOLE.len()));
            kept.saturating_add(holes.saturating_mul(value.len()))
        });
        self.bytes = self.bytes.saturating_add(bytes);
        if self.kept.len() >= ARGS_MAX {
            return Err(format!("expected a command of at most {ARGS_MAX} words"));
        }
        if bytes > ARG_BYTES_MAX || self.bytes > CONFIG_BYTES_MAX {
            return Err(format!(
                "expected words of at most {ARG_BYTES_MAX} bytes, all at most {CONFIG_BYTES_MAX}"
            ));
        }
        self.kept.push(value.map_or_else(|| word.to_owned(), |value| word.replace(HOLE, value)));
        Ok(())
    }
}

fn at(name: &str, reason: impl Into<String>) -> Flaw {
    Flaw::new(format!("/values/{}", escaped(name)), reason)
}
