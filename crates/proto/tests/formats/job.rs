//! The effective config: what is refused, and what its digest depends on.

use std::collections::HashSet;

use pe_proto::api::{FileContent, RunRequest};
use pe_proto::archive::{Encoder, Kind};
use pe_proto::digest::JobDigester;
use pe_proto::{Arch, Digest, JobLimits, JobSpec};
use proptest::prelude::{prop_assert_eq, proptest};

use crate::{samples, strategies, vectors};

fn refused_field(change: impl FnOnce(&mut JobSpec)) -> String {
    let mut spec = samples::spec();
    change(&mut spec);
    spec.check().expect_err("a bad spec").field
}

#[test]
fn each_bound_is_checked_and_names_its_field() {
    assert_eq!(samples::spec().check(), Ok(()));
    let set = |list: &[&str]| list.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
    assert_eq!(refused_field(|spec| spec.args.clear()), "/args");
    assert_eq!(refused_field(|spec| spec.args = vec!["x".to_owned(); 4097]), "/args");
    assert_eq!(refused_field(|spec| spec.args[1] = "a\0".to_owned()), "/args/1");
    assert_eq!(refused_field(|spec| spec.args[2] = "x".repeat(128 * 1024)), "/args/2");
    assert_eq!(refused_field(|spec| spec.env = set(&["NAME"])), "/env");
    assert_eq!(refused_field(|spec| spec.env = set(&["=x"])), "/env");
    assert_eq!(refused_field(|spec| spec.env = set(&["B=1", "A=2"])), "/env");
    assert_eq!(refused_field(|spec| spec.env = set(&["A=1", "A=2"])), "/env");
    assert_eq!(refused_field(|spec| spec.cwd = "input".to_owned()), "/cwd");
    assert_eq!(refused_field(|spec| spec.cwd = "/\0".to_owned()), "/cwd");
    assert_eq!(refused_field(|spec| spec.user = "u".repeat(257)), "/user");
    assert_eq!(refused_field(|spec| spec.outputs = vec!["*".to_owned(); 65]), "/outputs");
    assert_eq!(refused_field(|spec| spec.outputs = set(&["*", ""])), "/outputs/1");
    assert_eq!(refused_field(|spec| spec.args = vec!["x".repeat(120_000); 3]), "");
}

#[test]
fn limits_are_never_unlimited() {
    let most = JobLimits {
        wall_ms: 600_000,
        output_bytes: 16 << 20,
        stdout_bytes: 4 << 20,
        stderr_bytes: 4 << 20,
    };
    assert_eq!(most.check(), Ok(()));
    assert_eq!(refused_field(|spec| spec.limits.wall_ms = 0), "/limits/wall_ms");
    assert_eq!(refused_field(|spec| spec.limits.wall_ms = 600_001), "/limits/wall_ms");
    assert_eq!(refused_field(|spec| spec.limits.wall_ms = u64::MAX), "/limits/wall_ms");
    assert_eq!(
        refused_field(|spec| spec.limits.output_bytes = (16 << 20) + 1),
        "/limits/output_bytes"
    );
    assert_eq!(
        refused_field(|spec| spec.limits.stdout_bytes = (4 << 20) + 1),
        "/limits/stdout_bytes"
    );
    assert_eq!(refused_field(|spec| spec.limits.stderr_bytes = u64::MAX), "/limits/stderr_bytes");
}

