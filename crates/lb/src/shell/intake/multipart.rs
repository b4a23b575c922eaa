//! The form of HTML and curl (`protocol.md 8.9`): the config as JSON in one part, a file in each
//! other.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use multer::Field;
use pe_proto::JobSpec;
use pe_proto::api::RunConfig;
use pe_proto::archive::Kind;
use pe_proto::digest::JobDigester;
use pe_proto::limits::{ARCHIVE_ENTRIES_MAX, CONFIG_BYTES_MAX};
use pe_proto::path;

use super::tree::Tree;
use super::{Intake, NotTaken, Upload, json};
use crate::driver::JobBody;
use crate::limits::APART_BYTES_MIN;
use crate::shell::app::App;

/// The parts of a form that mean something.
#[derive(Debug, Default)]
struct Form {
    config: Option<Bytes>,
    stdin: Option<Bytes>,
    files: Vec<(String, Kind, Bytes)>,
}

pub(super) async fn take(
    app: &Arc<App>,
    boundary: String,
    mut upload: Upload<'_>,
) -> Result<Intake, NotTaken> {
    let form = read(&mut upload, boundary).await?;
    let wall_ms_max = upload.wall_ms_max();
    let room = upload.into_room();
    let text = form.config.as_ref().ok_or_else(|| malformed("there is no part `config`"))?;
    let config: RunConfig = json::parse(text)?;
    let spec = app.live.resolve(&config, wall_ms_max)?;
    let bytes = form.files.iter().map(|(_, _, bytes)| bytes.len()).sum::<usize>();
    let (spec, archive, digest) = if bytes < APART_BYTES_MIN {
        build(spec, form)?
    } else {
        let built = tokio::task::spawn_blocking(move || build(spec, form)).await;
        built.map_err(|_| NotTaken::Crashed)??
    };
    let bytes = archive.len() as u64;
    let body = JobBody { pieces: vec![archive.into()], bytes, room: Some(room) };
    Ok(Intake { spec, body, digest, cache: config.cache })
}

async fn read(upload: &mut Upload<'_>, boundary: String) -> Result<Form, NotTaken> {
    let pieces = stream::try_unfold(upload, async |upload| {
        Ok::<_, NotTaken>(upload.next().await?.map(|piece| (piece, upload)))
    });
    let mut parts = multer::Multipart::new(Box::pin(pieces), boundary);
    let mut form = Form::default();
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(not_taken)? {
        count += 1;
        // Config and standard input come beside the files.
        if count > ARCHIVE_ENTRIES_MAX + 2 {
            return Err(malformed("too many parts"));
        }
        form.take(part).await?;
    }
    Ok(form)
}

impl Form {
    async fn take(&mut self, part: Field<'_>) -> Result<(), NotTaken> {
        let name = part.name().unwrap_or_default().to_owned();
        let file = part.file_name().map(str::to_owned);
        let bytes = part.bytes().await.map_err(not_taken)?;
        let kind = match name.as_str() {
            "config" if bytes.len() > CONFIG_BYTES_MAX => {
                let stated = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                return Err(NotTaken::ConfigLength(stated));
            }
            "config" => return once(&mut self.config, bytes, &name),
            "stdin" => return once(&mut self.stdin, bytes, &name),
            "file" => Kind::File,
            "executable" => Kind::Executable,
            _ => {
                let problem = "expected parts named `config`, `stdin`, `file` and `executable`";
                return Err(malformed(format!("{problem}, got `{name}`")));
            }
        };
        match file {
            // What browsers send for a file field in which nothing was chosen.
            Some(path) if path.is_empty() && bytes.is_empty() => {}
            Some(path) => self.files.push((path, kind, bytes)),
            None => return Err(malformed(format!("a part `{name}` needs a filename"))),
        }
        Ok(())
    }
}

fn once(place: &mut Option<Bytes>, bytes: Bytes, name: &str) -> Result<(), NotTaken> {
    match place.replace(bytes) {
        None => Ok(()),
        Some(_) => Err(malformed(format!("part `{name}` is there twice"))),
    }
}

type Built = (JobSpec, Vec<u8>, pe_proto::Digest);

fn build(spec: JobSpec, mut form: Form) -> Result<Built, NotTaken> {
    form.files.sort_by(|(a, ..), (b, ..)| path::compare(a, b));
    let mut tree = Tree::default();
    for (name, kind, bytes) in &form.files {
        tree.file(*kind, name, bytes)?;
    }
    tree.stdin(form.stdin.as_deref().unwrap_or_default())?;
    let archive = tree.finish();
    let mut digester = JobDigester::new(&spec);
    digester.update(&archive);
    Ok((spec, archive, digester.finish()))
}

fn malformed(problem: impl Into<String>) -> NotTaken {
    NotTaken::Form(problem.into())
}

/// What was wrong with the upload, or else with the form.
fn not_taken(error: multer::Error) -> NotTaken {
    let is_cut_off = matches!(
        error,
        multer::Error::IncompleteStream
            | multer::Error::IncompleteFieldData { .. }
            | multer::Error::IncompleteHeaders
    );
    if is_cut_off {
        return NotTaken::CutOff;
    }
    let said = error.to_string();
    let multer::Error::StreamReadFailed(source) = error else {
        return malformed(said);
    };
    source.downcast::<NotTaken>().map_or_else(|_| malformed(said), |not_taken| *not_taken)
}
