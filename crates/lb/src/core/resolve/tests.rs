//! Merging, row by row.

use pe_proto::catalogue::{Image, ImageConfig, Pack, Platform};
use pe_proto::merge::PATH_DEFAULT;
use pe_proto::{Arch, Digest, JobLimits};

use super::*;

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn catalogue() -> Catalogue {
    let platform = |arch, byte, config: ImageConfig| Platform {
        arch,
        digest: Digest([byte; 32]),
        pack: Pack { digest: Digest([byte; 32]), bytes: 1, prefix: String::new(), based_on: None },
        config,
    };
    let image = |name: &str, tags: &[&str], platforms| Image {
        name: name.to_owned(),
        tags: texts(tags),
        title: String::new(),
        description: String::new(),
        platforms,
        playground: None,
    };
    let tool = ImageConfig {
        entrypoint: texts(&["/tool"]),
        cmd: texts(&["--help"]),
        env: texts(&["B=image", "A=image"]),
        workdir: "work".to_owned(),
        user: "1000:100".to_owned(),
    };
    let busybox = ImageConfig { cmd: texts(&["sh"]), ..ImageConfig::default() };
    let images = vec![
        image(
            "busybox",
            &["1.35", "latest"],
            vec![
                platform(Arch::X86_64, 1, busybox),
                platform(Arch::Riscv64, 3, ImageConfig::default()),
            ],
        ),
        image("tool", &["1"], vec![platform(Arch::X86_64, 2, tool)]),
    ];
    Catalogue { version: 2, images }
}

fn grants() -> Grants {
    Grants { wall_ms_default: 10_000, wall_ms_max: 60_000 }
}

fn run(json: &str) -> Result<JobSpec, Unresolved> {
    resolve(&serde_json::from_str(json).unwrap(), &catalogue(), grants())
}

#[test]
fn entrypoint_and_args_merge_as_container_tools_do() {
    let check = |json: &str, expected: &[&str]| {
        assert_eq!(run(json).unwrap().args, texts(expected), "{json}");
    };
    check(r#"{"image":"tool"}"#, &["/tool", "--help"]);
    check(r#"{"image":"tool","args":["x"]}"#, &["/tool", "x"]);
    check(r#"{"image":"tool","args":[]}"#, &["/tool"]);
    check(r#"{"image":"tool","entrypoint":["/other"]}"#, &["/other"]);
    check(r#"{"image":"tool","entrypoint":["/other"],"args":["x"]}"#, &["/other", "x"]);
    check(r#"{"image":"tool","entrypoint":[],"args":["x"]}"#, &["x"]);
    check(r#"{"image":"busybox"}"#, &["sh"]);
}

#[test]
fn env_is_merged_sorted_and_has_a_path() {
    let spec = run(r#"{"image":"tool","env":{"C":"","A":"job=1\n"}}"#).unwrap();
    assert_eq!(spec.env, ["A=job=1\n", "B=image", "C=", PATH_DEFAULT]);
    let spec = run(r#"{"image":"tool","env":{"PATH":"/x"}}"#).unwrap();
    assert!(spec.env.contains(&"PATH=/x".to_owned()));
}

#[test]
fn cwd_user_and_limits_take_their_defaults() {
    let spec = run(r#"{"image":"busybox"}"#).unwrap();
    assert_eq!((spec.cwd.as_str(), spec.user.as_str()), ("/input", ""));
    assert_eq!(spec.limits, JobLimits::default());
    let spec = run(r#"{"image":"tool:1","limits":{"wall_ms":60000}}"#).unwrap();
    assert_eq!((spec.cwd.as_str(), spec.user.as_str()), ("/work", "1000:100"));
    assert_eq!(spec.limits.wall_ms, 60_000);
    assert_eq!(run(r#"{"image":"tool","cwd":"/x"}"#).unwrap().cwd, "/x");
}

#[test]
fn arch_picks_the_platform() {
    let spec = run(r#"{"image":"busybox","args":["x"],"requires":{"arch":"riscv64"}}"#).unwrap();
    assert_eq!((spec.arch, spec.image), (Arch::Riscv64, Digest([3; 32])));
}

#[test]
fn an_unknown_image_names_near_ones() {
    let check = |reference: &str, arch: &str, expected: &[&str]| {
        let json = format!(r#"{{"image":"{reference}"{arch}}}"#);
        let Err(Unresolved::UnknownImage { near, .. }) = run(&json) else { panic!("{json}") };
        assert_eq!(near, texts(expected), "{json}");
    };
    check("busibox", "", &["busybox"]);
    check("box", "", &["busybox"]);
    check("something-else", "", &[]);
    check("tool:9", "", &["tool:1", "tool on x86_64"]);
    check("tool", r#","requires":{"arch":"aarch64"}"#, &["tool:1", "tool on x86_64"]);
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let check = |rest: &str, pointer: &str| {
        let json = format!(r#"{{"image":"tool",{rest}}}"#);
        match run(&json) {
            Err(Unresolved::Bad(BadSpec { field, .. })) => assert_eq!(field, pointer, "{json}"),
            other => panic!("{json}: {other:?}"),
        }
    };
    check(r#""args":["a","b\u0000"]"#, "/args/1");
    check(r#""entrypoint":["\u0000"]"#, "/entrypoint/0");
    check(r#""entrypoint":[]"#, "/args");
    check(r#""env":{"":"x"}"#, "/env/");
    check(r#""env":{"a=b":"x"}"#, "/env/a=b");
    check(r#""env":{"a/b~c":"\u0000"}"#, "/env/a~1b~0c");
    check(r#""cwd":"x""#, "/cwd");
    check(r#""cwd":"""#, "/cwd");
    check(r#""outputs":["*","***"]"#, "/outputs/1");
    check(r#""outputs":["/etc/*"]"#, "/outputs/0");
    check(r#""outputs":[""]"#, "/outputs/0");
    check(r#""limits":{"wall_ms":0}"#, "/limits/wall_ms");
    check(r#""limits":{"wall_ms":60001}"#, "/limits/wall_ms");
    check(r#""limits":{"output_bytes":99999999999}"#, "/limits/output_bytes");
    check(r#""limits":{"stdout_bytes":99999999999}"#, "/limits/stdout_bytes");
    check(r#""limits":{"stderr_bytes":99999999999}"#, "/limits/stderr_bytes");
}

/// The golden jobs of the protocol: what a request means is what another implementation of the
/// merging rules found (`web/digest`).
#[test]
fn golden_requests_mean_what_another_implementation_found() {
    #[derive(serde::Deserialize)]
    struct Golden {
        catalogue: Catalogue,
        jobs: Vec<Job>,
    }
    #[derive(serde::Deserialize)]
    struct Job {
        name: String,
        request: pe_proto::api::RunRequest,
        config: Config,
    }
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Config {
        image: Digest,
        arch: Arch,
        args: Vec<String>,
        env: Vec<String>,
        cwd: String,
        user: String,
        outputs: Vec<String>,
        limits: JobLimits,
    }
    let golden = include_str!("../../../../proto/vectors/job_digest-v1-jobs_of_catalogue_v2.json");
    let golden: Golden = serde_json::from_str(golden).unwrap();
    let grants = Grants { wall_ms_default: 10_000, wall_ms_max: 60_000 };
    for Job { name, request, config } in golden.jobs {
        let (request, ..) = request.split();
        let spec = resolve(&request, &golden.catalogue, grants).unwrap();
        let JobSpec { image, arch, args, env, cwd, user, outputs, limits } = spec;
        let resolved = Config { image, arch, args, env, cwd, user, outputs, limits };
        assert_eq!(resolved, config, "{name}");
    }
}
