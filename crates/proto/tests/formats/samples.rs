//! One value of each message, with every field different from its default.

use std::collections::BTreeMap;

use pe_proto::api::{
    Answer, AnswerFile, AnswerHead, CachePolicy, CacheStatus, Content, FileBytes, FileContent,
    LimitsRequest, PageState, Phases, Problem, Requires, RunRequest,
};
use pe_proto::archive::{Encoder, Kind};
use pe_proto::catalogue::{self, Catalogue, Image, ImageConfig, Pack, Platform};
use pe_proto::guest_config::GuestConfig;
use pe_proto::link::{
    DoneHead, Fetches, Fetching, Hello, LeaseHead, LeaseId, Ready, SessionId, State, Wanted, Wants,
    Welcome,
};
use pe_proto::outcome::{Clock, GuestPhases, RanOn, Truncated, Usage, WorkerPhases};
use pe_proto::playground::{
    Choice, Conflict, Example, Field, Kind as FieldKind, Playground, Setting, Variable,
};
use pe_proto::{Arch, Digest, Fault, JobLimits, JobSpec, Outcome, ResultMeta};

pub(crate) const IMAGE: Digest = Digest([0x11; 32]);
pub(crate) const PACK: Digest = Digest([0x22; 32]);
const SESSION: SessionId = SessionId(*b"session of a wkr");

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

/// The job of the worked example in protocol.md 3.2.
pub(crate) fn example_spec() -> JobSpec {
    JobSpec {
        image: IMAGE,
        arch: Arch::X86_64,
        args: texts(&["cat", "a.txt"]),
        env: texts(&["LANG=C"]),
        cwd: "/input".to_owned(),
        user: String::new(),
        outputs: Vec::new(),
        limits: JobLimits::default(),
    }
}

/// Its archive.
pub(crate) fn example_archive() -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.push(Kind::File, "input/a.txt", b"hi\n").expect("a plain path");
    encoder.finish()
}

pub(crate) fn spec() -> JobSpec {
    JobSpec {
        image: IMAGE,
        arch: Arch::Aarch64,
        args: texts(&["sh", "-c", "gcc main.c -o /output/a.out && /output/a.out", ""]),
        env: texts(&["LANG=C.UTF-8", "LINES=one\ntwo", "PATH=/usr/bin:/bin"]),
        cwd: "/input/größe".to_owned(),
        user: "app:staff".to_owned(),
        outputs: texts(&["**", "*.o"]),
        limits: JobLimits {
            wall_ms: 12_345,
            output_bytes: 3_000_000,
            stdout_bytes: 70_000,
            stderr_bytes: 0,
        },
    }
}

pub(crate) fn job_archive() -> Vec<u8> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let entries: [(Kind, &str, &[u8]); 8] = [
        (Kind::File, "input/a/b.txt", b"below a directory\n"),
        (Kind::File, "input/a-b.txt", b"after it: `/` comes first\n"),
        (Kind::File, "input/bytes.bin", &every_byte),
        (Kind::Directory, "input/empty", b""),
        (Kind::File, "input/größe.txt", "µ\n".as_bytes()),
        (Kind::File, "input/nothing", b""),
        (Kind::Executable, "input/run.sh", b"#!/bin/sh\n"),
        (Kind::File, "stdin", b"typed\n"),
    ];
    archive(&entries)
}

pub(crate) fn result_archive() -> Vec<u8> {
    let entries: [(Kind, &str, &[u8]); 5] = [
        (Kind::Executable, "output/a.out", b"\x7fELF"),
        (Kind::Symlink, "output/latest", b"../a.out"),
        (Kind::Directory, "output/logs", b""),
        (Kind::File, "stderr", b"warning\n"),
        (Kind::File, "stdout", b"hello\n\xff"),
    ];
    archive(&entries)
}

fn archive(entries: &[(Kind, &str, &[u8])]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (kind, path, data) in entries {
        encoder.push(*kind, path, data).expect("sorted, plain paths");
    }
    encoder.finish()
}

