//! Requests that are no job, or a wrong one.

use http::Method;

use crate::client::{BINARY, JSON, binary_job};
use crate::lb::Lb;

#[tokio::test]
async fn what_is_wrong_with_a_job_is_pointed_at() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let cases = [
        (r#""#, ""),
        (r#"{"#, ""),
        (r#"[]"#, ""),
        (r#"{}"#, ""),
        (r#"{"image":"busybox"} {}"#, ""),
        (r#"{"image":"busybox","foo":1}"#, "/foo"),
        (r#"{"image":"busybox","image":"busybox"}"#, ""),
        (r#"{"image":7}"#, "/image"),
        (r#"{"image":"busybox","args":"ls -l"}"#, "/args"),
        (r#"{"image":"busybox","args":["ls",1]}"#, "/args/1"),
        (r#"{"image":"busybox","args":["\u0000"]}"#, "/args/0"),
        (r#"{"image":"busybox","args":["\ud800"]}"#, "/args/0"),
        (r#"{"image":"busybox","env":{"A":1}}"#, "/env/A"),
        (r#"{"image":"busybox","env":{"A":"1","A":"2"}}"#, "/env"),
        (r#"{"image":"busybox","files":{"a":"1","a":"2"}}"#, "/files"),
        (r#"{"image":"busybox","files":{"../a":"1"}}"#, "/files/..~1a"),
        (r#"{"image":"busybox","files":{"/a":"1"}}"#, "/files/~1a"),
        (r#"{"image":"busybox","files":{"a":"1","a/b":"2"}}"#, "/files/a~1b"),
        (r#"{"image":"busybox","files":{"a":{"text":"1","base64":"MQ=="}}}"#, "/files/a"),
        (r#"{"image":"busybox","files":{"a":{"base64":"?"}}}"#, "/files/a"),
        (r#"{"image":"busybox","files":{"a":{"text":"1","mode":7}}}"#, "/files/a/mode"),
        (r#"{"image":"busybox","stdin":{"base64":"?"}}"#, "/stdin"),
        (r#"{"image":"busybox","limits":{"wall_ms":0}}"#, "/limits/wall_ms"),
        (r#"{"image":"busybox","limits":{"wall_ms":-1}}"#, "/limits/wall_ms"),
        (r#"{"image":"busybox","limits":{"wall_ms":1e3}}"#, "/limits/wall_ms"),
        (r#"{"image":"busybox","limits":{"wall_ms":1e999}}"#, "/limits/wall_ms"),
        (r#"{"image":"busybox","limits":{"wall_ms":NaN}}"#, "/limits/wall_ms"),
        (r#"{"image":"busybox","limits":{"wall_ms":"1"}}"#, "/limits/wall_ms"),
        (r#"{"image":"busybox","limits":{"wall_ms":60001}}"#, "/limits/wall_ms"),
        (r#"{"image":"busybox","limits":{"network":true}}"#, "/limits/network"),
        (r#"{"image":"busybox","requires":{"arch":"vax"}}"#, "/requires/arch"),
        (r#"{"image":"busybox","cache":"no"}"#, "/cache"),
        (r#"{"image":"busybox","outputs":["[" ]}"#, "/outputs/0"),
        (r#"{"image":"busybox","cwd":"here"}"#, "/cwd"),
    ];
    for (json, pointer) in cases {
        let answer = client.run_json(json).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (400, "bad-request"),
            "{json}"
        );
        assert_eq!(answer.json()["pointer"], pointer, "{json}: {}", answer.json()["detail"]);
        assert_eq!(answer.json()["fault"], "client");
    }
    assert_eq!(lb.census().jobs, 0);
}

#[tokio::test]
async fn a_malformed_binary_job_is_refused() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let config = r#"{"image":"busybox"}"#;
    let archive = pe_proto::archive::Encoder::new().finish();
    let mut result_archive = pe_proto::archive::Encoder::new();
    result_archive.push(pe_proto::archive::Kind::File, "output/x", b"").expect("ok");
    let cut_off = &archive[..archive.len() - 1];
    let cases = [
        ("empty", Vec::new(), 400),
        ("half a length", vec![1, 0], 400),
        ("huge config", vec![0xff; 64], 400),
        ("cut off in config", binary_job(config, b"")[..10].to_vec(), 400),
        ("no archive", binary_job(config, b""), 400),
        ("not an archive", binary_job(config, b"not an archive"), 400),
        ("archive cut off", binary_job(config, cut_off), 400),
        ("bytes behind it", binary_job(config, &[archive.clone(), vec![0]].concat()), 400),
        ("a result's archive", binary_job(config, &result_archive.finish()), 400),
        ("files in config", binary_job(r#"{"image":"busybox","files":{}}"#, &archive), 400),
        ("unknown image", binary_job(r#"{"image":"nope"}"#, &archive), 404),
    ];
    for (what, body, status) in cases {
        let sent = client.post(BINARY, "*/*", body).await;
        let answer = sent.answer().await.expect("an answer");
        assert_eq!(answer.status, status, "{what}: {}", answer.json());
        answer.problem();
    }
}

#[tokio::test]
async fn an_unknown_image_names_near_ones() {
    let lb = Lb::start().await;
    let answer = lb.client().await.run_json(r#"{"image":"busibox"}"#).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "unknown-image"));
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("busybox")));
}

#[tokio::test]
async fn other_content_types_paths_and_methods_are_problems() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let text = client.post("text/plain", "*/*", "x").await.answer().await.expect("an answer");
    assert_eq!((text.status.as_u16(), text.problem().as_str()), (415, "unsupported-media-type"));
    let nothing = client.get("/nothing").await;
    assert_eq!((nothing.status.as_u16(), nothing.problem().as_str()), (404, "not-found"));
    for (method, path, allow) in [
        (Method::GET, "/api/v1/run", "POST, OPTIONS"),
        (Method::DELETE, "/api/v1/images", "GET, HEAD, OPTIONS"),
        (Method::POST, "/", "GET, HEAD, OPTIONS"),
    ] {
        let answer = client.request(method, path, &[]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (405, "method-not-allowed")
        );
        assert_eq!(answer.header("allow"), allow);
        let options = client.request(Method::OPTIONS, path, &[]).await;
        assert_eq!((options.status.as_u16(), options.header("allow")), (204, allow));
    }
}

#[tokio::test]
async fn the_catalogue_is_revalidated_and_has_a_head() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let images = client.get("/api/v1/images").await;
    assert_eq!(images.json()["images"][0]["name"], "busybox");
    let etag = images.header("etag").to_owned();
    let check = async |known: &str, status: u16| {
        let headers = [("if-none-match", known)];
        let answer = client.request(Method::GET, "/api/v1/images", &headers).await;
        assert_eq!(answer.status, status, "{known}");
        assert_eq!(answer.body.is_empty(), status == 304);
        assert_eq!(answer.header("etag"), etag);
    };
    check(&etag, 304).await;
    check(&format!("\"x\", W/{etag}"), 304).await;
    check("*", 304).await;
    check("\"x\"", 200).await;
    let head = client.request(Method::HEAD, "/api/v1/images", &[]).await;
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), images.body.len().to_string());
}

#[tokio::test]
async fn the_page_lists_the_images_and_runs_no_script() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let page = client.get("/").await;
    let html = String::from_utf8(page.body.clone()).expect("text");
    assert!(html.contains("<code>busybox</code>") && !html.contains("<script"), "{html}");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(client.get("/style.css").await.header("content-type"), "text/css; charset=utf-8");
}

#[tokio::test]
async fn an_answer_carries_the_request_id_it_was_asked_with() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let given = client.request(Method::GET, "/healthz", &[("x-request-id", "mine-1")]).await;
    assert_eq!(given.header("x-request-id"), "mine-1");
    let bad = client.request(Method::GET, "/healthz", &[("x-request-id", "a b\"")]).await;
    assert!(!bad.header("x-request-id").contains('"'));
    let job = client.post(JSON, "*/*", "{}").await.answer().await.expect("an answer");
    assert_eq!(job.json()["request_id"], job.header("x-request-id"));
}

const FORM: &str = "multipart/form-data; boundary=x";

/// A job without files in each form that it can be posted in.
fn in_every_form(config: &str) -> [(&'static str, Vec<u8>); 3] {
    let part = "--x\r\ncontent-disposition: form-data; name=\"config\"\r\n\r\n";
    let archive = pe_proto::archive::Encoder::new().finish();
    [
        (JSON, config.as_bytes().to_vec()),
        (BINARY, binary_job(config, &archive)),
        (FORM, format!("{part}{config}\r\n--x--\r\n").into_bytes()),
    ]
}

/// Numbers that some systems take for "no limit", in every limit and every form.
#[tokio::test]
async fn case_23_no_number_whatever_lifts_a_limit() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let numbers = [
        "-1",
        "-0.0",
        "1e308",
        "1e999",
        "-1e308",
        "NaN",
        "Infinity",
        "-Infinity",
        "0.5",
        "1.0",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "\"unlimited\"",
        "\"-1\"",
        "\"\"",
        "true",
        "[]",
        "{}",
    ];
    for limit in ["wall_ms", "output_bytes", "stdout_bytes", "stderr_bytes"] {
        for number in numbers {
            let config = format!(r#"{{"image":"busybox","limits":{{"{limit}":{number}}}}}"#);
            for (form, body) in in_every_form(&config) {
                let answer =
                    client.post(form, "*/*", body).await.answer().await.expect("an answer");
                assert_eq!(answer.problem(), "bad-request", "{form} {config}");
                assert_eq!(answer.json()["pointer"], format!("/limits/{limit}"), "{form} {config}");
            }
        }
    }
    assert_eq!(lb.census().jobs, 0);
}

/// What other systems have such fields for.
#[tokio::test]
async fn case_22_no_field_or_header_switches_a_limit_or_the_network_on_or_off() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    for field in [
        "network",
        "enable_network",
        "privileged",
        "user",
        "mounts",
        "cpu_time_limit",
        "priority",
        "class",
        "key",
        "worker",
        "runtime",
    ] {
        for config in [
            format!(r#"{{"image":"busybox","{field}":true}}"#),
            format!(r#"{{"image":"busybox","limits":{{"{field}":1}}}}"#),
            format!(r#"{{"image":"busybox","requires":{{"{field}":1}}}}"#),
        ] {
            for (form, body) in in_every_form(&config) {
                let answer =
                    client.post(form, "*/*", body).await.answer().await.expect("an answer");
                assert_eq!(answer.problem(), "bad-request", "{form} {config}");
            }
        }
    }
    assert_eq!(lb.census().jobs, 0);
}
