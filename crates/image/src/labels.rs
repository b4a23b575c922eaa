//! What an image says of itself: the labels by which it has a title, a form and examples, or a file
//! beside it with the same (`docs/image-labels.md`). Pure.

use std::collections::BTreeMap;

use pe_proto::limits::PLAYGROUND_BYTES_MAX;
use pe_proto::playground::{Flaw, LABEL, Playground};
use serde::Deserialize;

/// The label with the title.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The label with the description.
pub const DESCRIPTION: &str = "org.opencontainers.image.description";

/// What people are shown of an image. As a file it is TOML with these keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    /// Title, if it has one.
    pub title: Option<String>,
    /// Description, if it has one.
    pub description: Option<String>,
    /// Form and examples, if it has some.
    pub playground: Option<Playground>,
}

/// Why there is no description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDescription {
    /// Larger than a page can have.
    #[error("it has more than {PLAYGROUND_BYTES_MAX} bytes")]
    TooLong,
    /// Neither JSON nor TOML of a playground; where, as the parser has it, and why.
    #[error("{0}")]
    Syntax(String),
    /// Parts of it are not possible.
    #[error("playground{}", .0.iter().map(Flaw::to_string).collect::<Vec<_>>().join("; playground"))]
    Flaws(Vec<Flaw>),
}

impl Description {
    /// Reads the labels of an image.
    ///
    /// # Errors
    /// The label of the playground is not a possible one.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Result<Self, BadDescription> {
        let playground = labels.get(LABEL).map(|text| playground_of_json(text)).transpose()?;
        Ok(Self { playground, ..Self::without_playground(labels) })
    }

    /// The same, without the label that may be bad.
    pub fn without_playground(labels: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| labels.get(key).filter(|text| !text.trim().is_empty()).cloned();
        Self { title: text(TITLE), description: text(DESCRIPTION), playground: None }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is no TOML, has other keys, or its playground is not a possible one.
    pub fn of_toml(text: &str) -> Result<Self, BadDescription> {
        if text.len() > PLAYGROUND_BYTES_MAX {
            return Err(BadDescription::TooLong);
        }
        let read: Self =
            toml::from_str(text).map_err(|bad| BadDescription::Syntax(bad.to_string()))?;
        read.playground.as_ref().map_or(Ok(()), possible)?;
        Ok(read)
    }

    /// What this says, else what the other does: a file beside an image wins over its labels.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            title: self.title.or(other.title),
            description: self.description.or(other.description),
            playground: self.playground.or(other.playground),
        }
    }

    /// The labels that say this, as `KEY`, `VALUE`.
    ///
    /// # Errors
    /// It cannot be written as JSON, or is too long then.
    pub fn labels(&self) -> Result<BTreeMap<&'static str, String>, BadDescription> {
        let mut labels = BTreeMap::new();
        labels.extend(self.title.clone().map(|text| (TITLE, text)));
        labels.extend(self.description.clone().map(|text| (DESCRIPTION, text)));
        if let Some(playground) = &self.playground {
            let json = serde_json::to_string(playground)
                .map_err(|bad| BadDescription::Syntax(bad.to_string()))?;
            if json.len() > PLAYGROUND_BYTES_MAX {
                return Err(BadDescription::TooLong);
            }
            labels.insert(LABEL, json);
        }
        Ok(labels)
    }
}

fn playground_of_json(text: &str) -> Result<Playground, BadDescription> {
    if text.len() > PLAYGROUND_BYTES_MAX {
        return Err(BadDescription::TooLong);
    }
    let read: Playground =
        serde_json::from_str(text).map_err(|bad| BadDescription::Syntax(bad.to_string()))?;
    possible(&read)?;
    Ok(read)
}

fn possible(playground: &Playground) -> Result<(), BadDescription> {
    let flaws = playground.check();
    if flaws.is_empty() { Ok(()) } else { Err(BadDescription::Flaws(flaws)) }
}

#[cfg(test)]
mod tests;