pub(crate) fn guest_config() -> GuestConfig {
    GuestConfig {
        request_id: "r-0123456789abcdef".to_owned(),
        spec: spec(),
        entropy: std::array::from_fn(|index| u8::try_from(index).unwrap_or(0)),
        time_unix_us: 1_700_000_000_123_456,
        hostname: "box".to_owned(),
        pack_uuid: *b"uuid of the pack",
        pack_prefix: "images/gcc".to_owned(),
    }
}

fn usage() -> Usage {
    Usage {
        wall_us: 1_000_001,
        user_us: 600_002,
        system_us: 30_003,
        max_rss_bytes: 45_678_901,
        oom_kills: 1,
    }
}

/// Metadata for each outcome there is, by the name of the outcome.
pub(crate) fn result_metas() -> Vec<(&'static str, ResultMeta)> {
    let reason = |text: &str| text.to_owned();
    let outcomes = [
        Outcome::Exited { code: 255 },
        Outcome::Signaled { signal: 11 },
        Outcome::TimedOut { clock: Clock::Guest },
        Outcome::OutOfMemory,
        Outcome::Refused { fault: Fault::Image, reason: reason("no such program: `gc`") },
        Outcome::Lost { fault: Fault::Us, reason: reason("the VM ended by itself") },
    ];
    let meta = |outcome: Outcome| ResultMeta {
        outcome,
        usage: usage(),
        truncated: vec![Truncated::Stdout, Truncated::Stderr, Truncated::Files],
        notes: texts(&["skipped a socket: `s`", "left out: `größe`"]),
        phases: GuestPhases {
            mount_us: 1,
            unpack_us: 22,
            start_us: 333,
            run_us: 4_444,
            collect_us: 55_555,
        },
        kernel: "6.1.0".to_owned(),
    };
    outcomes.into_iter().map(|outcome| (outcome.kind(), meta(outcome))).collect()
}

