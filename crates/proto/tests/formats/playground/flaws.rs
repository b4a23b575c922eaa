//! Every flaw is found, with its place.

use pe_proto::playground::Playground;
use serde_json::{Value, json};

use crate::samples;

fn flaws(playground: &Value) -> Vec<String> {
    let playground: Playground = serde_json::from_value(playground.clone()).unwrap();
    playground.check().into_iter().map(|flaw| flaw.pointer).collect()
}

/// The sample with one place changed: the flaws of it.
fn with(pointer: &str, value: Value) -> Vec<String> {
    let mut playground = serde_json::to_value(samples::playground()).unwrap();
    *playground.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    flaws(&playground)
}

#[test]
fn the_sample_and_an_empty_playground_have_no_flaws() {
    assert_eq!(samples::playground().check(), []);
    assert_eq!(Playground::default().check(), []);
}

#[test]
fn one_wrong_place_is_one_flaw_there() {
    let long = "x".repeat(20_000);
    for (pointer, value) in [
        ("/categories/0", json!("Compilers!")),
        ("/takes/0", json!("c")),
        ("/makes/0", json!("Text/Plain")),
        ("/wall_ms", json!(0)),
        ("/wall_ms", json!(600_001)),
        ("/command/0", json!("{optimize}")),
        ("/command/0", json!("a\0b")),
        ("/command/0", json!(long)),
        ("/env/0/name", json!("A=B")),
        ("/env/0/name", json!("")),
        ("/env/0/field", json!("thread")),
        ("/fields/0/label", json!("two\nlines")),
        ("/fields/0/help", json!(long)),
        ("/fields/0/default", json!("3")),
        ("/fields/0/options/1/label", json!("")),
        ("/fields/2/step", json!(0)),
        ("/fields/2/default", json!(9)),
        ("/fields/2/default", json!(3)),
        ("/fields/2/max", json!(9_007_199_254_740_992_i64)),
        ("/fields/3/bytes_max", json!(0)),
        ("/fields/3/bytes_max", json!(16_385)),
        ("/fields/3/args", json!(["-D"])),
        ("/fields/3/args", json!([])),
        ("/fields/4/types/0", json!("*/*")),
        ("/fields/4/args", json!([])),
        ("/conflicts/0/if/field", json!("optimize")),
        ("/conflicts/0/if/value", json!("4")),
        ("/conflicts/0/not/value", json!("yes")),
        ("/examples/0/title", json!("")),
        ("/examples/0/files/main.c", json!({"base64": "?"})),
        ("/examples/0/stdin", json!({"base64": "A"})),
        ("/examples/0/values/threads", json!("7")),
    ] {
        // A changed default or label may upset others that lean on it; it is told first.
        let found = with(pointer, value.clone());
        let told = found.iter().any(|flaw| flaw == pointer);
        assert!(told && found.len() <= 3, "{pointer}: {value}: {found:?}");
    }
}

#[test]
fn names_are_there_once() {
    let mut playground = serde_json::to_value(samples::playground()).unwrap();
    for (list, key) in [
        ("/fields", "/name"),
        ("/env", "/name"),
        ("/examples", "/title"),
        ("/fields/0/options", "/value"),
        ("/takes", ""),
        ("/categories", ""),
    ] {
        let items = playground.pointer_mut(list).unwrap().as_array_mut().unwrap();
        items.push(items[0].clone());
        let expected = format!("{list}/{}{key}", items.len() - 1);
        assert_eq!(flaws(&playground), [expected]);
        playground.pointer_mut(list).unwrap().as_array_mut().unwrap().pop();
    }
}

#[test]
fn conflicts_must_be_possible() {
    assert_eq!(
        with("/conflicts/0/not", json!({"field": "optimise", "value": "2"})),
        ["/conflicts/0"]
    );
    // That of the defaults; the examples have them too.
    let found = with("/conflicts/0/if/value", json!("2"));
    assert_eq!(
        found,
        ["/conflicts/0", "/examples/0/values/warnings", "/examples/1/values/warnings"]
    );
}

#[test]
fn an_example_is_an_input_that_can_be_sent() {
    let files = |files: Value| with("/examples/0/files", files);
    let missing = "/examples/0/values/main";
    assert_eq!(files(json!({})), [missing]);
    assert_eq!(files(json!({"main.c": "", "../x": ""})), ["/examples/0/files/..~1x"]);
    assert_eq!(files(json!({"main.c": "", "a": "", "a/b~": ""})), ["/examples/0/files/a~1b~0"]);
    assert_eq!(files(json!({"main.c": "", "/etc": ""})), ["/examples/0/files/~1etc"]);
    assert_eq!(with("/examples/0/values", json!({"main": "other.c"})), [missing]);
    assert_eq!(with("/examples/0/values", json!({"colour": "red"})), ["/examples/0/values/colour"]);
    assert_eq!(
        with("/examples/0/values", json!({"optimise": "0"})),
        ["/examples/0/values/warnings"]
    );
    // A template of its own that has no file needs none; one that has must find it.
    assert_eq!(with("/examples/1/command", json!(["gcc", "{main}"])), ["/examples/1/values/main"]);
    assert_eq!(with("/examples/1/command", json!(["gcc", "{mian}"])), ["/examples/1/command/1"]);
}

#[test]
fn lists_are_bounded_and_so_are_flaws() {
    let many = |count: usize| Value::from(vec!["{nobody}"; count]);
    assert_eq!(with("/command", many(64)).len(), 64);
    let found = with("/command", many(5000));
    assert_eq!((found.len(), found[0].as_str()), (100, "/command"));
    let option = json!({"value": "2", "label": "two"});
    let found = with("/fields/0/options", Value::from(vec![option; 257]));
    assert_eq!(found[0], "/fields/0/options");
    assert_eq!(with("/takes", Value::from(vec!["a/b"; 65])).len(), 1 + 64);
}
