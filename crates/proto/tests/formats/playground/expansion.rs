//! From values to words: the vectors that the page shares, and what no value can do.

use std::collections::BTreeMap;

use pe_proto::playground::{Expansion, Field, Kind, Playground};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde::Deserialize;

use crate::{samples, strategies, vectors};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    playground: Playground,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    values: BTreeMap<String, String>,
    #[serde(default)]
    command: Option<Vec<String>>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The pointer of the flaw, where there is one.
    #[serde(default)]
    error: Option<String>,
}

#[test]
fn every_case_of_the_vectors_expands_as_it_says() {
    let all = vectors::all().into_iter();
    let mut count = 0;
    for (_, name, bytes) in all.filter(|(message, ..)| message == "playground_expansion") {
        let Vector { playground, cases } = serde_json::from_slice(&bytes).expect(&name);
        assert_eq!(playground.check(), [], "{name}");
        for case in cases {
            let template = case.command.as_ref().unwrap_or(&playground.command);
            let found = playground.expand_template(template, &case.values);
            let expected = match case.error {
                Some(pointer) => Err(pointer),
                None => Ok(Expansion { args: case.args, env: case.env }),
            };
            assert_eq!(found.map_err(|flaw| flaw.pointer), expected, "{name}: {}", case.name);
            count += 1;
        }
    }
    assert!(count > 40, "{count} cases: the vectors are gone");
}

#[test]
fn a_conflict_tells_its_reason_or_what_is_known() {
    let mut playground = samples::playground();
    let values = BTreeMap::from([("optimise".to_owned(), "0".to_owned())]);
    assert_eq!(playground.expand(&values).unwrap_err().reason, "A sentence.");
    playground.conflicts[0].why.clear();
    let said = playground.expand(&values).unwrap_err().reason;
    assert_eq!(said, "`warnings` cannot be `true` while `optimise` is `0`");
}

#[test]
fn a_command_that_no_job_could_have_is_never_made() {
    let field = |is_words, args: &[&str]| Field {
        name: "t".to_owned(),
        label: "t".to_owned(),
        help: String::new(),
        kind: Kind::Text {
            default: String::new(),
            bytes_max: 16_384,
            is_words,
            args: args.iter().map(|&word| word.to_owned()).collect(),
        },
    };
    let expand = |field: Field, value: String| {
        let command = vec!["a".to_owned(), "{t}".to_owned()];
        let playground = Playground { command, fields: vec![field], ..Playground::default() };
        assert_eq!(playground.check(), []);
        playground.expand(&BTreeMap::from([("t".to_owned(), value)]))
    };
    let words = |count: usize| "x ".repeat(count);
    assert_eq!(expand(field(true, &["{}"]), words(4095)).unwrap().args.len(), 4096);
    assert_eq!(expand(field(true, &["{}"]), words(4096)).unwrap_err().pointer, "/values/t");
    let holes = "{}".repeat(8);
    assert!(expand(field(false, &[&holes]), "x".repeat(16_383)).is_ok());
    assert!(expand(field(false, &[&holes]), "x".repeat(16_384)).is_err(), "one word of 131072");
    assert!(expand(field(false, &["{}"; 15]), "x".repeat(16_384)).is_ok());
    assert!(expand(field(false, &["{}"; 16]), "x".repeat(16_384)).is_err(), "262144 in all, and 1");
    // A gigabyte, if it were made before it was counted.
    let bomb = "{}".repeat(8192);
    assert!(expand(field(false, &[bomb.as_str(); 8]), "x".repeat(16_384)).is_err());
}

/// Values that would do harm in a shell, in a template or in a split, and any others.
fn nasty() -> impl Strategy<Value = String> {
    let harm = proptest::sample::select(
        &[
            "",
            " ",
            "'",
            "\"",
            "\\",
            "$(reboot)",
            "`id`",
            ";",
            "&&",
            "|",
            ">",
            "*",
            "~",
            "-",
            "--",
            "{}",
            "{main}",
            "{{main}}",
            "{defines}",
            "$1",
            "%s",
            "\n",
            "\r\n",
            "\t",
            "\u{85}",
            "\u{a0}",
            "\u{2028}",
            "=",
            "#",
            "é",
            "\u{1f4a9}",
            "\u{202e}",
        ][..],
    );
    vec(prop_oneof![3 => harm.prop_map(str::to_owned), 1 => strategies::text()], 0..6)
        .prop_map(|parts| parts.concat().replace('\0', ""))
}

