//! No value of a form is ever run as a shell script by the template alone.

use pe_proto::playground::Playground;
use serde_json::json;

/// The words of a command at which a value would be a script.
fn holes(command: &[&str]) -> Vec<String> {
    let playground = json!({
        "command": command,
        "fields": [
            {"name": "text", "kind": "text", "bytes_max": 100, "args": ["{}"]},
            {"name": "words", "kind": "text", "bytes_max": 100, "is_words": true, "args": ["{}"]},
            {"name": "count", "kind": "number", "min": 0, "max": 9, "args": ["-n", "{}"]},
            {"name": "file", "kind": "file", "args": ["{}"]},
            {"name": "inside", "kind": "text", "bytes_max": 100, "args": ["-c", "echo {}"]},
            {"name": "strict", "kind": "flag", "args": ["-eu"]},
            {"name": "script", "kind": "choice", "options": [
                {"value": "", "label": "none", "args": []},
                {"value": "a", "label": "a", "args": ["echo a"]}]},
            {"name": "shell", "kind": "choice", "options": [
                {"value": "sh", "label": "sh", "args": ["sh"]},
                {"value": "bash", "label": "bash", "args": ["bash", "-c"]}]},
        ],
    });
    let playground: Playground = serde_json::from_value(playground).unwrap();
    let flaws = playground.check().into_iter();
    flaws.filter(|flaw| flaw.reason.contains("script")).map(|flaw| flaw.pointer).collect()
}

#[test]
fn a_value_in_place_of_a_script_is_refused() {
    for (command, at) in [
        (&["sh", "-c", "{text}"][..], 2),
        (&["/bin/sh", "-c", "{text}"], 2),
        (&["bash", "-c", "{file}"], 2),
        (&["dash", "-ec", "{count}"], 2),
        (&["busybox", "sh", "-c", "{text}"], 3),
        (&["busybox", "ash", "-c", "{text}"], 3),
        (&["/usr/bin/env", "-i", "zsh", "-lc", "{words}"], 4),
        (&["timeout", "5", "ksh", "-x", "-c", "{text}"], 5),
        (&["sh", "-c", "--", "{text}"], 3),
        (&["sh", "-c", "-o", "errexit", "{text}"], 4),
        (&["bash", "-o", "pipefail", "-c", "{text}"], 4),
        (&["bash", "-o", "{file}", "-c", "{text}"], 4),
        (&["bash", "--rcfile", "rc", "-c", "{text}"], 4),
        (&["bash", "--norc", "+x", "-c", "{text}"], 4),
        (&["sh", "{strict}", "-c", "{text}"], 3),
        (&["sh", "-c", "{strict}", "{text}"], 3),
        (&["sh", "-c", "{script}", "{text}"], 3),
        (&["sh", "{inside}"], 1),
        (&["{shell}", "-c", "{text}"], 2),
        (&["{shell}", "{text}"], 1),
        (&["sh", "-c", "true", ";", "sh", "-c", "{text}"], 6),
    ] {
        assert_eq!(holes(command), [format!("/command/{at}")], "{command:?}");
    }
    assert_eq!(holes(&["sh", "-c", "{script}", "{text}", "{file}"]).len(), 2);
}

#[test]
fn values_may_be_words_for_a_script_or_no_scripts_at_all() {
    for command in [
        &["sh", "-c", "gcc \"$1\" && ./a.out", "sh", "{file}"][..],
        &["sh", "-c", "exec \"$@\"", "{text}", "{words}", "{count}"],
        &["sh", "{file}", "{text}"],
        &["sh", "-e", "{file}"],
        &["sh", "-c", "make", "{strict}"],
        &["gcc", "-c", "{file}"],
        &["python3", "-c", "print(1)", "{text}"],
        &["showsh", "-c", "{text}"],
        &["sh", "-c", "{{text}}"],
        &["{text}"],
        &["cat", "{file}", "{words}"],
    ] {
        assert_eq!(holes(command), [""; 0], "{command:?}");
    }
}