pub(crate) fn hello() -> Hello {
    Hello {
        worker: "basement".to_owned(),
        arch: Arch::X86_64,
        cpu: "Some CPU @ 3 GHz".to_owned(),
        vmm: "qemu-tcg".to_owned(),
        kernel: "6.1.0".to_owned(),
        slots: 3,
        labels: texts(&["site=cellar", "trusted=no"]),
        images: vec![IMAGE, PACK],
        deployment: "blue".to_owned(),
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome { session: SESSION, poll_ms: 45_000, deployment: "blue".to_owned() }
}

pub(crate) fn ready() -> Ready {
    Ready { session: SESSION, slot: 2 }
}

pub(crate) fn lease_head() -> LeaseHead {
    LeaseHead {
        lease: LeaseId(0x0123_4567_89ab_cdef),
        request_id: "r-0123456789abcdef".to_owned(),
        spec: spec(),
        archive_bytes: 1_234_567,
        deadline_ms: 22_000,
    }
}

fn ran_on() -> RanOn {
    RanOn {
        arch: Arch::Riscv64,
        kernel: "6.1.0".to_owned(),
        cpu: "Some CPU @ 3 GHz".to_owned(),
        worker: "basement".to_owned(),
        vmm: "qemu-tcg".to_owned(),
    }
}

pub(crate) fn done_head() -> DoneHead {
    DoneHead {
        session: SESSION,
        lease: LeaseId(0x0123_4567_89ab_cdef),
        meta: ResultMeta::without_run(Outcome::TimedOut { clock: Clock::Worker }),
        phases: WorkerPhases {
            transfer_us: 1,
            lease_us: 22,
            attach_us: 333,
            guest_us: 4_444,
            stop_us: 55_555,
            parse_us: 666_666,
        },
        ran_on: ran_on(),
        archive_bytes: 7_654_321,
    }
}

pub(crate) fn state() -> State {
    State { session: SESSION, draining: true, images: vec![PACK] }
}

pub(crate) fn fetches() -> Fetches {
    let under_way = vec![Fetching { image: PACK, bytes: 4_096, bytes_total: 1_000_000 }];
    Fetches { session: SESSION, able: vec![PACK, Digest([0x34; 32])], under_way }
}

pub(crate) fn wants() -> Wants {
    Wants { session: SESSION, catalogue: Digest([0x35; 32]), known: vec![PACK] }
}

pub(crate) fn wanted() -> Wanted {
    Wanted { catalogue: Digest([0x35; 32]), images: vec![Digest([0x34; 32]), PACK] }
}

/// A form with every kind of field.
pub(crate) fn playground() -> Playground {
    let text = |text: &str| text.to_owned();
    let field = |name: &str, label: &str, kind| Field {
        name: text(name),
        label: text(label),
        help: text("A sentence."),
        kind,
    };
    let option = |value: &str, label: &str, args: &[&str]| Choice {
        value: text(value),
        label: text(label),
        args: texts(args),
    };
    let setting = |field: &str, value: &str| Setting { field: text(field), value: text(value) };
    let fields = vec![
        field(
            "optimise",
            "Optimisation",
            FieldKind::Choice {
                default: text("2"),
                options: vec![option("0", "none", &["-O0"]), option("2", "usual", &["-O2"])],
            },
        ),
        field(
            "warnings",
            "All warnings",
            FieldKind::Flag { default: true, args: texts(&["-Wall", "-Wextra"]) },
        ),
        field(
            "threads",
            "Threads",
            FieldKind::Number { min: -2, max: 8, step: 2, default: Some(4), args: Vec::new() },
        ),
        field(
            "defines",
            "Defines",
            FieldKind::Text {
                default: String::new(),
                bytes_max: 200,
                is_words: true,
                args: texts(&["-D", "{}=1"]),
            },
        ),
        field(
            "main",
            "File",
            FieldKind::File {
                default: text("main.c"),
                types: texts(&["text/x-c"]),
                args: texts(&["/input/{}"]),
            },
        ),
    ];
    let file = |content: Content, executable| FileContent::File { content, executable };
    let files = [
        ("include", FileContent::Directory),
        ("main.c", file(Content::from_bytes(b"int main(void) { return 0; }"), false)),
        ("data.bin", file(Content::from_bytes(&[0, 0xff]), false)),
        ("run.sh", file(Content::from_bytes(b"#!/bin/sh"), true)),
    ];
    Playground {
        categories: texts(&["compiler"]),
        takes: texts(&["text/x-c"]),
        makes: texts(&["application/x-executable"]),
        wall_ms: Some(20_000),
        command: texts(&[
            "gcc",
            "{optimise}",
            "{warnings}",
            "{defines}",
            "{main}",
            "{{literal}}",
            "-o",
            "/output/a.out",
        ]),
        env: vec![Variable { name: text("OMP_NUM_THREADS"), field: text("threads") }],
        fields,
        conflicts: vec![Conflict {
            given: setting("optimise", "0"),
            not: setting("warnings", "true"),
            why: text("A sentence."),
        }],
        examples: vec![
            Example {
                title: text("Hello"),
                description: text("A sentence."),
                files: files.into_iter().map(|(path, file)| (text(path), file)).collect(),
                stdin: Content::from_bytes(b"typed\n"),
                values: BTreeMap::from([(text("threads"), text("8"))]),
                command: None,
            },
            Example {
                title: text("Version"),
                description: String::new(),
                files: BTreeMap::new(),
                stdin: Content::from_bytes(b""),
                values: BTreeMap::new(),
                command: Some(texts(&["gcc", "--version"])),
            },
        ],
    }
}

pub(crate) fn catalogue() -> Catalogue {
    let platform = |arch: Arch, byte: u8| Platform {
        arch,
        digest: Digest([byte; 32]),
        pack: Pack {
            digest: PACK,
            bytes: 1_000_000,
            prefix: format!("images/{byte:x}"),
            based_on: None,
        },
        config: ImageConfig {
            entrypoint: texts(&["/usr/bin/env"]),
            cmd: texts(&["gcc", "--version"]),
            env: texts(&["PATH=/usr/bin:/bin"]),
            workdir: "/work".to_owned(),
            user: "app".to_owned(),
        },
    };
    let image = |name: &str, tags: &[&str], platforms: Vec<Platform>| Image {
        name: name.to_owned(),
        tags: texts(tags),
        title: "A title".to_owned(),
        description: "A sentence.".to_owned(),
        platforms,
        playground: (name == "gcc").then(playground),
    };
    let two = vec![platform(Arch::X86_64, 0x31), platform(Arch::Riscv64, 0x32)];
    Catalogue {
        version: catalogue::VERSION,
        images: vec![
            image("gcc", &["12", "latest"], two),
            image("busybox", &["1"], vec![platform(Arch::X86_64, 0x33)]),
        ],
    }
}

pub(crate) fn run_request() -> RunRequest {
    let file = |content: Content, executable: bool| FileContent::File { content, executable };
    let files = [
        ("data.bin", file(Content::from_bytes(&[0, 0xff]), false)),
        ("main.c", file(Content::from_bytes(b"int main;"), false)),
        ("run.sh", file(Content::from_bytes(b"#!/bin/sh"), true)),
        ("tool", file(Content::from_bytes(&[0x7f, 0xff]), true)),
        ("empty", FileContent::Directory),
    ];
    RunRequest {
        image: "gcc:12".to_owned(),
        entrypoint: Some(Vec::new()),
        args: Some(texts(&["sh", "-c", "gcc main.c -o /output/a.out"])),
        env: BTreeMap::from([("LANG".to_owned(), "C".to_owned())]),
        cwd: Some("/input/src".to_owned()),
        stdin: Some(Content::from_bytes(b"typed\n")),
        files: files.into_iter().map(|(path, file)| (path.to_owned(), file)).collect(),
        outputs: texts(&["**"]),
        limits: LimitsRequest {
            wall_ms: Some(5_000),
            output_bytes: Some(2_097_152),
            stdout_bytes: Some(1),
            stderr_bytes: Some(0),
        },
        requires: Requires { arch: Some(Arch::X86_64) },
        cache: CachePolicy::Refresh,
    }
}

pub(crate) fn page_state() -> PageState {
    let RunRequest { image, stdin, files, outputs, limits, .. } = run_request();
    let values = [("optimise", "2"), ("warnings", "true")];
    PageState {
        v: 1,
        image,
        files,
        stdin: stdin.expect("it has one"),
        values: values.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        command: Some(texts(&["gcc", "main.c"])),
        outputs,
        limits,
        job: Some("ab".repeat(32)),
    }
}

pub(crate) fn answer() -> Answer {
    let file = |content: FileBytes| AnswerFile {
        content,
        mime: "text/plain".to_owned(),
        executable: false,
        directory: false,
        symlink: false,
    };
    let text = |text: &str| file(FileBytes::Text(text.to_owned()));
    let files = [
        ("a.out", AnswerFile { executable: true, ..file(FileBytes::Base64("f/8=".to_owned())) }),
        ("latest", AnswerFile { symlink: true, ..text("../a.out") }),
        ("logs", AnswerFile { directory: true, ..text("") }),
        ("note.txt", text("größe\n")),
    ];
    Answer {
        head: AnswerHead {
            job: IMAGE.hex(),
            request_id: "r-0123456789abcdef".to_owned(),
            cache: CacheStatus::Miss,
            outcome: Outcome::Refused {
                fault: Fault::Client,
                reason: "no such program: `gc`".to_owned(),
            },
            truncated: vec![Truncated::Files],
            notes: texts(&["left out: `big`"]),
            usage: usage(),
            phases: Phases { queue_us: 1, run_us: 2, total_us: 3, ..Phases::default() },
            limits: JobLimits::default(),
            image: IMAGE,
            ran_on: Some(ran_on()),
        },
        stdout: Content::from_bytes(b"hello\n"),
        stderr: Content::from_bytes(b"\xff"),
        files: files.into_iter().map(|(path, file)| (path.to_owned(), file)).collect(),
    }
}

pub(crate) fn problem() -> Problem {
    Problem {
        type_uri: "urn:pe:problem:bad-request".to_owned(),
        title: "The request is malformed".to_owned(),
        status: 400,
        detail: "expected a number from 1 to 600000, got 0".to_owned(),
        fault: Fault::Client,
        retry: false,
        pointer: Some("/limits/wall_ms".to_owned()),
        request_id: Some("r-0123456789abcdef".to_owned()),
    }
}
