//! `pe run` by the form of an image.

use std::process::Output;

use pe_proto::archive::Kind;
use serde_json::{Value, json};

use crate::server::{Recorded, Scripted, exited, http, result};
use crate::{output, pe, texts};

fn catalogue() -> Vec<u8> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let playground = json!({
        "wall_ms": 20000, "command": ["gcc", "{level}", "{main}"],
        "env": [{"name": "LEVEL", "field": "level"}],
        "fields": [
            {"name": "level", "kind": "number", "min": 0, "max": 3, "args": ["-O{}"]},
            {"name": "main", "kind": "file", "default": "main.c", "args": ["{}"]}],
        "examples": [{"title": "Hello", "files": {"main.c": "int main;"}, "stdin": "x",
            "values": {"level": "1"}}],
    });
    let image = |name: &str, playground: Value| {
        json!({"name": name, "tags": ["1"], "title": "", "description": "",
            "platforms": [{"arch": "x86_64", "digest": digest,
                "pack": {"digest": digest, "bytes": 1, "prefix": ""},
                "config": {"entrypoint": [], "cmd": [], "env": [], "workdir": "", "user": ""}}],
            "playground": playground})
    };
    let images = json!([image("gcc", playground), image("plain", Value::Null)]);
    let text = json!({"version": 2, "images": images}).to_string();
    http("200 OK", "application/json", text.as_bytes())
}

fn ask(args: &[&str], answers: Vec<Vec<u8>>) -> (Output, Vec<Recorded>) {
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(args);
    let asked = server.answer(answers);
    let done = output(&mut pe);
    (done, asked.join().expect("served"))
}

#[test]
fn an_example_is_sent_as_its_author_meant_it() {
    let args = ["--image", "gcc", "--example", "hello", "--set", "level=3", "--env", "A=1"];
    let (done, asked) = ask(&args, vec![catalogue(), result(exited(0), &[])]);
    assert_eq!(texts(&done), (Some(0), "", ""));
    let (config, entries) = asked.last().expect("a run").job();
    assert_eq!(config.args.expect("args"), ["gcc", "-O3", "main.c"]);
    let env: Vec<(String, String)> = config.env.into_iter().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(env, [pair("A", "1"), pair("LEVEL", "3")]);
    assert_eq!(config.limits.wall_ms, Some(20_000));
    let expected: [(Kind, &str, &[u8]); 2] =
        [(Kind::File, "input/main.c", b"int main;"), (Kind::File, "stdin", b"x")];
    let expected = expected.map(|(kind, path, data)| (kind, path.to_owned(), data.to_vec()));
    assert_eq!(entries, expected);
}

#[test]
fn what_the_form_does_not_have_is_said() {
    for (args, wanted) in [
        (
            &["--image", "gcc", "--example", "Helo"][..],
            "there is no example `Helo`; there are: `Hello`",
        ),
        (&["--image", "gcc", "--set", "level"], "--set `level`: expected FIELD=VALUE"),
        (&["--image", "gcc", "--set", "level=4"], "--set: level: expected 0 to 3, got 4"),
        (&["--image", "gcc", "--set", "colour=red"], "--set: colour: there is no such field"),
        (&["--image", "plain", "--set", "a=b"], "the image `plain` has no form and no examples"),
        (&["--image", "none", "--set", "a=b"], "the server has no image `none`"),
    ] {
        let (done, asked) = ask(args, vec![catalogue()]);
        let (status, out, err) = texts(&done);
        assert_eq!((status, out, asked.len()), (Some(2), "", 1), "{args:?}: {err}");
        assert!(err.contains(wanted), "{args:?}: {err}");
    }
}
