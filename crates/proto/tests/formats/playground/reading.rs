//! What is JSON of a playground, and what is not.

use pe_proto::playground::{Field, Kind, Playground};
use serde_json::{Value, json};

use crate::samples;

fn field(json: Value) -> Result<Field, String> {
    serde_json::from_value(json).map_err(|bad| bad.to_string())
}

#[test]
fn what_is_left_out_has_its_default_and_is_written_out() {
    let text = r#"{"command":["a","{b}"],"fields":[{"name":"b","kind":"flag","args":["-b"]}]}"#;
    let playground: Playground = serde_json::from_str(text).unwrap();
    let written = serde_json::to_value(&playground).unwrap();
    let expected = json!({
        "categories": [], "takes": [], "makes": [], "wall_ms": null, "command": ["a", "{b}"],
        "env": [], "conflicts": [], "examples": [],
        "fields": [{"name": "b", "label": "b", "help": "", "kind": "flag", "default": false,
            "args": ["-b"]}],
    });
    assert_eq!(written, expected);
    let example = json!({"examples": [{"title": "t"}]});
    let playground: Playground = serde_json::from_value(example).unwrap();
    let expected = json!({"title": "t", "description": "", "files": {}, "stdin": "", "values": {},
        "command": null});
    assert_eq!(serde_json::to_value(&playground).unwrap()["examples"][0], expected);
}

#[test]
fn a_choice_begins_with_its_first_option() {
    let options = json!([{"value": "c11", "label": "C11"}, {"value": "c17", "label": "C17"}]);
    let field = field(json!({"name": "std", "kind": "choice", "options": options})).unwrap();
    assert_eq!(field.default_value(), "c11");
}

#[test]
fn each_kind_has_its_own_keys() {
    for (json, expected) in [
        (json!({"name": "a", "kind": "flag", "min": 1}), "`min` is not for fields of this kind"),
        (json!({"name": "a", "kind": "choice", "args": []}), "`args` is not for"),
        (json!({"name": "a", "kind": "file", "bytes_max": 1}), "`bytes_max` is not for"),
        (json!({"name": "a", "kind": "text", "bytes_max": 9, "types": []}), "`types` is not for"),
        (json!({"name": "a", "kind": "number", "min": 1}), "a number needs `max`"),
        (json!({"name": "a", "kind": "text"}), "a text needs `bytes_max`"),
        (json!({"name": "a", "kind": "flag", "default": "true"}), "to be true or false"),
        (json!({"name": "a", "kind": "choice", "default": 2}), "to be a string"),
        (json!({"name": "a", "kind": "text", "bytes_max": 9, "default": false}), "to be a string"),
        (
            json!({"name": "a", "kind": "number", "min": 1, "max": 2, "default": "1"}),
            "to be a whole number",
        ),
        (json!({"name": "a", "kind": "flag", "default": 1.5}), "a whole number, a string"),
        (json!({"name": "a", "kind": "colour"}), "unknown variant `colour`"),
        (json!({"name": "a"}), "missing field `kind`"),
        (json!({"kind": "flag"}), "missing field `name`"),
        (json!({"name": "a", "kind": "flag", "required": true}), "unknown field `required`"),
        (json!(["a"]), "an object"),
    ] {
        let refusal = field(json.clone()).expect_err("no field");
        assert!(refusal.contains(expected), "{json}: {refusal}");
    }
}

#[test]
fn unknown_and_doubled_keys_are_refused_everywhere() {
    for text in [
        r#"{"colour":1}"#,
        r#"{"command":[],"command":[]}"#,
        r#"{"env":[{"name":"A","field":"a","x":1}]}"#,
        r#"{"conflicts":[{"if":{"field":"a","value":"1"},"not":{"field":"b"}}]}"#,
        r#"{"conflicts":[{"if":{"field":"a","value":true},"not":{"field":"b","value":"1"}}]}"#,
        r#"{"examples":[{"title":"t","files":{"a":"1","a":"2"}}]}"#,
        r#"{"examples":[{"title":"t","values":{"a":"1","a":"2"}}]}"#,
        r#"{"examples":[{"title":"t","values":{"a":1}}]}"#,
        r#"{"examples":[{"files":{}}]}"#,
        r#"{"fields":{}}"#,
        r#"[]"#,
        r#""""#,
    ] {
        assert!(serde_json::from_str::<Playground>(text).is_err(), "{text}");
    }
}

#[test]
fn a_field_is_written_as_it_was_read() {
    for field in samples::playground().fields {
        let json = serde_json::to_value(&field).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let of_kind: &[&str] = match field.kind {
            Kind::Flag { .. } => &["args"],
            Kind::Choice { .. } => &["options"],
            Kind::Number { .. } => &["args", "max", "min", "step"],
            Kind::Text { .. } => &["args", "bytes_max", "is_words"],
            Kind::File { .. } => &["args", "types"],
        };
        let mut expected = [&["default", "help", "kind", "label", "name"], of_kind].concat();
        expected.sort_unstable();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
        assert_eq!(serde_json::from_value::<Field>(json).unwrap(), field);
    }
}
