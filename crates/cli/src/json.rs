//! An answer in the JSON form, made of the binary one: what `--json` prints. Pure.

use pe_proto::api::{Answer, AnswerFile, Content};

use crate::answer::{Received, ReturnedFile};

/// The same answer as JSON; bytes that are not UTF-8 become base64.
pub fn answer(received: &Received) -> Answer {
    Answer {
        head: received.head.clone(),
        stdout: Content::from_bytes(&received.stdout),
        stderr: Content::from_bytes(&received.stderr),
        files: received.files.iter().map(|each| (each.path.clone(), file(each))).collect(),
    }
}

fn file(file: &ReturnedFile) -> AnswerFile {
    let guess = mime_guess::from_path(&file.path).first_raw();
    AnswerFile::new(file.kind, Content::from_bytes(&file.data), guess)
}

#[cfg(test)]
mod tests {
    use pe_proto::archive::Kind;

    use super::*;
    use crate::answer::tests::head;

    #[test]
    fn text_stays_text_and_all_else_is_base64() {
        let returned = |path: &str, kind, data: &[u8]| ReturnedFile {
            path: path.to_owned(),
            kind,
            data: data.to_vec(),
        };
        let received = Received {
            head: head(serde_json::json!({"kind": "exited", "code": 0})),
            stdout: "grüße\n".into(),
            stderr: vec![0xff, 0],
            files: vec![
                returned("a.out", Kind::Executable, &[0x7f, 0xff]),
                returned("d", Kind::Directory, b""),
                returned("l", Kind::Symlink, b"a.out"),
                returned("x.png", Kind::File, b"text"),
                returned("x.stl", Kind::File, b"solid"),
            ],
        };
        let json = serde_json::to_value(answer(&received)).expect("json");
        assert_eq!(json["stdout"], "grüße\n");
        assert_eq!(json["stderr"], serde_json::json!({"base64": "/wA="}));
        assert_eq!(json["outcome"]["code"], 0);
        assert_eq!(
            json["files"],
            serde_json::json!({
                "a.out": {"base64": "f/8=", "mime": "application/octet-stream", "executable": true},
                "d": {"text": "", "mime": "inode/directory", "directory": true},
                "l": {"text": "a.out", "mime": "inode/symlink", "symlink": true},
                "x.png": {"text": "text", "mime": "image/png"},
                "x.stl": {"text": "solid", "mime": "model/stl"},
            })
        );
    }
}
