//! From a state to the job that it stands for.

use pe_proto::api::{BadBase64, Content, FileContent, PageState};
use pe_proto::archive::{Encoder, EntryRefused, INPUT_PREFIX, Kind, STDIN};
use pe_proto::path;

use crate::words::printable;

/// Why a state is no job.
#[derive(Debug, thiserror::Error)]
pub enum BadState {
    /// It is not the JSON that it should be.
    #[error("it is no state of the page that this pe knows: {0}")]
    Json(#[from] serde_json::Error),
    /// A file.
    #[error("its file `{}`: {problem}", printable(.path))]
    File {
        /// Its path.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// It has no command, and its image's form makes none.
    #[error("it has no command, and the image has no form to make one")]
    NoCommand,
    /// What the form makes of its values.
    #[error("the form of the image does not take its values: {}", printable(.0))]
    Form(String),
}

/// The archive of the job: files and standard input.
///
/// # Errors
/// A file that cannot be.
pub fn archive(state: &PageState) -> Result<Vec<u8>, BadState> {
    let mut files: Vec<_> = state
        .files
        .iter()
        .map(|(name, file)| (format!("{INPUT_PREFIX}{name}"), name, file))
        .collect();
    files.sort_by(|(a, ..), (b, ..)| path::compare(a, b));
    let mut encoder = Encoder::new();
    for (remote, name, file) in files {
        let (kind, data) = match file {
            FileContent::Directory => (Kind::Directory, Vec::new()),
            FileContent::File { content, executable } => {
                let kind = if *executable { Kind::Executable } else { Kind::File };
                (kind, bytes(name, content)?)
            }
        };
        encoder.push(kind, &remote, &data).map_err(refused(name))?;
    }
    let stdin = bytes(STDIN, &state.stdin)?;
    if !stdin.is_empty() {
        encoder.push(Kind::File, STDIN, &stdin).map_err(refused(STDIN))?;
    }
    Ok(encoder.finish())
}

fn bytes(name: &str, content: &Content) -> Result<Vec<u8>, BadState> {
    let problem =
        |bad: BadBase64| BadState::File { path: name.to_owned(), problem: bad.to_string() };
    content.clone().into_bytes().map_err(problem)
}

fn refused(name: &str) -> impl FnOnce(EntryRefused) -> BadState + '_ {
    |refused| BadState::File { path: name.to_owned(), problem: refused.to_string() }
}

#[cfg(test)]
mod tests {
    use pe_proto::archive::{Bounds, Role, for_each_entry};

    use super::*;

    fn state(json: &str) -> PageState {
        serde_json::from_str(json).expect("a state")
    }

    #[test]
    fn files_and_standard_input_are_in_the_archive_in_its_order() {
        let state = state(
            r#"{"v":1,"image":"x","stdin":"in","files":{"b":"2","a/c":{"base64":"AP8="},
                "a.sh":{"text":"3","executable":true},"d":{"directory":true}}}"#,
        );
        let mut found = Vec::new();
        for_each_entry(
            &archive(&state).expect("an archive"),
            Bounds::of(Role::Job),
            |kind, path, data| {
                found.push((kind, path.to_owned(), data.to_vec()));
            },
        )
        .expect("a good archive");
        let expected = [
            (Kind::File, "input/a/c", b"\0\xff".as_slice()),
            (Kind::Executable, "input/a.sh", b"3"),
            (Kind::File, "input/b", b"2"),
            (Kind::Directory, "input/d", b""),
            (Kind::File, "stdin", b"in"),
        ];
        let mut expected: Vec<_> =
            expected.map(|(kind, path, data)| (kind, path.to_owned(), data.to_vec())).into();
        expected.sort_by(|(_, a, _), (_, b, _)| path::compare(a, b));
        assert_eq!(found, expected);
    }

    #[test]
    fn names_that_no_job_may_have_are_refused() {
        for name in ["../a", "/a", "a/../b", "", "a//b"] {
            let files = serde_json::json!({"v": 1, "image": "x", "files": {name: "x"}});
            let refused = archive(&state(&files.to_string())).expect_err(name).to_string();
            assert!(refused.starts_with("its file `"), "{refused}");
        }
        let bad = state(r#"{"v":1,"image":"x","stdin":{"base64":"?"}}"#);
        assert!(archive(&bad).is_err());
    }
}
