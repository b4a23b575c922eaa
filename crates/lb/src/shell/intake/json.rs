//! The JSON form: one object with everything in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pe_proto::api::{CachePolicy, Content, FileContent, RunRequest};
use pe_proto::archive::Kind;
use pe_proto::digest::JobDigester;
use pe_proto::{Digest, JobSpec, path};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::tree::Tree;
use super::{Intake, NotTaken, Upload};
use crate::core::resolve::pointer;
use crate::driver::JobBody;
use crate::shell::app::{App, Gathered};

/// Bodies from this size on are parsed where they do not hold up others.
const LARGE: usize = 128 * 1024;

pub(super) async fn take(app: &Arc<App>, mut upload: Upload<'_>) -> Result<Intake, NotTaken> {
    let mut gathered = Gathered::default();
    while let Some(piece) = upload.next().await? {
        gathered.push(piece);
    }
    let wall_ms_max = upload.wall_ms_max();
    let room = upload.into_room();
    let text = gathered.into_vec();
    let (spec, archive, digest, cache) = if text.len() < LARGE {
        convert(app, wall_ms_max, &text)?
    } else {
        let app = Arc::clone(app);
        let converted = tokio::task::spawn_blocking(move || convert(&app, wall_ms_max, &text));
        converted.await.map_err(|_| NotTaken::Crashed)??
    };
    let bytes = archive.len() as u64;
    let body = JobBody { pieces: vec![archive.into()], bytes, room: Some(room) };
    Ok(Intake { spec, body, digest, cache })
}

type Converted = (JobSpec, Vec<u8>, Digest, CachePolicy);

fn convert(app: &App, wall_ms_max: Option<u64>, text: &[u8]) -> Result<Converted, NotTaken> {
    let request: RunRequest = parse(text)?;
    let (config, stdin, files) = request.split();
    let spec = app.live.resolve(&config, wall_ms_max)?;
    let archive = archive(stdin, files)?;
    let mut digester = JobDigester::new(&spec);
    digester.update(&archive);
    Ok((spec, archive, digester.finish(), config.cache))
}

/// Parses JSON; what is wrong comes with a pointer to it.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, NotTaken> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|bad| {
        let pointer = pointer_to(bad.path());
        NotTaken::Field { pointer, problem: bad.into_inner().to_string() }
    })?;
    let trailing = |bad: serde_json::Error| NotTaken::Field {
        pointer: String::new(),
        problem: bad.to_string(),
    };
    deserializer.end().map_err(trailing)?;
    Ok(parsed)
}

fn pointer_to(path: &serde_path_to_error::Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => pointer(&[key]),
            Segment::Enum { variant } => pointer(&[variant]),
            Segment::Unknown => String::new(),
        })
        .collect()
}

fn archive(
    stdin: Option<Content>,
    files: BTreeMap<String, FileContent>,
) -> Result<Vec<u8>, NotTaken> {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by(|(a, _), (b, _)| path::compare(a, b));
    let mut tree = Tree::default();
    for (name, content) in files {
        let (kind, bytes) = match content {
            FileContent::Directory => (Kind::Directory, Vec::new()),
            FileContent::File { content, executable } => {
                let kind = if executable { Kind::Executable } else { Kind::File };
                (kind, bytes_of(content, || pointer(&["files", &name]))?)
            }
        };
        tree.file(kind, &name, &bytes)?;
    }
    if let Some(stdin) = stdin {
        tree.stdin(&bytes_of(stdin, || "/stdin".to_owned())?)?;
    }
    Ok(tree.finish())
}

fn bytes_of(content: Content, field: impl Fn() -> String) -> Result<Vec<u8>, NotTaken> {
    content
        .into_bytes()
        .map_err(|bad| NotTaken::Field { pointer: field(), problem: bad.to_string() })
}
