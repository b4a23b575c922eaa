//! `pe image inspect` and `pe image lint`: what an image says of itself.

use std::path::Path;

use pe_image::lint::{self, Severity};
use pe_image::{OciImage, Packing, SourceName, source};
use serde_json::{Value, json};

use crate::arguments::ArchArg;
use crate::arguments::image::{InspectArgs, LintArgs, RegistryArgs};
use crate::limits::LABELS_BYTES_MAX;
use crate::table;
use crate::units::show_bytes;
use crate::words::printable;

use super::import::described_by;
use super::{ImageFailure, arch, pretty, settings};

/// What `lint` exits with when it has found something.
const FOUND: u8 = 1;

pub(super) fn inspect(args: &InspectArgs) -> Result<(String, u8), ImageFailure> {
    let image = image(&args.source, args.arch, &args.registry)?;
    if args.json { Ok((pretty(&as_json(&image))?, 0)) } else { Ok((as_text(&image), 0)) }
}

fn image(
    source: &str,
    asked: Option<ArchArg>,
    registry: &RegistryArgs,
) -> Result<OciImage, ImageFailure> {
    let name = SourceName::read_here(source)?;
    let arch = arch(asked)?;
    let settings = settings::settings(registry)?;
    Ok(source::open(&name, &settings)?.image(arch)?)
}

fn packing(packing: Packing) -> &'static str {
    match packing {
        Packing::Plain => "plain",
        Packing::Gzip => "gzip",
        Packing::Zstd => "zstd",
    }
}

fn as_json(image: &OciImage) -> Value {
    let layers = image.layers.iter().zip(&image.diff_ids).map(|(layer, diff_id)| {
        json!({"digest": layer.digest, "bytes": layer.bytes, "packing": packing(layer.packing),
            "diff_id": diff_id})
    });
    json!({"manifest": image.manifest, "arch": image.arch, "config": image.config,
        "labels": image.labels, "layers": layers.collect::<Vec<Value>>()})
}

fn as_text(image: &OciImage) -> String {
    let words = |words: &[String]| match words {
        [] => "-".to_owned(),
        words => printable(&words.join(" ")),
    };
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { printable(text) };
    let config = &image.config;
    let mut rows = vec![
        vec!["manifest".to_owned(), image.manifest.to_string()],
        vec!["architecture".to_owned(), image.arch.to_string()],
        vec!["entrypoint".to_owned(), words(&config.entrypoint)],
        vec!["command".to_owned(), words(&config.cmd)],
        vec!["directory".to_owned(), or_dash(&config.workdir)],
        vec!["user".to_owned(), or_dash(&config.user)],
    ];
    rows.extend(config.env.iter().map(|each| vec!["variable".to_owned(), printable(each)]));
    for (key, value) in &image.labels {
        let shown: String = value.chars().take(200).collect();
        let more = if shown.len() < value.len() { " ..." } else { "" };
        rows.push(vec![
            "label".to_owned(),
            format!("{}={}{more}", printable(key), printable(&shown)),
        ]);
    }
    let bytes: u64 = image.layers.iter().map(|layer| layer.bytes).sum();
    let mut text = table::table(&rows);
    text.push_str(&format!(
        "\n{} layers, {} as they are stored\n",
        image.layers.len(),
        show_bytes(bytes)
    ));
    let mut rows = vec![["LAYER", "SIZE", "PACKING", "DIGEST"].map(str::to_owned).to_vec()];
    for (number, layer) in image.layers.iter().enumerate() {
        rows.push(vec![
            (number + 1).to_string(),
            show_bytes(layer.bytes),
            packing(layer.packing).to_owned(),
            layer.digest.to_string(),
        ]);
    }
    text.push_str(&table::table(&rows));
    text
}

pub(super) fn lint(args: &LintArgs) -> Result<(String, u8), ImageFailure> {
    let is_file = Path::new(&args.source).extension().is_some_and(|ending| ending == "toml");
    if args.as_labels {
        let path = Path::new(&args.source);
        let described = described_by(path)?;
        let labels = described
            .labels()
            .map_err(|why| ImageFailure::Description { path: path.to_owned(), why })?;
        return Ok((pretty(&labels)?, 0));
    }
    let found = if is_file {
        let text = settings::read(Path::new(&args.source), LABELS_BYTES_MAX)?;
        lint::toml(&String::from_utf8_lossy(&text))
    } else {
        let image = image(&args.source, args.arch, &args.registry)?;
        lint::labels(&image.labels, &image.config)
    };
    let is_bad = found.iter().any(|each| each.severity == Severity::Error || args.strict);
    let status = if is_bad { FOUND } else { 0 };
    if args.json {
        return Ok((pretty(&json!({"findings": found}))?, status));
    }
    let lines = found.iter().map(|each| {
        let severity = match each.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let (at, reason) = (printable(&each.pointer), printable(&each.reason));
        format!("{severity}: {at}: {reason}\n    {}\n", printable(&each.mend))
    });
    let text: String = lines.collect();
    Ok((if text.is_empty() { "The labels are good.\n".to_owned() } else { text }, status))
}
