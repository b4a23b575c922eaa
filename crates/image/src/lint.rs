//! What an image's author should mend, and how. Pure.
//!
//! An error is what makes an image lose its form when it is imported; a warning is what people
//! will stumble over.

use std::collections::BTreeMap;

use pe_proto::catalogue::ImageConfig;
use pe_proto::playground::{Field, Kind, LABEL, Playground};
use serde::Serialize;

use crate::labels::{BadDescription, DESCRIPTION, Description, TITLE};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The image is shown without a form.
    Error,
    /// It works, but not well.
    Warning,
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: a label, or `playground` and a JSON pointer into it.
    pub pointer: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub mend: String,
}

/// Looks at the labels of an image.
pub fn labels(labels: &BTreeMap<String, String>, config: &ImageConfig) -> Vec<Finding> {
    match Description::of_labels(labels) {
        Ok(description) => good(&description, Some(config)),
        Err(bad) => {
            let mut found = errors(bad, LABEL);
            let rest = good(&Description::without_playground(labels), Some(config));
            found.extend(rest.into_iter().filter(|each| each.pointer != LABEL));
            found
        }
    }
}

/// Looks at a file with the same keys.
pub fn toml(text: &str) -> Vec<Finding> {
    match Description::of_toml(text) {
        Ok(description) => good(&description, None),
        Err(bad) => errors(bad, "the file"),
    }
}

fn errors(bad: BadDescription, whole: &str) -> Vec<Finding> {
    let error = |pointer: String, reason: String, mend: &str| Finding {
        severity: Severity::Error,
        pointer,
        reason,
        mend: mend.to_owned(),
    };
    match bad {
        BadDescription::Flaws(flaws) => flaws
            .into_iter()
            .map(|flaw| {
                let mend = "see docs/image-labels.md for what is possible here";
                error(format!("playground{}", flaw.pointer), flaw.reason, mend)
            })
            .collect(),
        bad @ BadDescription::Syntax(_) => {
            vec![error(whole.to_owned(), bad.to_string(), "see docs/image-labels.md for its keys")]
        }
        bad @ BadDescription::TooLong => {
            vec![error(whole.to_owned(), bad.to_string(), "leave out large examples")]
        }
    }
}

fn good(description: &Description, config: Option<&ImageConfig>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut warn = |pointer: &str, reason: &str, mend: &str| {
        found.push(Finding {
            severity: Severity::Warning,
            pointer: pointer.to_owned(),
            reason: reason.to_owned(),
            mend: mend.to_owned(),
        });
    };
    if description.title.is_none() {
        warn(TITLE, "there is no title", "say what people call the program");
    }
    if description.description.is_none() {
        warn(DESCRIPTION, "there is no description", "say in a sentence what it is good for");
    }
    match &description.playground {
        None => warn(LABEL, "it has no form and no examples", "see docs/image-labels.md"),
        Some(playground) => of_playground(playground, config, &mut warn),
    }
    found
}

fn of_playground(
    playground: &Playground,
    config: Option<&ImageConfig>,
    warn: &mut impl FnMut(&str, &str, &str),
) {
    if playground.examples.is_empty() {
        warn("playground/examples", "there is no example", "give one that runs as it is");
    }
    if playground.categories.is_empty() {
        warn("playground/categories", "there is no category", "say what kind of program it is");
    }
    if playground.command.is_empty() && !playground.fields.is_empty() {
        let mend = "say where the fields go: `{name}` as a word of the command";
        warn("playground/command", "there is a form but no command", mend);
    }
    let templates = playground.examples.iter().filter_map(|example| example.command.as_ref());
    let words: Vec<&String> = templates.flatten().chain(&playground.command).collect();
    for (index, field) in playground.fields.iter().enumerate() {
        let at = format!("playground/fields/{index}");
        let placeholder = format!("{{{}}}", field.name);
        let is_used = words.iter().any(|word| **word == placeholder)
            || playground.env.iter().any(|each| each.field == field.name);
        if !is_used {
            warn(&at, "nothing uses this field", "put it into the command or into `env`");
        }
        let doubled = format!("{{{placeholder}}}");
        let is_inside = |word: &&&String| {
            word.contains(&placeholder) && ***word != placeholder && ***word != doubled
        };
        if words.iter().any(|word| is_inside(&word)) {
            let reason = "its placeholder is a part of a word of the command, which is literal";
            warn(&at, reason, "give the whole word in the field's `args`, with `{}` in it");
        }
        if fixed_args(field).any(|word| word.contains("{}")) {
            let mend = "this kind of field has no value; use a number, text or file";
            warn(&at, "`{}` in its words is literal", mend);
        }
        let workdir = config.map_or("", |config| config.workdir.as_str());
        let is_relative = matches!(&field.kind, Kind::File { args, .. }
            if args.iter().any(|word| word.starts_with("{}")));
        if is_relative && !matches!(workdir, "" | "/input") {
            let reason = "files are in /input, and the image works in another directory";
            warn(&at, reason, "write `/input/{}`");
        }
    }
    let entry = config.and_then(|config| config.entrypoint.last());
    if entry.is_some() && entry == playground.command.first() {
        let mend = "leave out the first word";
        warn("playground/command", "the image's entrypoint already has its first word", mend);
    }
}

/// Words that have no value in them.
fn fixed_args(field: &Field) -> Box<dyn Iterator<Item = &String> + '_> {
    match &field.kind {
        Kind::Flag { args, .. } => Box::new(args.iter()),
        Kind::Choice { options, .. } => Box::new(options.iter().flat_map(|option| &option.args)),
        Kind::Number { .. } | Kind::Text { .. } | Kind::File { .. } => Box::new([].iter()),
    }
}
