//! The API's JSON: what a client may say, and what is refused (threat cases 22, 23 and 37).

use pe_proto::Digest;
use pe_proto::api::{Answer, Content, FileContent, ProblemKind, RunConfig, RunRequest};
use pe_proto::catalogue::{Basis, Catalogue, Pack};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use serde_json::{Value, json};

use crate::{samples, strategies};

fn parse(text: &str) -> Result<RunRequest, String> {
    serde_json::from_str(text).map_err(|bad| bad.to_string())
}

fn refusal(text: &str) -> String {
    parse(text).expect_err(text)
}

#[test]
fn an_image_is_all_that_a_request_needs() {
    let request = parse(r#"{"image":"gcc"}"#).unwrap();
    assert_eq!(request.args, None);
    assert_eq!(request.limits.wall_ms, None);
    assert!(request.files.is_empty());
    assert!(refusal("{}").contains("missing field `image`"));
}

#[test]
fn null_is_absent_where_absent_is_allowed() {
    let text = r#"{"image":"gcc","entrypoint":null,"args":null,"cwd":null,"stdin":null,
        "limits":{"wall_ms":null},"requires":{"arch":null}}"#;
    assert_eq!(parse(text), parse(r#"{"image":"gcc"}"#));
    for text in [
        r#"{"image":null}"#,
        r#"{"image":"gcc","env":null}"#,
        r#"{"image":"gcc","files":null}"#,
        r#"{"image":"gcc","files":{"a":null}}"#,
        r#"{"image":"gcc","outputs":null}"#,
        r#"{"image":"gcc","limits":null}"#,
        r#"{"image":"gcc","requires":null}"#,
        r#"{"image":"gcc","cache":null}"#,
    ] {
        refusal(text);
    }
}

#[test]
fn unknown_fields_are_refused_everywhere() {
    for text in [
        r#"{"image":"gcc","network":true}"#,
        r#"{"image":"gcc","limits":{"wall_time":1}}"#,
        r#"{"image":"gcc","requires":{"gpu":1}}"#,
        r#"{"image":"gcc","stdin":{"base64":"","x":1}}"#,
        r#"{"image":"gcc","files":{"a":{"text":"","mode":511}}}"#,
    ] {
        assert!(refusal(text).contains("unknown field"), "{text}");
    }
    assert!(serde_json::from_str::<RunConfig>(r#"{"image":"gcc","stdin":"x"}"#).is_err());
    assert!(serde_json::from_str::<RunConfig>(r#"{"image":"gcc","files":{}}"#).is_err());
}

#[test]
fn limits_that_are_no_whole_numbers_are_refused() {
    for value in [
        "-1",
        "1.5",
        "1e308",
        "1e3",
        "1e999",
        "-0",
        "\"10000\"",
        "true",
        "[]",
        "[10000]",
        "{}",
        "18446744073709551616",
        "NaN",
        "Infinity",
        "0x10",
    ] {
        for field in ["wall_ms", "output_bytes", "stdout_bytes", "stderr_bytes"] {
            refusal(&format!(r#"{{"image":"gcc","limits":{{"{field}":{value}}}}}"#));
        }
    }
    let text = r#"{"image":"gcc","limits":{"wall_ms":18446744073709551615}}"#;
    assert_eq!(parse(text).unwrap().limits.wall_ms, Some(u64::MAX), "for the spec to refuse");
}

#[test]
fn wrong_types_are_refused() {
    for field in [
        r#""image":1"#,
        r#""args":"sh""#,
        r#""args":[1]"#,
        r#""args":{}"#,
        r#""entrypoint":false"#,
        r#""env":["A=1"]"#,
        r#""env":{"A":1}"#,
        r#""cwd":[]"#,
        r#""stdin":1"#,
        r#""stdin":["a"]"#,
        r#""stdin":{}"#,
        r#""files":["a"]"#,
        r#""files":{"a":1}"#,
        r#""files":{"a":["x"]}"#,
        r#""outputs":"**""#,
        r#""requires":{"arch":"vax"}"#,
        r#""cache":"maybe""#,
        r#""cache":true"#,
    ] {
        let image = if field.contains("image") { "" } else { r#""image":"gcc","# };
        refusal(&format!("{{{image}{field}}}"));
    }
}

#[test]
fn an_array_is_not_taken_for_an_object() {
    refusal(r#"["gcc"]"#);
    refusal(r#"["gcc",null,["sh"],{},null,null,{},[],{},{},"use"]"#);
    refusal(r#"{"image":"gcc","limits":[10000]}"#);
    refusal(r#"{"image":"gcc","limits":[]}"#);
    refusal(r#"{"image":"gcc","requires":["x86_64"]}"#);
    assert!(serde_json::from_str::<RunConfig>(r#"["gcc"]"#).is_err());
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    for text in [
        r#"{"image":"gcc","image":"gcc"}"#,
        r#"{"image":"gcc","env":{},"env":{}}"#,
        r#"{"image":"gcc","env":{"A":"1","A":"1"}}"#,
        r#"{"image":"gcc","env":{"A":"1","\u0041":"2"}}"#,
        r#"{"image":"gcc","files":{"a":"1","a":"2"}}"#,
        r#"{"image":"gcc","files":{"a":{"text":"1","text":"2"}}}"#,
        r#"{"image":"gcc","limits":{"wall_ms":1,"wall_ms":2}}"#,
        r#"{"image":"gcc","stdin":{"base64":"","base64":""}}"#,
    ] {
        refusal(text);
    }
}

#[test]
fn the_path_to_a_wrong_field_is_known() {
    let path = |text: &str| {
        let json = &mut serde_json::Deserializer::from_str(text);
        let read: Result<RunRequest, _> = serde_path_to_error::deserialize(json);
        read.expect_err(text).path().to_string()
    };
    assert_eq!(path(r#"{"image":1}"#), "image");
    assert_eq!(path(r#"{"image":"gcc","args":["sh",1]}"#), "args[1]");
    assert_eq!(path(r#"{"image":"gcc","limits":{"wall_ms":-1}}"#), "limits.wall_ms");
    assert_eq!(path(r#"{"image":"gcc","limits":[1]}"#), "limits");
    assert_eq!(path(r#"{"image":"gcc","env":{"A":1}}"#), "env.A");
    assert_eq!(path(r#"{"image":"gcc","files":{"a":{"text":1}}}"#), "files.a.text");
    assert_eq!(path(r#"{"image":"gcc","network":1}"#), "network");
}

#[test]
fn a_file_is_exactly_one_of_text_base64_and_directory() {
    let file = |text: &str| serde_json::from_str::<FileContent>(text);
    let executable = file(r#"{"base64":"AA==","executable":true}"#).unwrap();
    let content = Content::Base64 { base64: "AA==".to_owned() };
    assert_eq!(executable, FileContent::File { content, executable: true });
    assert_eq!(file(r#"{"directory":true}"#).unwrap(), FileContent::Directory);
    for text in [
        "{}",
        r#"{"executable":true}"#,
        r#"{"directory":false}"#,
        r#"{"text":"","base64":""}"#,
        r#"{"text":"","directory":true}"#,
        r#"{"directory":true,"executable":true}"#,
        r#"{"text":"","executable":"yes"}"#,
        r#"{"text":"","executable":1}"#,
    ] {
        assert!(file(text).is_err(), "{text}");
    }
}

#[test]
fn base64_that_is_none_is_refused() {
    for base64 in ["A", "AA", "AA=", "AB==", "A A=", "-_8=", "AA==\n", "AA==AA==", "ä"] {
        let content = Content::Base64 { base64: base64.to_owned() };
        assert!(content.into_bytes().is_err(), "{base64}");
    }
}

#[test]
fn json_nested_without_end_is_refused() {
    let depth = 100_000;
    refusal(&format!(r#"{{"image":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth)));
    refusal(&format!(r#"{{"image":"gcc","files":{}"#, r#"{"a":"#.repeat(depth)));
}

#[test]
fn what_cannot_be_common_to_two_packs_is_passed_over() {
    let (pack, other) = (Digest([1; 32]), Digest([2; 32]));
    let usable = |other: Digest, from: u64, to: u64| {
        let said = serde_json::json!({"digest": pack, "bytes": 10, "prefix": "",
            "based_on": {"pack": other, "from": from, "to": to}});
        serde_json::from_value::<Pack>(said).expect("it is read").basis().is_some()
    };
    assert!(usable(other, 0, 10) && usable(other, 3, 4));
    assert!(!usable(other, 3, 3) && !usable(other, 4, 3), "nothing is common");
    assert!(!usable(other, 0, 11) && !usable(other, u64::MAX - 1, u64::MAX), "beyond the end");
    assert!(!usable(pack, 0, 10), "the pack itself");
    let plain = serde_json::json!({"digest": pack, "bytes": 10, "prefix": ""});
    let plain: Pack = serde_json::from_value(plain).expect("it is read");
    assert_eq!(plain.based_on, None);
    let more = serde_json::json!({"pack": other, "from": 0, "to": 1, "more": 1});
    assert!(serde_json::from_value::<Basis>(more).is_err(), "unknown fields are refused");
}

#[test]
fn a_catalogue_of_another_version_is_refused() {
    let with = |key: &str, value: Value| {
        let mut catalogue = serde_json::to_value(samples::catalogue()).unwrap();
        catalogue[key] = value;
        serde_json::from_value::<Catalogue>(catalogue)
    };
    assert!(with("version", json!(2)).is_ok());
    for version in [json!(0), json!(1), json!(3), json!("2"), json!(2.0), json!(null)] {
        assert!(with("version", version.clone()).is_err(), "{version}");
    }
    assert!(with("more", json!([])).is_err());
}

#[test]
fn every_problem_has_its_own_name() {
    let mut names: Vec<&str> = ProblemKind::ALL.into_iter().map(ProblemKind::as_str).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ProblemKind::ALL.len());
}

proptest! {
    #[test]
    fn bytes_survive_as_content(bytes in vec(any::<u8>(), 0..50)) {
        let text = serde_json::to_string(&Content::from_bytes(&bytes)).unwrap();
        let content: Content = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(content.into_bytes().unwrap(), bytes);
    }

    #[test]
    fn text_is_returned_as_text(text in strategies::text()) {
        prop_assert_eq!(Content::from_bytes(text.as_bytes()), Content::Text(text));
    }

    #[test]
    fn every_request_survives_as_json(
        image in strategies::text(),
        args in proptest::option::of(strategies::texts()),
        env in strategies::text_map(),
        outputs in strategies::texts(),
        wall_ms in proptest::option::of(any::<u64>()),
        files in strategies::text_map(),
    ) {
        let mut request = RunRequest { image, args, env, outputs, ..samples::run_request() };
        request.limits.wall_ms = wall_ms;
        request.files.extend(files.into_iter().map(|(path, text)| {
            let content = Content::Text(text);
            (path, FileContent::File { content, executable: false })
        }));
        let text = serde_json::to_string(&request).unwrap();
        prop_assert_eq!(serde_json::from_str::<RunRequest>(&text).unwrap(), request);
    }

    #[test]
    fn every_answer_survives_as_json(
        outcome in strategies::outcome(),
        usage in strategies::usage(),
        truncated in strategies::truncated(),
        notes in strategies::texts(),
        ran_on in proptest::option::of(strategies::ran_on()),
        limits in strategies::limits(),
        stdout in vec(any::<u8>(), 0..50),
    ) {
        let mut answer = samples::answer();
        answer.stdout = Content::from_bytes(&stdout);
        let head = &mut answer.head;
        (head.outcome, head.usage, head.truncated) = (outcome, usage, truncated);
        (head.notes, head.ran_on, head.limits) = (notes, ran_on, limits);
        let text = serde_json::to_string(&answer).unwrap();
        prop_assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    }
}
