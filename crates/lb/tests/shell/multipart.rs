//! Jobs as HTML forms, and as curl makes them.

use std::io::Write as _;

use http::Method;
use pe_proto::archive::{Encoder, Kind};

use crate::client::{Answer, Client};
use crate::lb::Lb;
use crate::worker::{exited, result};

const TYPE: &str = "multipart/form-data; boundary=\"the end of a part\"";

/// A part: its name, its file name, its bytes.
type Part<'a> = (&'a str, Option<&'a str>, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
        let _ = write!(body, "--the end of a part\r\n");
        let _ = write!(body, "content-disposition: form-data; name=\"{name}\"{file}\r\n");
        let _ = write!(body, "content-type: text/html\r\n\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--the end of a part--\r\n");
    body
}

async fn send(client: &Client, body: Vec<u8>) -> Answer {
    client.post(TYPE, "*/*", body).await.answer().await.expect("an answer")
}

#[tokio::test]
async fn a_form_is_the_same_job_as_its_json() {
    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let client = lb.client().await;
    let every: Vec<u8> = (0..=255).collect();
    let body = form(&[
        ("file", Some("b/größe.txt"), b"x\r\n--the end"),
        ("stdin", None, b"typed"),
        ("executable", Some("a-b"), b"#!/bin/sh"),
        ("config", None, br#"{"image":"busybox","args":["cat"]}"#),
        ("file", Some("a/b"), &every),
        ("file", Some(""), b""),
    ]);
    let parked = worker.park().await;
    let sent = client.post(TYPE, "*/*", body).await;
    let lease = parked.lease().await.expect("the job");
    let mut expected = Encoder::new();
    expected.push(Kind::File, "input/a/b", &every).expect("ok");
    expected.push(Kind::Executable, "input/a-b", b"#!/bin/sh").expect("ok");
    expected.push(Kind::File, "input/b/größe.txt", b"x\r\n--the end").expect("ok");
    expected.push(Kind::File, "stdin", b"typed").expect("ok");
    assert!(lease.archive == expected.finish());
    assert_eq!(worker.done(lease.head.lease, exited(0), &result(b"hi", &[])).await, 204);
    let answer = sent.answer().await.expect("an answer");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json()["stdout"], "hi");
    // Base64 of all bytes in the JSON form; a hit says that it is the same job.
    let json = serde_json::json!({"image": "busybox", "args": ["cat"], "stdin": "typed", "files": {
        "a/b": pe_proto::api::Content::from_bytes(&every),
        "a-b": {"text": "#!/bin/sh", "executable": true},
        "b/größe.txt": "x\r\n--the end",
    }});
    let hit = client.run_json(&json.to_string()).await;
    assert_eq!(hit.json()["cache"], "hit");
    assert_eq!(hit.header("pe-job"), answer.header("pe-job"));
}

#[tokio::test]
async fn a_form_that_is_no_job_is_refused() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let config: Part<'_> = ("config", None, br#"{"image":"busybox"}"#);
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("no config", form(&[("file", Some("a"), b"")]), ""),
        ("two configs", form(&[config, config]), ""),
        ("another part", form(&[config, ("x", None, b"")]), ""),
        ("a file without a name", form(&[config, ("file", None, b"x")]), ""),
        ("a file with an empty name", form(&[config, ("file", Some(""), b"x")]), "/files/"),
        ("a way out", form(&[config, ("file", Some("../x"), b"x")]), "/files/..~1x"),
        (
            "a file twice",
            form(&[config, ("file", Some("a"), b"1"), ("file", Some("a"), b"1")]),
            "/files/a",
        ),
        ("a bad field", form(&[("config", None, br#"{"image":"busybox","args":7}"#)]), "/args"),
        (
            "files in config",
            form(&[("config", None, br#"{"image":"busybox","files":{}}"#)]),
            "/files",
        ),
        ("cut off", form(&[config])[..80].to_vec(), ""),
    ];
    for (what, body, pointer) in cases {
        let answer = send(&client, body).await;
        let said = (answer.status.as_u16(), answer.problem());
        assert_eq!(said, (400, "bad-request".to_owned()), "{what}: {}", answer.json());
        let told = answer.json()["pointer"].as_str().unwrap_or_default().to_owned();
        assert_eq!(told, pointer, "{what}");
    }
    let unknown = send(&client, form(&[("config", None, br#"{"image":"nope"}"#)])).await;
    assert_eq!(unknown.problem(), "unknown-image");
    let without = client.post("multipart/form-data", "*/*", Vec::new()).await;
    assert_eq!(without.answer().await.expect("an answer").status, 415, "no boundary");
    let headers = [("content-type", TYPE), ("content-length", "100000000")];
    let sent = client.begin(Method::POST, "/api/v1/run", &headers, false).await;
    assert_eq!(sent.response.await.expect("an answer at once").status(), 413);
}
