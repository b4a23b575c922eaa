//! `pe run --example` and `--set`: a command from an image's form.
//!
//! The catalogue is a server's: its playground is checked before it is used, and what it makes of
//! the values is put where the person would have typed it, so all later checks see it.

use std::collections::BTreeMap;
use std::time::Duration;

use pe_proto::api::{Content, FileContent};
use pe_proto::archive::{Encoder, Kind};
use pe_proto::catalogue::Catalogue;
use pe_proto::path;
use pe_proto::playground::{Example, Playground};

use crate::arguments::RunArgs;
use crate::words::printable;

/// Why there is no command from the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadForm {
    /// The catalogue has no such image.
    #[error("the server has no image `{0}`; `pe images` lists what there is")]
    NoImage(String),
    /// It has no form.
    #[error("the image `{0}` has no form and no examples; say a command after `--`")]
    NoForm(String),
    /// The form is not possible.
    #[error("the form of the image is broken: {0}")]
    Broken(String),
    /// It has no such example.
    #[error("there is no example `{asked}`; there are: {known}")]
    NoExample {
        /// As given.
        asked: String,
        /// All titles.
        known: String,
    },
    /// `--set` without a value.
    #[error("--set `{0}`: expected FIELD=VALUE")]
    Pair(String),
    /// A value that is not possible.
    #[error("--set: {0}")]
    Value(String),
    /// An example that cannot be sent.
    #[error("the files of the example cannot be sent: {0}")]
    Files(String),
}

/// Puts the command, variables and time of the form into the arguments. Returns the archive of the
/// example, if one was asked for and the person gives no input of their own.
pub(super) fn apply(args: &mut RunArgs, catalogue: &Catalogue) -> Result<Option<Vec<u8>>, BadForm> {
    let shown = printable(&args.image);
    let found = catalogue.find(&args.image, args.arch.map(Into::into));
    let (image, _) = found.ok_or_else(|| BadForm::NoImage(shown.clone()))?;
    let playground = image.playground.as_ref().ok_or(BadForm::NoForm(shown))?;
    if let Some(flaw) = playground.check().first() {
        return Err(BadForm::Broken(printable(&flaw.to_string())));
    }
    let example = args.example.as_ref().map(|title| example(playground, title)).transpose()?;
    let mut values = example.map(|example| example.values.clone()).unwrap_or_default();
    for pair in &args.set {
        let (field, value) = pair.split_once('=').ok_or_else(|| BadForm::Pair(pair.clone()))?;
        values.insert(field.to_owned(), value.to_owned());
    }
    let template = example.and_then(|example| example.command.as_ref());
    let template = template.unwrap_or(&playground.command);
    let expansion = playground.expand_template(template, &values).map_err(|flaw| {
        let field = flaw.pointer.trim_start_matches("/values/").to_owned();
        BadForm::Value(printable(&format!("{field}: {}", flaw.reason)))
    })?;
    args.command = expansion.args;
    // The person's own come later, and win.
    let own = std::mem::take(&mut args.env);
    args.env = expansion.env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    args.env.extend(own);
    args.wall = args.wall.or(playground.wall_ms.map(Duration::from_millis));
    let is_own = !args.file.is_empty() || args.stdin.is_some() || args.interactive;
    match example.filter(|_| !is_own) {
        Some(example) => archive(&example.files, &example.stdin).map(Some),
        None => Ok(None),
    }
}

fn example<'a>(playground: &'a Playground, title: &str) -> Result<&'a Example, BadForm> {
    let is_meant = |example: &&Example| example.title.to_lowercase() == title.to_lowercase();
    playground.examples.iter().find(is_meant).ok_or_else(|| {
        let known: Vec<String> = playground
            .examples
            .iter()
            .map(|each| format!("`{}`", printable(&each.title)))
            .collect();
        BadForm::NoExample { asked: printable(title), known: known.join(", ") }
    })
}

fn archive(files: &BTreeMap<String, FileContent>, stdin: &Content) -> Result<Vec<u8>, BadForm> {
    let bad = |why: &dyn std::fmt::Display| BadForm::Files(printable(&why.to_string()));
    let mut sorted: Vec<(&String, &FileContent)> = files.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| path::compare(a, b));
    let mut encoder = Encoder::new();
    for (path, file) in sorted {
        let (kind, bytes) = match file {
            FileContent::Directory => (Kind::Directory, Ok(Vec::new())),
            FileContent::File { content, executable } => {
                let kind = if *executable { Kind::Executable } else { Kind::File };
                (kind, content.clone().into_bytes())
            }
        };
        let bytes = bytes.map_err(|why| bad(&why))?;
        encoder.push(kind, &format!("input/{path}"), &bytes).map_err(|why| bad(&why))?;
    }
    let stdin = stdin.clone().into_bytes().map_err(|why| bad(&why))?;
    if !stdin.is_empty() {
        encoder.push(Kind::File, "stdin", &stdin).map_err(|why| bad(&why))?;
    }
    Ok(encoder.finish())
}
