//! A field as JSON and TOML have it: one object, and `kind` says which keys it may have.

use serde::{Deserialize, Serialize};

use super::{Choice, Field, Kind};
use crate::api::strict::object_only;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub(super) struct Written {
    name: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    help: String,
    kind: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<i64>,
    #[serde(default)]
    default: Chosen,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_words: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<Vec<Choice>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<Vec<String>>,
}

object_only!(Written);

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    #[default]
    Flag,
    Choice,
    Number,
    Text,
    File,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected true, false, a whole number, a string or nothing")]
enum Chosen {
    Flag(bool),
    Number(i64),
    Text(String),
    #[default]
    Nothing,
}

/// Why an object is no field.
#[derive(Debug, thiserror::Error)]
#[error("field `{field}`: {problem}")]
pub(super) struct BadField {
    field: String,
    problem: String,
}

impl TryFrom<Written> for Field {
    type Error = BadField;

    fn try_from(mut written: Written) -> Result<Self, BadField> {
        let kind = written.take_kind().and_then(|kind| match written.left() {
            Some(key) => Err(format!("`{key}` is not for fields of this kind")),
            None => Ok(kind),
        });
        let Written { name, mut label, help, .. } = written;
        match kind {
            Ok(kind) => {
                if label.is_empty() {
                    label.clone_from(&name);
                }
                Ok(Self { name, label, help, kind })
            }
            Err(problem) => Err(BadField { field: name, problem }),
        }
    }
}

impl Written {
    fn take_kind(&mut self) -> Result<Kind, String> {
        let default = std::mem::take(&mut self.default);
        let args = |args: &mut Option<Vec<String>>| args.take().unwrap_or_default();
        Ok(match self.kind {
            Name::Flag => Kind::Flag {
                default: match default {
                    Chosen::Flag(is_on) => is_on,
                    Chosen::Nothing => false,
                    Chosen::Number(_) | Chosen::Text(_) => return Err(unfit("true or false")),
                },
                args: args(&mut self.args),
            },
            Name::Choice => {
                let options = self.options.take().unwrap_or_default();
                let default = match default {
                    Chosen::Text(value) => value,
                    // The first is what a menu shows when nothing is said.
                    Chosen::Nothing => {
                        options.first().map(|first| first.value.clone()).unwrap_or_default()
                    }
                    Chosen::Number(_) | Chosen::Flag(_) => return Err(unfit("a string")),
                };
                Kind::Choice { default, options }
            }
            Name::Number => {
                let bound = |bound: Option<i64>, key: &str| {
                    bound.ok_or_else(|| format!("a number needs `{key}`"))
                };
                Kind::Number {
                    min: bound(self.min.take(), "min")?,
                    max: bound(self.max.take(), "max")?,
                    step: self.step.take().unwrap_or(1),
                    default: match default {
                        Chosen::Number(number) => Some(number),
                        Chosen::Nothing => None,
                        Chosen::Flag(_) | Chosen::Text(_) => return Err(unfit("a whole number")),
                    },
                    args: args(&mut self.args),
                }
            }
            Name::Text => Kind::Text {
                default: text(default)?,
                bytes_max: self.bytes_max.take().ok_or("a text needs `bytes_max`")?,
                is_words: self.is_words.take().unwrap_or(false),
                args: args(&mut self.args),
            },
            Name::File => Kind::File {
                default: text(default)?,
                types: self.types.take().unwrap_or_default(),
                args: args(&mut self.args),
            },
        })
    }

    /// A key that the kind did not take.
    fn left(&self) -> Option<&'static str> {
        let keys = [
            ("min", self.min.is_some()),
            ("max", self.max.is_some()),
            ("step", self.step.is_some()),
            ("bytes_max", self.bytes_max.is_some()),
            ("is_words", self.is_words.is_some()),
            ("types", self.types.is_some()),
            ("options", self.options.is_some()),
            ("args", self.args.is_some()),
        ];
        keys.into_iter().find(|(_, is_left)| *is_left).map(|(key, _)| key)
    }
}

fn text(default: Chosen) -> Result<String, String> {
    match default {
        Chosen::Text(text) => Ok(text),
        Chosen::Nothing => Ok(String::new()),
        Chosen::Flag(_) | Chosen::Number(_) => Err(unfit("a string")),
    }
}

fn unfit(expected: &str) -> String {
    format!("expected `default` to be {expected}")
}

impl From<Field> for Written {
    fn from(field: Field) -> Self {
        let Field { name, label, help, kind } = field;
        let common = Self { name, label, help, ..Self::default() };
        match kind {
            Kind::Flag { default, args } => Self {
                kind: Name::Flag,
                default: Chosen::Flag(default),
                args: Some(args),
                ..common
            },
            Kind::Choice { default, options } => Self {
                kind: Name::Choice,
                default: Chosen::Text(default),
                options: Some(options),
                ..common
            },
            Kind::Number { min, max, step, default, args } => Self {
                kind: Name::Number,
                min: Some(min),
                max: Some(max),
                step: Some(step),
                default: default.map_or(Chosen::Nothing, Chosen::Number),
                args: Some(args),
                ..common
            },
            Kind::Text { default, bytes_max, is_words, args } => Self {
                kind: Name::Text,
                default: Chosen::Text(default),
                bytes_max: Some(bytes_max),
                is_words: Some(is_words),
                args: Some(args),
                ..common
            },
            Kind::File { default, types, args } => Self {
                kind: Name::File,
                default: Chosen::Text(default),
                types: Some(types),
                args: Some(args),
                ..common
            },
        }
    }
}
