use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use nix::sys::wait::WaitStatus;
use pe_proto::archive::{Bounds, Role, for_each_entry};
use pe_proto::guest_config::GuestConfig;
use pe_proto::io_file::Plan;
use pe_proto::{Arch, Digest, JobLimits, JobSpec};

use super::*;
use crate::collect::Patterns;

const OUTPUT_BYTES: u64 = 1000;

fn config() -> GuestConfig {
    let limits = JobLimits { output_bytes: OUTPUT_BYTES, ..JobLimits::default() };
    let spec = JobSpec {
        image: Digest([0; 32]),
        arch: Arch::X86_64,
        args: vec!["true".to_owned()],
        env: vec![],
        cwd: "/input".to_owned(),
        user: String::new(),
        outputs: vec![],
        limits,
    };
    GuestConfig {
        request_id: String::new(),
        spec,
        entropy: [0; 64],
        time_unix_us: 0,
        hostname: String::new(),
        pack_uuid: [0; 16],
        pack_prefix: String::new(),
    }
}

/// A layer made by `make`, collected; entries of the archive, and what was said.
fn collected(
    make: impl Fn(&Path),
    input: &[(&str, &[u8])],
    patterns: &[&str],
) -> (BTreeMap<String, (Kind, Vec<u8>)>, Collected) {
    let directory = tempfile::tempdir().unwrap();
    for name in ["input", "output"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    make(directory.path());
    let mut encoder = Encoder::new();
    for (path, bytes) in input {
        encoder.push(Kind::File, path, bytes).unwrap();
    }
    let archive = encoder.finish();
    let config = config();
    let plan = Plan::new(100, archive.len() as u64, &config.spec.limits).unwrap();
    let header = InHeader { nonce: [1; 16], plan };
    let device = Device::of(tempfile::tempfile().unwrap());
    let padded = plan.archive().start..plan.result_header().start;
    device.write_padded(&padded, &archive).unwrap();
    let stdout = plan.stdout_journal().start;
    device.write_padded(&plan.stdout_journal(), b"said\n").unwrap();
    let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    let sources = Sources {
        config: &config,
        header,
        patterns: &Patterns::parse(&patterns).unwrap(),
        layer: directory.path(),
        cwd: Path::new("input"),
        captured: Captured { stdout: stdout..stdout + 5, stderr: 0..0 },
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let collect = || everything(&device, &sources, directory.path(), deadline).unwrap();
    let collected = collect();
    // The same again by a child with the system calls that it has in a VM.
    let ended = crate::child::filtered(|| {
        let again = collect();
        i32::from(
            (again.archive, again.notes) != (collected.archive.clone(), collected.notes.clone()),
        )
    });
    assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
    let mut bytes = Vec::new();
    let mut reader = PageReader::new(&device, collected.archive.clone());
    while let Some(piece) = reader.next_piece().unwrap() {
        bytes.extend_from_slice(piece);
    }
    let mut entries = BTreeMap::new();
    for_each_entry(&bytes, Bounds::of(Role::Result), |kind, path, data| {
        entries.insert(path.to_owned(), (kind, data.to_vec()));
    })
    .unwrap();
    (entries, collected)
}

fn names(entries: &BTreeMap<String, (Kind, Vec<u8>)>) -> Vec<&str> {
    entries.keys().map(String::as_str).collect()
}

#[test]
fn everything_in_output_comes_back_with_both_streams() {
    let (entries, collected) = collected(
        |layer| {
            fs::create_dir_all(layer.join("output/d/empty")).unwrap();
            fs::write(layer.join("output/d/file"), "data").unwrap();
            symlink("/etc", layer.join("output/link")).unwrap();
        },
        &[],
        &[],
    );
    let expected = ["output/d/empty", "output/d/file", "output/link", "stderr", "stdout"];
    assert_eq!(names(&entries), expected);
    assert_eq!(entries["output/d/file"], (Kind::File, b"data".to_vec()));
    assert_eq!(entries["output/link"], (Kind::Symlink, b"/etc".to_vec()));
    assert_eq!(entries["output/d/empty"], (Kind::Directory, vec![]));
    assert_eq!(entries["stdout"], (Kind::File, b"said\n".to_vec()));
    assert_eq!((collected.truncated, collected.notes), (false, vec![]));
}

#[test]
fn of_the_working_directory_only_what_matches_and_differs_comes_back() {
    let input: [(&str, &[u8]); 3] =
        [("input/changed.c", b"old"), ("input/same.c", b"same"), ("input/same.h", b"same")];
    let (entries, _) = collected(
        |layer| {
            fs::write(layer.join("input/changed.c"), "new").unwrap();
            fs::write(layer.join("input/same.c"), "same").unwrap();
            fs::write(layer.join("input/same.h"), "other").unwrap();
            fs::create_dir(layer.join("input/sub")).unwrap();
            fs::write(layer.join("input/sub/made.c"), "made").unwrap();
        },
        &input,
        &["**/*.c"],
    );
    assert_eq!(names(&entries), ["output/changed.c", "output/sub/made.c", "stderr", "stdout"]);
}

#[test]
fn a_sparse_giant_is_left_out_unread_and_named() {
    let (entries, collected) = collected(
        |layer| {
            let giant = fs::File::create(layer.join("output/giant")).unwrap();
            giant.set_len(1 << 40).unwrap();
            fs::write(layer.join("output/small"), "small").unwrap();
        },
        &[],
        &[],
    );
    assert_eq!(names(&entries), ["output/small", "stderr", "stdout"]);
    assert!(collected.truncated);
    assert!(collected.notes[0].contains("giant"));
}

#[test]
fn names_that_are_no_text_are_escaped_and_what_is_no_file_is_left_out() {
    let (entries, collected) = collected(
        |layer| {
            let odd = std::ffi::OsStr::from_bytes(b"a\xff");
            fs::write(layer.join("output").join(odd), "odd").unwrap();
            let mode = Mode::from_bits_truncate(0o600);
            nix::unistd::mkfifo(&layer.join("output/fifo"), mode).unwrap();
        },
        &[],
        &[],
    );
    assert_eq!(names(&entries), ["output/a\\xff", "stderr", "stdout"]);
    assert!(!collected.truncated);
    assert!(collected.notes.iter().any(|note| note.contains("fifo")));
    assert!(collected.notes.iter().any(|note| note.contains("UTF-8")));
}

#[test]
fn an_output_that_is_no_directory_is_no_output() {
    let (entries, _) = collected(
        |layer| {
            fs::remove_dir(layer.join("output")).unwrap();
            symlink("/etc", layer.join("output")).unwrap();
        },
        &[],
        &["**"],
    );
    assert_eq!(names(&entries), ["stderr", "stdout"]);
}
