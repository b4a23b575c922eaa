use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

struct Fixture {
    /// Holds `out` and, beside it, what must never change.
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("out")).expect("out");
        fs::create_dir(dir.path().join("beside")).expect("beside");
        fs::write(dir.path().join("beside/secret"), "untouched").expect("secret");
        Self { dir }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn keep(&self, force: bool, files: &[(&str, Kind, &[u8])]) -> Kept {
        let files: Vec<ReturnedFile> = files
            .iter()
            .map(|&(path, kind, data)| ReturnedFile {
                path: path.to_owned(),
                kind,
                data: data.to_vec(),
            })
            .collect();
        OutDir::open(&self.out(), force).expect("opens").keep(&files)
    }

    /// Nothing was made or changed outside of `out`.
    fn assert_outside_untouched(&self) {
        let names = |path: PathBuf| {
            let mut names: Vec<_> = fs::read_dir(path)
                .expect("readable")
                .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(self.dir.path().to_owned()), ["beside", "out"]);
        assert_eq!(names(self.dir.path().join("beside")), ["secret"]);
        let secret = fs::read_to_string(self.dir.path().join("beside/secret")).expect("secret");
        assert_eq!(secret, "untouched");
    }
}

#[test]
fn files_directories_and_links_come_back_exactly() {
    let fixture = Fixture::new();
    let all: Vec<u8> = (0..=255).collect();
    let kept = fixture.keep(
        false,
        &[
            ("a.out", Kind::Executable, &all),
            ("d/empty", Kind::Directory, b""),
            ("d/link", Kind::Symlink, b"../a.out"),
            ("d/日本 ü\n", Kind::File, b""),
        ],
    );
    assert_eq!((kept.count, kept.notes.len(), kept.failures.len()), (4, 0, 0));
    let out = fixture.out();
    assert_eq!(fs::read(out.join("d/link")).expect("through the link"), all);
    let mode = |name: &str| fs::metadata(out.join(name)).expect(name).permissions().mode();
    assert_ne!(mode("a.out") & 0o100, 0);
    assert_eq!(mode("d/日本 ü\n") & 0o111, 0);
    assert!(out.join("d/empty").is_dir());
}

#[test]
fn a_name_that_leads_outside_is_not_written() {
    let fixture = Fixture::new();
    for path in ["../x", "/tmp/../x", "a/../../x", "", "a//b", "."] {
        let kept = fixture.keep(true, &[(path, Kind::File, b"bad")]);
        assert_eq!((kept.count, kept.failures.len()), (0, 1), "{path}");
    }
    fixture.assert_outside_untouched();
}

#[test]
fn a_link_is_never_written_through() {
    let fixture = Fixture::new();
    symlink("../beside", fixture.out().join("there")).expect("link");
    symlink("../beside/secret", fixture.out().join("file")).expect("link");
    fs::hard_link(fixture.dir.path().join("beside/secret"), fixture.out().join("hard"))
        .expect("hard link");
    for force in [false, true] {
        let kept = fixture.keep(
            force,
            &[
                ("there/x", Kind::File, b"bad"),
                ("there/d", Kind::Directory, b""),
                ("a", Kind::Symlink, b"../beside"),
                ("a/x", Kind::File, b"inside"),
                ("file", Kind::File, b"new"),
                ("hard", Kind::File, b"new"),
            ],
        );
        let (count, failures) = if force { (3, 2) } else { (1, 4) };
        assert_eq!((kept.count, kept.notes.len(), kept.failures.len()), (count, 1, failures));
        fixture.assert_outside_untouched();
    }
    assert_eq!(fs::read(fixture.out().join("file")).expect("file"), b"new");
    assert_eq!(fs::read(fixture.out().join("a/x")).expect("a/x"), b"inside");
}

#[test]
fn a_link_that_was_just_made_is_not_followed_either() {
    let fixture = Fixture::new();
    let kept = fixture.keep(
        true,
        &[("d/x", Kind::File, b"1"), ("l", Kind::Symlink, b"d"), ("l/x", Kind::File, b"2")],
    );
    assert_eq!((kept.count, kept.failures.len()), (2, 1));
    assert_eq!(fs::read(fixture.out().join("d/x")).expect("d/x"), b"1");
}

#[test]
fn a_file_that_is_there_is_kept_unless_forced() {
    let fixture = Fixture::new();
    fs::write(fixture.out().join("mine"), "mine").expect("mine");
    fs::write(fixture.out().join("same"), "same").expect("same");
    fs::create_dir(fixture.out().join("dir")).expect("dir");
    let files: [(&str, Kind, &[u8]); 3] =
        [("dir", Kind::File, b"x"), ("mine", Kind::File, b"theirs"), ("same", Kind::File, b"same")];
    let kept = fixture.keep(false, &files);
    assert_eq!(kept.count, 1);
    let [dir, mine] = kept.failures.as_slice() else { panic!("{:?}", kept.failures) };
    assert!(dir.contains("a directory of that name is there"), "{dir}");
    assert!(mine.contains("out/mine`: it exists with other content; --force replaces"), "{mine}");
    assert_eq!(fs::read(fixture.out().join("mine")).expect("mine"), b"mine");

    let kept = fixture.keep(true, &files);
    assert_eq!((kept.count, kept.failures.len()), (2, 1));
    assert_eq!(fs::read(fixture.out().join("mine")).expect("mine"), b"theirs");
}

#[test]
fn a_pipe_of_that_name_does_not_make_it_wait() {
    let fixture = Fixture::new();
    let pipe = fixture.out().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).expect("fifo");
    let kept = fixture.keep(false, &[("pipe", Kind::File, b"x")]);
    assert_eq!((kept.count, kept.failures.len()), (0, 1));
}

#[test]
fn out_is_made_if_it_is_not_there_and_refused_if_it_is_a_file() {
    let fixture = Fixture::new();
    let nested = fixture.out().join("a/b");
    OutDir::open(&nested, false).expect("made");
    assert!(nested.is_dir());
    fs::write(fixture.out().join("f"), "").expect("file");
    OutDir::open(&fixture.out().join("f"), false).expect_err("a file");
}
