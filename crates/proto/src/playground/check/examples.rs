//! The examples: what each sends must be a job, and its command must be possible.

use std::collections::BTreeMap;

use crate::api::FileContent;
use crate::archive::{Encoder, Kind as Entry};
use crate::limits::PLAYGROUND_ITEMS_MAX;
use crate::path;

use super::super::words::Word;
use super::super::{Example, Field, Kind, Playground, escaped};
use super::Flaws;

impl Playground {
    pub(super) fn check_examples(&self, flaws: &mut Flaws) {
        flaws.few("/examples", self.examples.len(), PLAYGROUND_ITEMS_MAX);
        let titles = self.examples.iter().map(|example| example.title.as_str());
        flaws.distinct("/examples", titles, "/title");
        for (index, example) in self.examples.iter().enumerate() {
            self.check_example(example, &format!("/examples/{index}"), flaws);
        }
    }

    fn check_example(&self, example: &Example, at: &str, flaws: &mut Flaws) {
        flaws.title(&format!("{at}/title"), &example.title);
        flaws.prose(&format!("{at}/description"), &example.description);
        check_files(&example.files, &format!("{at}/files"), flaws);
        if let Err(bad) = example.stdin.clone().into_bytes() {
            flaws.add(format!("{at}/stdin"), bad.to_string());
        }
        if let Some(template) = &example.command {
            self.check_template(template, &format!("{at}/command"), flaws);
        }
        if let Err(flaw) = self.expand_example(example) {
            flaws.add(format!("{at}{}", flaw.pointer), flaw.reason);
        }
        let template = example.command.as_ref().unwrap_or(&self.command);
        let in_template = |field: &&Field| {
            template.iter().any(|word| Word::parse(word) == Word::Field(&field.name))
        };
        let is_file = |field: &&Field| matches!(field.kind, Kind::File { .. });
        for field in self.fields.iter().filter(is_file).filter(in_template) {
            let chosen = example.values.get(&field.name).cloned();
            let file = chosen.unwrap_or_else(|| field.default_value());
            if !file.is_empty() && !example.files.contains_key(&file) {
                let reason = format!("the example has no file `{file}`");
                flaws.add(format!("{at}/values/{}", field.name), reason);
            }
        }
    }
}

/// Whether the files can be a job's input together.
fn check_files(files: &BTreeMap<String, FileContent>, at: &str, flaws: &mut Flaws) {
    flaws.few(at, files.len(), PLAYGROUND_ITEMS_MAX);
    let mut sorted: Vec<(&String, &FileContent)> = files.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| path::compare(a, b));
    let mut archive = Encoder::new();
    for (path, file) in sorted {
        let at = format!("{at}/{}", escaped(path));
        if let Err(bad) = path::check_str(path) {
            flaws.add(at, bad.to_string());
            continue;
        }
        let (kind, bytes) = match file {
            FileContent::Directory => (Entry::Directory, Ok(Vec::new())),
            FileContent::File { content, executable: true } => {
                (Entry::Executable, content.clone().into_bytes())
            }
            FileContent::File { content, executable: false } => {
                (Entry::File, content.clone().into_bytes())
            }
        };
        match bytes {
            Err(bad) => flaws.add(at, bad.to_string()),
            Ok(bytes) => {
                if let Err(bad) = archive.push(kind, &format!("input/{path}"), &bytes) {
                    flaws.add(at, bad.to_string());
                }
            }
        }
    }
}
