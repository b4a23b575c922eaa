//! Forms of images and the commands they become.

use std::collections::BTreeMap;

use pe_proto::limits::{ARG_BYTES_MAX, ARGS_MAX, CONFIG_BYTES_MAX, PLAYGROUND_FLAWS_MAX};
use pe_proto::playground::{Field, Kind, Playground};
use serde::Deserialize;

/// A vector: a playground, and values for it with what they become.
#[derive(Deserialize)]
struct Forms {
    playground: Playground,
    cases: Vec<Case>,
}

/// What is expected is the business of tests.
#[derive(Deserialize)]
struct Case {
    values: BTreeMap<String, String>,
    command: Option<Vec<String>>,
}

/// Reads `data` as a playground and values for its form.
pub fn playground_expansion(data: &[u8]) -> bool {
    let Ok(Forms { playground, cases }) = serde_json::from_slice(data) else {
        return false;
    };
    let text = serde_json::to_vec(&playground).expect("a playground is plain JSON");
    let again: Playground = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, playground);

    let flaws = playground.check();
    assert!(flaws.len() <= PLAYGROUND_FLAWS_MAX);
    if flaws.is_empty() {
        playground.expand(&BTreeMap::new()).expect("defaults are possible");
        for example in &playground.examples {
            playground.expand_example(example).expect("examples are possible");
        }
    }
    for Case { values, command } in cases {
        expand(&playground, command.as_ref().unwrap_or(&playground.command), &values);
    }
    true
}

/// A command is within the bounds of a job, and has as many words as the values have, whatever is
/// in them.
fn expand(playground: &Playground, template: &[String], values: &BTreeMap<String, String>) {
    let expansion = match playground.expand_template(template, values) {
        Ok(expansion) => expansion,
        Err(flaw) => return assert!(flaw.pointer.starts_with("/values")),
    };
    assert!(expansion.args.len() <= ARGS_MAX);
    assert!(expansion.args.iter().all(|word| word.len() <= ARG_BYTES_MAX));
    assert!(expansion.args.iter().map(String::len).sum::<usize>() <= CONFIG_BYTES_MAX);
    let dull: BTreeMap<String, String> = values
        .iter()
        .map(|(name, value)| {
            let field = playground.field(name).expect("its value was accepted");
            (name.clone(), dull(field, value))
        })
        .collect();
    if let Ok(other) = playground.expand_template(template, &dull) {
        assert_eq!(other.args.len(), expansion.args.len());
    }
}

/// A value that gives as many words.
fn dull(field: &Field, value: &str) -> String {
    match field.kind {
        Kind::Text { .. } | Kind::File { .. } if value.is_empty() => String::new(),
        Kind::Text { is_words: true, .. } => {
            let parts =
                value.split([' ', '\t', '\n', '\r', '\x0c']).filter(|part| !part.is_empty());
            parts.map(|_| "x").collect::<Vec<_>>().join(" ")
        }
        Kind::Text { .. } | Kind::File { .. } => "x".to_owned(),
        Kind::Flag { .. } | Kind::Choice { .. } | Kind::Number { .. } => value.to_owned(),
    }
}