proptest! {
    /// Words around a value's stay where they are, and its own are the value and nothing else.
    #[test]
    fn no_value_is_more_than_its_own_words(text in nasty(), words in nasty(), on in any::<bool>()) {
        let field = |name: &str, is_words, args: &[&str]| Field {
            name: name.to_owned(),
            label: name.to_owned(),
            help: String::new(),
            kind: Kind::Text {
                default: String::new(),
                bytes_max: 4096,
                is_words,
                args: args.iter().map(|&word| word.to_owned()).collect(),
            },
        };
        let flag = Kind::Flag { default: false, args: vec!["--on".to_owned(), "{}".to_owned()] };
        let flag =
            Field { name: "on".to_owned(), label: "on".to_owned(), help: String::new(), kind: flag };
        let command = ["sh", "-c", "exec \"$@\"", "{text}", "{{text}}", "{words}", "{on}", "end"];
        let playground = Playground {
            command: command.map(str::to_owned).to_vec(),
            fields: vec![
                field("text", false, &["--text", "<{}|{}>"]), field("words", true, &["-w{}"]), flag,
            ],
            env: serde_json::from_str(r#"[{"name":"TEXT","field":"text"}]"#).unwrap(),
            ..Playground::default()
        };
        prop_assert_eq!(playground.check(), []);
        let values = [("text", text.clone()), ("words", words.clone()), ("on", on.to_string())];
        let values = values.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let Expansion { args, env } = playground.expand(&values).unwrap();

        let mut args = args.into_iter();
        let mut take = |count: usize| args.by_ref().take(count).collect::<Vec<String>>();
        prop_assert_eq!(take(3), ["sh", "-c", "exec \"$@\""]);
        if !text.is_empty() {
            prop_assert_eq!(take(2), ["--text".to_owned(), format!("<{text}|{text}>")]);
        }
        prop_assert_eq!(take(1), ["{text}"]);
        let is_space = |char: char| matches!(char, ' ' | '\t' | '\n' | '\r' | '\x0c');
        for part in words.split(is_space).filter(|part| !part.is_empty()) {
            prop_assert_eq!(take(1), [format!("-w{part}")]);
        }
        if on {
            prop_assert_eq!(take(2), ["--on", "{}"]);
        }
        prop_assert_eq!(take(2), ["end"]);
        prop_assert_eq!(env.get("TEXT"), Some(&text).filter(|text| !text.is_empty()));
    }

    /// Any text at all as a value: it is accepted, or refused at its own place.
    #[test]
    fn any_value_is_accepted_or_refused_at_its_place(
        name in proptest::sample::select(&["optimise", "warnings", "threads", "defines", "main"][..]),
        value in prop_oneof![nasty(), strategies::text(), "-?[0-9]{1,20}"],
    ) {
        let playground = samples::playground();
        let values = BTreeMap::from([(name.to_owned(), value.clone())]);
        let accepted = playground.field(name).unwrap().accepts(&value);
        match playground.expand(&values) {
            Ok(_) => prop_assert!(accepted.is_ok()),
            Err(flaw) => {
                let conflict = name == "optimise" && value == "0";
                let at = if conflict { "/values/warnings" } else { &format!("/values/{name}") };
                prop_assert_eq!(flaw.pointer, at);
                prop_assert!(accepted.is_err() || conflict);
            }
        }
    }

    #[test]
    fn a_number_has_one_spelling(number in any::<i64>()) {
        let mut playground = samples::playground();
        let edge = 9_007_199_254_740_991;
        playground.fields[2].kind =
            Kind::Number { min: -edge, max: edge, step: 1, default: None, args: Vec::new() };
        let field = &playground.fields[2];
        let text = (number % (edge + 1)).to_string();
        prop_assert!(field.accepts(&text).is_ok());
        for other in [format!("+{text}"), format!("0{text}"), format!(" {text}"), format!("{text}.0")] {
            prop_assert!(field.accepts(&other).is_err());
        }
    }
}
