//! `docs/openapi.json` says what the code does: every path, problem and field, both ways; and the
//! examples beside it are run.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use pe_lb::respond::Failure;
use pe_lb::shell::router::API;
use pe_proto::api::{
    Answer, AnswerFile, AnswerHead, CacheStatus, Content, FileBytes, LimitsRequest, PageState,
    Phases, ProblemKind, Progress, Requires, RunConfig, RunRequest,
};
use pe_proto::catalogue::{Basis, Catalogue, Image, ImageConfig, Pack, Platform, VERSION};
use pe_proto::outcome::{Clock, Fault, RanOn, Usage};
use pe_proto::playground::Playground;
use pe_proto::{Arch, Digest, JobLimits, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::process::Command;

use crate::deploy::repository;
use crate::lb::Lb;

fn openapi() -> Value {
    let text = std::fs::read_to_string(repository("docs/openapi.json")).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

fn at<'a>(api: &'a Value, place: &str) -> &'a Value {
    api.pointer(place).unwrap_or_else(|| panic!("{place} is not in docs/openapi.json"))
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn the_file_has_every_path_and_method_and_no_other() {
    let api = openapi();
    let documented = keys(at(&api, "/paths"));
    let there: BTreeSet<String> = API.iter().map(|endpoint| endpoint.path.to_owned()).collect();
    assert_eq!(documented, there);
    for endpoint in API {
        let item = at(&api, "/paths").get(endpoint.path).expect("a path");
        let mut methods = keys(item);
        methods.remove("parameters");
        let allowed: BTreeSet<String> = endpoint.allow.split(", ").map(str::to_lowercase).collect();
        assert_eq!(methods, allowed, "{}", endpoint.path);
    }
}

#[test]
fn the_file_has_every_problem_with_its_status_and_no_other() {
    let api = openapi();
    let name = |kind: ProblemKind| format!("urn:pe:problem:{}", kind.as_str());
    let there: BTreeSet<String> = ProblemKind::ALL.into_iter().map(name).collect();
    let listed = at(&api, "/components/schemas/Problem/properties/type/enum");
    let listed = listed.as_array().expect("a list").iter();
    let listed: BTreeSet<String> =
        listed.map(|each| each.as_str().expect("text").to_owned()).collect();
    assert_eq!(listed, there);
    for kind in ProblemKind::ALL {
        let status = Failure::new(kind, "").respond("id").status().as_u16();
        let responses = at(&api, "/components/responses").as_object().expect("an object");
        let of_kind = responses.values().find_map(|response| {
            let parts = response.pointer("/content/application~1problem+json/schema/allOf")?;
            let told = parts.get(1)?.get("properties")?;
            let kinds = told.pointer("/type/enum")?.as_array()?;
            kinds.contains(&name(kind).into()).then(|| told.pointer("/status/const").cloned())?
        });
        assert_eq!(of_kind, Some(status.into()), "{}", kind.as_str());
    }
}

/// Fields that a type takes, as its complaint about another lists them.
fn taken<T: DeserializeOwned + std::fmt::Debug>(good: &str) -> BTreeSet<String> {
    let text = format!(
        "{}{}\"nobody_has_this\":1}}",
        &good[..good.len() - 1],
        if good == "{}" { "" } else { "," }
    );
    let told = serde_json::from_str::<T>(&text).expect_err("an unknown field").to_string();
    let (_, list) = told.split_once("expected ").expect("a list of fields");
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_file_has_every_field_of_a_request_and_no_other() {
    let api = openapi();
    let check = |schema: &str, there: BTreeSet<String>| {
        let place = format!("/components/schemas/{schema}");
        assert_eq!(keys(at(&api, &format!("{place}/properties"))), there, "{schema}");
        assert_eq!(at(&api, &format!("{place}/additionalProperties")), false, "{schema}");
    };
    check("RunRequest", taken::<RunRequest>(r#"{"image":"x"}"#));
    check("RunConfig", taken::<RunConfig>(r#"{"image":"x"}"#));
    check("LimitsRequest", taken::<LimitsRequest>("{}"));
    check("State", taken::<PageState>(r#"{"v":1,"image":"x"}"#));
    // With one field serde does not say "one of".
    check("Requires", taken::<Requires>("{}"));
}

/// Fields that a value is written with.
fn written(value: &impl Serialize) -> BTreeSet<String> {
    keys(&serde_json::to_value(value).expect("JSON"))
}

const LIMITS: JobLimits =
    JobLimits { wall_ms: 1, output_bytes: 1, stdout_bytes: 1, stderr_bytes: 1 };

fn head() -> AnswerHead {
    AnswerHead {
        job: String::new(),
        request_id: String::new(),
        cache: CacheStatus::Miss,
        outcome: Outcome::Exited { code: 0 },
        truncated: Vec::new(),
        notes: Vec::new(),
        usage: Usage::default(),
        phases: Phases::default(),
        limits: LIMITS,
        image: Digest([0; 32]),
        ran_on: None,
    }
}

#[test]
fn the_file_has_every_field_of_an_answer_and_no_other() {
    let api = openapi();
    let check = |schema: &str, there: BTreeSet<String>| {
        let place = format!("/components/schemas/{schema}/properties");
        assert_eq!(keys(at(&api, &place)), there, "{schema}");
    };
    let text = || Content::Text(String::new());
    let answer = Answer { head: head(), stdout: text(), stderr: text(), files: Default::default() };
    check("Answer", written(&answer));
    check("AnswerHead", written(&head()));
    check("Usage", written(&Usage::default()));
    check("Phases", written(&Phases::default()));
    check("Limits", written(&LIMITS));
    let ran_on = RanOn {
        arch: Arch::X86_64,
        kernel: String::new(),
        cpu: String::new(),
        worker: String::new(),
        vmm: String::new(),
    };
    check("RanOn", written(&ran_on));
    let file = |content| AnswerFile {
        content,
        mime: String::new(),
        executable: true,
        directory: true,
        symlink: true,
    };
    let mut fields = written(&file(FileBytes::Text(String::new())));
    fields.extend(written(&file(FileBytes::Base64(String::new()))));
    check("AnswerFile", fields);
    let digest = Digest([0; 32]);
    let basis = Basis { pack: digest, from: 0, to: 0 };
    let based_on = Some(basis);
    let pack = Pack { digest, bytes: 0, prefix: String::new(), based_on };
    let place = "/components/schemas/Pack/properties/based_on/properties";
    assert_eq!(keys(at(&api, place)), written(&basis));
    check("Pack", written(&pack));
    let config = ImageConfig::default();
    check("ImageConfig", written(&config));
    let platform = Platform { arch: Arch::X86_64, digest, pack, config };
    check("Platform", written(&platform));
    let playground: Playground = serde_json::from_value(form()).expect("a playground");
    check("Playground", written(&playground));
    let form = serde_json::to_value(&playground).expect("JSON");
    for (schema, place) in [
        ("Variable", "/env/0"),
        ("Conflict", "/conflicts/0"),
        ("Setting", "/conflicts/0/if"),
        ("Choice", "/fields/1/options/0"),
        ("Example", "/examples/0"),
    ] {
        check(schema, keys(at(&form, place)));
    }
    let schemas = at(&api, "/components/schemas/Field/oneOf").as_array().expect("a list");
    let fields = at(&form, "/fields").as_array().expect("a list");
    assert_eq!(schemas.len(), fields.len());
    for (schema, field) in schemas.iter().zip(fields) {
        assert_eq!(at(schema, "/properties/kind/const"), at(field, "/kind"));
        assert_eq!(keys(at(schema, "/properties")), keys(field), "{}", at(field, "/kind"));
    }
    let image = Image {
        name: String::new(),
        tags: Vec::new(),
        title: String::new(),
        description: String::new(),
        platforms: vec![platform],
        playground: Some(playground.clone()),
    };
    check("Image", written(&image));
    check("Catalogue", written(&Catalogue { version: VERSION, images: vec![image] }));
}

/// A form with a field of each kind, in the order of the file.
fn form() -> Value {
    let field = |kind: &str, more: Value| {
        let mut field = serde_json::json!({"name": kind, "label": kind, "help": "", "kind": kind});
        field.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        field
    };
    serde_json::json!({
        "categories": [], "takes": [], "makes": [], "wall_ms": null, "command": ["{flag}"],
        "env": [{"name": "NAME", "field": "text"}],
        "fields": [
            field("flag", serde_json::json!({"default": true, "args": []})),
            field("choice", serde_json::json!({"default": "a",
                "options": [{"value": "a", "label": "A", "args": []}]})),
            field("number", serde_json::json!({"min": 1, "max": 2, "step": 1, "default": null, "args": []})),
            field("text", serde_json::json!({"default": "", "bytes_max": 9, "is_words": false, "args": []})),
            field("file", serde_json::json!({"default": "", "types": [], "args": []})),
        ],
        "conflicts": [{"if": {"field": "choice", "value": "a"},
            "not": {"field": "flag", "value": "false"}, "why": "so"}],
        "examples": [{"title": "x", "description": "", "files": {}, "stdin": "", "values": {},
            "command": null}],
    })
}

#[test]
fn the_file_has_every_state_of_a_job_under_way_and_no_other() {
    let api = openapi();
    let schemas = at(&api, "/components/schemas/Progress/oneOf").as_array().expect("a list");
    let all = [
        Progress::Queued { position: 1, wait_ms: Some(1) },
        Progress::fetching(1, 2),
        Progress::Running { for_ms: 1 },
    ];
    assert_eq!(schemas.len(), all.len());
    for (schema, progress) in schemas.iter().zip(all) {
        let json = serde_json::to_value(progress).expect("JSON");
        assert_eq!(at(schema, "/properties/state/const"), at(&json, "/state"));
        assert_eq!(keys(at(schema, "/properties")), keys(&json), "{json}");
    }
}

#[test]
fn the_file_has_every_outcome_and_architecture_and_no_other() {
    let api = openapi();
    let reason = String::new;
    let outcomes = [
        Outcome::Exited { code: 0 },
        Outcome::Signaled { signal: 9 },
        Outcome::TimedOut { clock: Clock::Guest },
        Outcome::OutOfMemory,
        Outcome::Refused { fault: Fault::Image, reason: reason() },
        Outcome::Lost { fault: Fault::Us, reason: reason() },
    ];
    let schemas = at(&api, "/components/schemas/Outcome/oneOf").as_array().expect("a list");
    assert_eq!(schemas.len(), outcomes.len());
    for (schema, outcome) in schemas.iter().zip(outcomes) {
        assert_eq!(at(schema, "/properties/kind/const"), outcome.kind());
        assert_eq!(keys(at(schema, "/properties")), written(&outcome), "{}", outcome.kind());
    }
    let archs: Vec<&str> = Arch::ALL.iter().map(|arch| arch.as_str()).collect();
    assert_eq!(at(&api, "/components/schemas/Arch/enum"), &serde_json::json!(archs));
    let faults: Vec<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
    assert_eq!(at(&api, "/components/schemas/Fault/enum"), &serde_json::json!(faults));
}

#[tokio::test]
async fn the_file_and_its_page_are_served_with_and_without_the_page() {
    let lb = Lb::start().await;
    let client = lb.client().await;
    let served = client.get("/docs/openapi.json").await;
    assert_eq!(served.json(), openapi());
    let page = client.get("/docs/api").await;
    let html = String::from_utf8(page.body.clone()).expect("text");
    assert!(html.contains("POST /api/v1/run") && !html.contains("<script"), "{html}");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
    assert_eq!(
        client.get("/docs/style.css").await.header("content-type"),
        "text/css; charset=utf-8"
    );
}

/// How an example is run; nothing if the means are not there, which is said loudly.
fn command(file: &Path, scratch: &Path) -> Option<Command> {
    let ending = file.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let has = |program: &Path| {
        let mut ask = std::process::Command::new(program);
        let asked = ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let is_there = asked.is_ok_and(|status| status.success());
        if !is_there {
            let told = format!("SKIPPED: {} of the API: no {}", file.display(), program.display());
            let _ = writeln!(std::io::stderr(), "{told}");
        }
        is_there
    };
    let with = |program: &str, file: &Path| {
        let mut command = Command::new(program);
        command.arg(file);
        command
    };
    match ending {
        "sh" => has(Path::new("curl")).then(|| with("sh", file)),
        "py" => has(Path::new("python3")).then(|| with("python3", file)),
        "ts" => {
            // Checked and made JavaScript by what checks the page; `npm ci` in web/ brings it.
            let tsc = repository("web/node_modules/.bin/tsc");
            if !has(Path::new("node")) || !has(&tsc) {
                return None;
            }
            let mut build = std::process::Command::new(tsc);
            build.arg(file).args(["--strict", "--target", "es2022", "--module", "esnext"]);
            build.args(["--moduleDetection", "force", "--skipLibCheck", "--types", "node"]);
            build.arg("--typeRoots").arg(repository("web/node_modules/@types"));
            let built = build.arg("--outDir").arg(scratch).output().expect("it starts");
            assert!(built.status.success(), "{}: {built:?}", file.display());
            std::fs::write(scratch.join("package.json"), r#"{"type":"module"}"#).expect("a file");
            let script = scratch.join(file.file_stem()?).with_extension("js");
            Some(with("node", &script))
        }
        _ => panic!("{} is of no language that can be run", file.display()),
    }
}

#[tokio::test]
async fn every_example_does_what_it_says() {
    let api = openapi();
    let mut named = BTreeSet::new();
    for item in at(&api, "/paths").as_object().expect("paths").values() {
        for operation in item.as_object().expect("operations").values() {
            for sample in
                operation.get("x-codeSamples").and_then(Value::as_array).into_iter().flatten()
            {
                named.insert(at(sample, "/source/$ref").as_str().expect("a file").to_owned());
            }
        }
    }
    let folder = repository("docs/examples");
    let there = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry"));
    let there: BTreeSet<String> =
        there.map(|entry| format!("examples/{}", entry.file_name().to_string_lossy())).collect();
    assert_eq!(named, there, "each example is on the page");

    let lb = Lb::start().await;
    let worker = lb.worker("w1").await;
    let scratch = tempfile::tempdir().expect("a directory");
    let works = async {
        loop {
            worker.serve_one().await;
        }
    };
    let examples = async {
        for name in &named {
            let file = repository("docs").join(name);
            let Some(mut command) = command(&file, scratch.path()) else { continue };
            command
                .env("LB", format!("http://{}", lb.clients))
                .env("no_proxy", "*")
                .kill_on_drop(true);
            let output = command.output().await.expect("it starts");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {said} {complaint}");
            if name.contains("/share.") {
                let id = said.trim_end().trim_end_matches("\"}").rsplit(['/', '"']).next();
                let path = format!("/api/v1/shares/{}", id.expect("a name"));
                assert_eq!(lb.client().await.get(&path).await.json()["image"], "busybox", "{said}");
            } else {
                let expected = if name.contains("/images.") { "busybox" } else { "hello" };
                assert!(said.contains(expected), "{name}: {said}");
            }
        }
    };
    tokio::select! {
        biased;
        // They are what is tested.
        () = examples => {}
        // Never ends.
        () = works => {}
    }
}
