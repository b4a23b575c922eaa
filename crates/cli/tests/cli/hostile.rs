//! A server that wants to write where it may not.

use pe_proto::archive::{Kind, MAGIC};

use crate::server::{Scripted, exited, head, ran, result};
use crate::{output, pe, tree};

/// An archive as the encoder would never write it.
fn forged(entries: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (kind, path, data) in entries {
        bytes.push(*kind);
        bytes.extend(u16::try_from(path.len()).expect("short").to_le_bytes());
        bytes.extend(u32::try_from(data.len()).expect("short").to_le_bytes());
        bytes.extend([path.as_bytes(), data].concat());
    }
    bytes.push(0xff);
    bytes.extend(u32::try_from(entries.len()).expect("few").to_le_bytes());
    bytes
}

/// Runs a job into `out` of a directory with `beside/secret`, and says what is there afterwards.
fn run_into_out(answer: Vec<u8>) -> (Option<i32>, String, Vec<String>) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("beside")).expect("directory");
    std::fs::write(dir.path().join("beside/secret"), "untouched").expect("secret");
    let server = Scripted::new();
    let mut pe = pe("run", &server);
    pe.args(["--image", "x", "--force", "--out"]).arg(dir.path().join("out"));
    let _asked = server.answer(vec![answer]);
    let done = output(&mut pe);
    let secret = std::fs::read_to_string(dir.path().join("beside/secret")).expect("secret");
    assert_eq!(secret, "untouched");
    let stderr = String::from_utf8(done.stderr).expect("text");
    (done.status.code(), stderr, tree(dir.path()))
}

#[test]
fn an_archive_with_a_bad_entry_leaves_nothing_behind() {
    let good: (u8, &str, &[u8]) = (0, "output/a", b"good");
    for (entries, message) in [
        (vec![good, (0, "output/../../beside/secret", b"bad".as_slice())], "`..` name"),
        (vec![good, (0, "/etc/x", b"bad")], "path is absolute"),
        (vec![good, (0, "output//x", b"bad")], "empty name"),
        (vec![good, (0, "output/a", b"bad")], "out of order or there twice"),
        (vec![good, (0, "output/a/b", b"bad")], "lies below an entry"),
        (vec![good, (3, "output/l", b"../beside"), (0, "output/l/secret", b"bad")], "lies below"),
        (vec![good, (9, "output/x", b"bad")], "unknown entry kind 9"),
        (vec![good, (0, "outside/x", b"bad")], "has no place here"),
    ] {
        let (status, stderr, tree) = run_into_out(ran(&head(exited(0)), &forged(&entries)));
        assert_eq!(status, Some(125), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
        assert!(stderr.contains("Nothing of it was kept"), "{stderr}");
        assert_eq!(tree, ["beside/secret"], "{stderr}");
    }
}

#[test]
fn links_that_lead_outside_are_left_out_and_named() {
    let (status, stderr, tree) = run_into_out(result(
        exited(0),
        &[
            (Kind::Symlink, "output/abs", b"/etc/passwd"),
            (Kind::File, "output/d/x", b""),
            (Kind::Symlink, "output/fine", b"d/x"),
            (Kind::Symlink, "output/up", b"../beside"),
        ],
    ));
    assert_eq!(status, Some(0));
    assert_eq!(tree, ["beside/secret", "out/d/x", "out/fine"]);
    let named: Vec<&str> = stderr.lines().collect();
    let [abs, up] = named.as_slice() else { panic!("{stderr}") };
    assert!(abs.ends_with(
        "/out/abs` was left out: it is a symbolic link that leads outside of the directory"
    ));
    assert!(up.contains("/out/up` was left out"));
}

#[test]
fn a_head_that_never_ends_is_not_waited_for() {
    let answer = crate::server::http("200 OK", "application/vnd.pe.v1", &[0xff; 4096]);
    let (status, stderr, _) = run_into_out(answer);
    assert_eq!(status, Some(125));
    assert!(stderr.contains("its head of 4294967295 bytes is too long"), "{stderr}");
}

#[test]
fn words_of_a_server_cannot_drive_the_terminal() {
    let mut head = head(serde_json::json!({
        "kind": "refused", "fault": "us", "reason": "\u{1b}]52;c;evil\u{7}",
    }));
    head["notes"] = serde_json::json!(["\u{1b}[2J"]);
    let archive = crate::server::archive(&[(Kind::Symlink, "output/\u{1b}[1m", b"/")]);
    let (_, stderr, _) = run_into_out(ran(&head, &archive));
    assert_eq!(stderr.lines().count(), 3, "{stderr}");
    assert!(!stderr.contains(['\u{1b}', '\u{7}']), "{stderr}");
}
