use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use super::*;

/// A directory `project` with things in it, and `secret` beside it.
fn fixture() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let project = dir.path().join("project");
    fs::create_dir_all(project.join("src/empty")).expect("directories");
    fs::write(project.join("src/main.c"), "main").expect("file");
    fs::write(project.join("日本 ü"), "").expect("file");
    fs::write(project.join("run.sh"), "#!").expect("file");
    fs::set_permissions(project.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("mode");
    fs::write(dir.path().join("secret"), "secret").expect("secret");
    dir
}

fn list_text(text: &str) -> Result<Vec<(String, Kind)>, BadInput> {
    let mut listing = Listing::default();
    list(&FileArgument::parse(text, Path::exists), &mut listing)?;
    Ok(listing.entries.into_iter().map(|each| (each.remote, each.kind)).collect())
}

fn project(dir: &tempfile::TempDir) -> String {
    dir.path().join("project").display().to_string()
}

fn check_refused(dir: &tempfile::TempDir, messages: &[&str]) {
    let bad = list_text(&project(dir)).expect_err("must be refused").to_string();
    for message in messages {
        assert!(bad.contains(message), "{bad}");
    }
}

#[test]
fn a_directory_is_listed_with_all_below_it() {
    let dir = fixture();
    let expected = |prefix: &str| {
        [
            ("run.sh", Kind::Executable),
            ("src/empty", Kind::Directory),
            ("src/main.c", Kind::File),
            ("日本 ü", Kind::File),
        ]
        .map(|(name, kind)| (format!("input/{prefix}{name}"), kind))
    };
    assert_eq!(list_text(&project(&dir)).expect("lists"), expected("project/"));
    assert_eq!(list_text(&format!("{}/.", project(&dir))).expect("lists"), expected(""));
    assert_eq!(list_text(&format!("{}=a/b", project(&dir))).expect("lists"), expected("a/b/"));
}

#[test]
fn links_that_stay_inside_are_followed() {
    let dir = fixture();
    symlink("src", dir.path().join("project/also")).expect("link");
    symlink("../run.sh", dir.path().join("project/src/go")).expect("link");
    let names: Vec<_> = list_text(&format!("{}/.", project(&dir))).expect("lists");
    assert!(names.contains(&("input/also/main.c".to_owned(), Kind::File)), "{names:?}");
    assert!(names.contains(&("input/also/go".to_owned(), Kind::Executable)), "{names:?}");
}

#[test]
fn a_link_that_is_named_itself_is_followed_wherever_it_leads() {
    let dir = fixture();
    symlink("project", dir.path().join("named")).expect("link");
    symlink("secret", dir.path().join("file")).expect("link");
    let named = list_text(&dir.path().join("named").display().to_string()).expect("lists");
    assert_eq!(named.first().map(|each| each.0.as_str()), Some("input/named/run.sh"));
    let file = list_text(&dir.path().join("file").display().to_string()).expect("lists");
    assert_eq!(file, [("input/file".to_owned(), Kind::File)]);
}

#[test]
fn a_link_that_leaves_the_directory_is_refused_by_name() {
    let dir = fixture();
    symlink("../../secret", dir.path().join("project/src/leak")).expect("link");
    check_refused(&dir, &["project/src/leak`", "secret`, outside of `", "a --file of its own"]);
}

#[test]
fn a_link_in_a_circle_is_refused_by_name() {
    let dir = fixture();
    symlink("..", dir.path().join("project/src/up")).expect("link");
    check_refused(&dir, &["project/src/up`", "would never end"]);
}

#[test]
fn a_link_to_nothing_is_refused_by_name() {
    let dir = fixture();
    symlink("gone", dir.path().join("project/dead")).expect("link");
    check_refused(&dir, &["project/dead` is a symbolic link to nothing"]);
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let dir = fixture();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&dir.path().join("project/pipe"), mode).expect("fifo");
    check_refused(&dir, &["project/pipe` is neither a file nor a directory"]);
}

#[test]
fn a_name_that_is_not_text_is_refused() {
    let dir = fixture();
    let name = std::ffi::OsStr::from_bytes(b"a\xff");
    fs::write(dir.path().join("project").join(name), "").expect("file");
    check_refused(&dir, &["its name is not UTF-8"]);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let dir = fixture();
    let big = fs::File::create(dir.path().join("project/big.bin")).expect("file");
    big.set_len(INPUT_BYTES_MAX + 1).expect("sparse");
    check_refused(&dir, &["project/big.bin` (16.0 MiB) does not fit", "may be 16.0 MiB"]);
}

#[test]
fn too_many_files_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let project = dir.path().join("project");
    fs::create_dir(&project).expect("directory");
    for number in 0..=ARCHIVE_ENTRIES_MAX {
        fs::create_dir(project.join(number.to_string())).expect("directory");
    }
    check_refused(&dir, &["more than 10000 files and directories"]);
}

#[test]
fn a_place_that_cannot_be_is_refused() {
    let dir = fixture();
    for (remote, message) in [
        ("../x", "cannot be a path below /input: path has a `.` or `..` name"),
        ("/etc/passwd", "path is absolute"),
        ("a//b", "path has an empty name"),
    ] {
        let text = format!("{}={remote}", dir.path().join("secret").display());
        let bad = list_text(&text).expect_err("must be refused").to_string();
        assert!(bad.contains(message), "{bad}");
    }
    let bad = list_text("not-there.c").expect_err("must be refused").to_string();
    assert!(bad.starts_with("cannot read `not-there.c`: "), "{bad}");
}
