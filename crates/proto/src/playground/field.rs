//! One field of a form: what values it takes and which words each value gives.

mod written;

use serde::{Deserialize, Serialize};

use crate::api::strict::object_only;
use crate::limits::PLAYGROUND_NUMBER_MAX;
use crate::path;

use self::written::Written;

/// A field of the form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Field {
    /// What templates call it.
    pub name: String,
    /// For people.
    pub label: String,
    /// For people, a sentence.
    pub help: String,
    /// What values it takes.
    pub kind: Kind,
}

/// The kinds of fields. `args` are words; where there is a value to put in, at each `{}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no: `true` or `false`.
    Flag {
        /// When nobody chose.
        default: bool,
        /// Words if true.
        args: Vec<String>,
    },
    /// One of several.
    Choice {
        /// When nobody chose: the value of an option.
        default: String,
        /// In the order they are shown.
        options: Vec<Choice>,
    },
    /// A whole number, or nothing.
    Number {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
        /// Values are this far apart, from `min` on.
        step: i64,
        /// When nobody chose.
        default: Option<i64>,
        /// Words if there is a value.
        args: Vec<String>,
    },
    /// Free text, or nothing.
    Text {
        /// When nobody typed.
        default: String,
        /// The longest.
        bytes_max: u32,
        /// Split at white space, `args` repeated for each word.
        is_words: bool,
        /// Words if there is a value.
        args: Vec<String>,
    },
    /// Path of one of the input files, or nothing.
    File {
        /// When nobody chose.
        default: String,
        /// Media types that make sense.
        types: Vec<String>,
        /// Words if there is a value.
        args: Vec<String>,
    },
}

/// An option of a choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Choice {
    /// What it is called in values.
    pub value: String,
    /// For people.
    pub label: String,
    /// Words if chosen.
    #[serde(default)]
    pub args: Vec<String>,
}

impl Field {
    /// The value when nobody chose.
    pub fn default_value(&self) -> String {
        match &self.kind {
            Kind::Flag { default, .. } => default.to_string(),
            Kind::Number { default, .. } => {
                default.map(|number| number.to_string()).unwrap_or_default()
            }
            Kind::Choice { default, .. }
            | Kind::Text { default, .. }
            | Kind::File { default, .. } => default.clone(),
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn accepts(&self, value: &str) -> Result<(), String> {
        match &self.kind {
            Kind::Flag { .. } => match value {
                "true" | "false" => Ok(()),
                _ => Err(format!("expected `true` or `false`, got `{value}`")),
            },
            Kind::Choice { options, .. } => {
                if options.iter().any(|option| option.value == value) {
                    return Ok(());
                }
                let known: Vec<&str> = options.iter().map(|each| each.value.as_str()).collect();
                Err(format!("expected one of `{}`, got `{value}`", known.join("`, `")))
            }
            Kind::Number { min, max, step, .. } => {
                if value.is_empty() {
                    return Ok(());
                }
                let number = whole(value)
                    .ok_or_else(|| format!("expected a whole number, got `{value}`"))?;
                let is_on_step = number.checked_sub(*min).and_then(|far| far.checked_rem(*step));
                if number < *min || number > *max || is_on_step != Some(0) {
                    let steps = if *step == 1 { "" } else { &format!(" in steps of {step}") };
                    return Err(format!("expected {min} to {max}{steps}, got {number}"));
                }
                Ok(())
            }
            Kind::Text { bytes_max, .. } => {
                if value.len() > usize::try_from(*bytes_max).unwrap_or(usize::MAX) {
                    return Err(format!("expected at most {bytes_max} bytes, got {}", value.len()));
                }
                if value.contains('\0') {
                    return Err("expected a text without NUL".to_owned());
                }
                Ok(())
            }
            Kind::File { .. } if value.is_empty() => Ok(()),
            Kind::File { .. } => path::check_str(value).map_err(|bad| bad.to_string()),
        }
    }
}

/// A number as it is written in values: digits, a minus before them, no zero too many.
pub(super) fn whole(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    let is_plain = number.to_string() == text;
    (is_plain && number.unsigned_abs() <= PLAYGROUND_NUMBER_MAX).then_some(number)
}

object_only!(Choice);