#[test]
fn every_part_of_a_job_changes_its_digest() {
    let mut seen = HashSet::new();
    let mut add = |change: &dyn Fn(&mut JobSpec), archive: &[u8]| {
        let mut spec = samples::spec();
        change(&mut spec);
        let mut digester = JobDigester::new(&spec);
        digester.update(archive);
        assert!(seen.insert(digester.finish()), "two jobs have one digest: {spec:?}");
    };
    let archive = samples::example_archive();
    add(&|_| {}, &archive);
    add(&|_| {}, &samples::job_archive());
    add(&|spec| spec.image = samples::PACK, &archive);
    add(&|spec| spec.arch = Arch::X86_64, &archive);
    add(&|spec| spec.args.push(String::new()), &archive);
    add(&|spec| spec.env.push("Z=".to_owned()), &archive);
    add(&|spec| spec.cwd.push('x'), &archive);
    add(&|spec| spec.user.push('x'), &archive);
    add(&|spec| spec.outputs.push("x".to_owned()), &archive);
    add(&|spec| spec.limits.wall_ms += 1, &archive);
    add(&|spec| spec.limits.output_bytes += 1, &archive);
    add(&|spec| spec.limits.stdout_bytes += 1, &archive);
    add(&|spec| spec.limits.stderr_bytes += 1, &archive);
    // Text that moves from one field to its neighbour is another job.
    add(&|spec| (spec.args, spec.env) = (spec.env.clone(), spec.args.clone()), &archive);
    add(&|spec| (spec.cwd, spec.user) = (spec.user.clone(), spec.cwd.clone()), &archive);
}

proptest! {
    #[test]
    fn two_specs_have_one_canonical_encoding_only_if_they_are_the_same(
        a in strategies::spec(),
        b in strategies::spec(),
    ) {
        prop_assert_eq!(a.canonical() == b.canonical(), a == b);
    }

    #[test]
    fn a_digest_does_not_depend_on_how_the_archive_arrived(
        spec in strategies::spec(),
        archive in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        piece in 1..50_usize,
    ) {
        let mut whole = JobDigester::new(&spec);
        whole.update(&archive);
        let mut pieces = JobDigester::new(&spec);
        archive.chunks(piece).for_each(|piece| pieces.update(piece));
        prop_assert_eq!(whole.finish(), pieces.finish());
    }
}

#[test]
fn digests_are_those_of_sha_256() {
    let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Digest::of(b"abc").to_string(), abc);
}

/// A job of `job_digest-v1-jobs.json`, whose digests were computed by `web/digest`, which was
/// written from the protocol alone.
#[derive(serde::Deserialize)]
struct GoldenJob {
    name: String,
    request: RunRequest,
    config: GoldenConfig,
    digest: String,
}

#[derive(serde::Deserialize)]
struct GoldenConfig {
    image: Digest,
    arch: Arch,
    args: Vec<String>,
    env: Vec<String>,
    cwd: String,
    user: String,
    outputs: Vec<String>,
    limits: JobLimits,
}

#[derive(serde::Deserialize)]
struct GoldenJobs {
    jobs: Vec<GoldenJob>,
}

#[test]
fn golden_jobs_have_the_digests_that_another_implementation_computed() {
    let golden = vectors::load("job_digest-v1-jobs.json").expect("the vectors");
    let golden: GoldenJobs = serde_json::from_slice(&golden).expect("golden jobs");
    assert!(golden.jobs.len() >= 15);
    for GoldenJob { name, request, config, digest } in golden.jobs {
        let GoldenConfig { image, arch, args, env, cwd, user, outputs, limits } = config;
        let spec = JobSpec { image, arch, args, env, cwd, user, outputs, limits };
        assert_eq!(spec.check(), Ok(()), "{name}");
        let (_, stdin, files) = request.split();
        let mut entries: Vec<(String, Kind, Vec<u8>)> = files
            .into_iter()
            .map(|(path, file)| match file {
                FileContent::Directory => (path, Kind::Directory, Vec::new()),
                FileContent::File { content, executable } => {
                    let kind = if executable { Kind::Executable } else { Kind::File };
                    (path, kind, content.into_bytes().expect("base64"))
                }
            })
            .collect();
        entries.sort_by(|(a, ..), (b, ..)| pe_proto::path::compare(a, b));
        let mut archive = Encoder::new();
        for (path, kind, bytes) in entries {
            archive.push(kind, &format!("input/{path}"), &bytes).expect("a good entry");
        }
        let stdin = stdin.map(|content| content.into_bytes().expect("base64"));
        if let Some(stdin) = stdin.filter(|bytes| !bytes.is_empty()) {
            archive.push(Kind::File, "stdin", &stdin).expect("a good entry");
        }
        let mut digester = JobDigester::new(&spec);
        digester.update(&archive.finish());
        assert_eq!(digester.finish().hex(), digest, "{name}");
    }
}
