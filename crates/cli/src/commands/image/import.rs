//! `pe image import` and `pe image pack`: sources to packs and entries of the catalogue.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pe_image::labels::Description;
use pe_image::source::registry::Settings;
use pe_image::store::Entry;
use pe_image::{Caps, OciImage, PackFile, Source, SourceName, Store, pack as packs, source};
use pe_proto::catalogue::{Image, Pack, Platform};
use pe_proto::{Arch, Digest};

use crate::arguments::image::{ImportArgs, PackArgs};
use crate::limits::LABELS_BYTES_MAX;
use crate::units::show_bytes;
use crate::words::printable;

use super::names::{Name, pair};
use super::watch::Watch;
use super::{ImageFailure, arch, pretty, settings};

/// An image that is to be packed, and what is known of it.
struct Wanted {
    name: Name,
    origin: String,
    source: Box<dyn Source>,
    image: OciImage,
    prefix: String,
    /// By its labels, and by the file beside it.
    description: Description,
    /// Its labels say it has a form, but not a possible one.
    is_form_bad: bool,
    /// Tags beyond that of its name.
    tags: Vec<String>,
    /// Of a recipe.
    stamp: Option<String>,
}

pub(super) fn import(args: &ImportArgs) -> Result<(String, u8), ImageFailure> {
    let source = SourceName::read_here(&args.source)?;
    let name = match &args.name {
        Some(name) => Name::read(name)?,
        None => Name::of(&args.source, &source)?,
    };
    let arch = arch(args.how.arch)?;
    let settings = settings::settings(&args.how.registry)?;
    let mut watch = Watch::new(args.how.quiet, 1);
    watch.say(&format!("looking at {}", printable(&args.source)));
    let mut wanted = wanted(name, String::new(), &args.source, &source, arch, &settings)?;
    if let Some(path) = &args.labels {
        wanted.description = described_by(path)?.or(wanted.description);
    }
    wanted.stamp.clone_from(&args.stamp);
    for tag in &args.tag {
        wanted.tags.push(Name::read(&format!("{}:{tag}", wanted.name.name))?.tag);
    }
    let store = Store::open(&args.how.store.into)?;
    make(&[wanted], &store, &mut watch, args.how.json)
}

pub(super) fn pack(args: &PackArgs) -> Result<(String, u8), ImageFailure> {
    let arch = arch(args.how.arch)?;
    let settings = settings::settings(&args.how.registry)?;
    let mut watch = Watch::new(args.how.quiet, args.images.len());
    let mut all = Vec::new();
    for text in &args.images {
        let (name, text) = pair(text)?;
        watch.say(&format!("looking at {}", printable(text)));
        let prefix = format!("{}/{}", name.name, name.tag);
        let source = SourceName::read_here(text)?;
        all.push(wanted(name, prefix, text, &source, arch, &settings)?);
    }
    let store = Store::open(&args.how.store.into)?;
    make(&all, &store, &mut watch, args.how.json)
}

/// Imports an image again under the names that it has.
pub(super) fn again(
    entry: &Entry,
    origin: &str,
    source: &SourceName,
    arch: Arch,
    settings: &Settings,
    store: &Store,
    watch: &mut Watch,
) -> Result<(), ImageFailure> {
    let mut tags = entry.image.tags.clone().into_iter();
    let tag = tags.next().unwrap_or_default();
    let name = Name { name: entry.image.name.clone(), tag };
    let mut wanted = wanted(name, String::new(), origin, source, arch, settings)?;
    wanted.tags = tags.collect();
    // A description that was given beside the image is not lost with the image's labels.
    let kept = Description {
        title: Some(entry.image.title.clone()),
        description: Some(entry.image.description.clone()),
        playground: entry.image.playground.clone(),
    };
    wanted.description = wanted.description.or(kept);
    make(&[wanted], store, watch, true).map(|_| ())
}

fn unix_s() -> Option<u64> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn wanted(
    name: Name,
    prefix: String,
    text: &str,
    source: &SourceName,
    arch: Arch,
    settings: &Settings,
) -> Result<Wanted, ImageFailure> {
    let source = source::open(source, settings)?;
    let image = source.image(arch)?;
    let (description, is_form_bad) = match Description::of_labels(&image.labels) {
        Ok(description) => (description, false),
        Err(_) => (Description::without_playground(&image.labels), true),
    };
    let (origin, tags) = (text.to_owned(), Vec::new());
    Ok(Wanted { name, origin, source, image, prefix, description, is_form_bad, tags, stamp: None })
}

/// The description in a file, which somebody asked for: it must be good.
pub(super) fn described_by(path: &Path) -> Result<Description, ImageFailure> {
    let text = settings::read(path, LABELS_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&text);
    Description::of_toml(&text)
        .map_err(|why| ImageFailure::Description { path: path.to_owned(), why })
}

/// Packs images and enters them into the catalogue.
fn make(
    all: &[Wanted],
    store: &Store,
    watch: &mut Watch,
    json: bool,
) -> Result<(String, u8), ImageFailure> {
    let images: Vec<(&str, &OciImage, &dyn Source)> =
        all.iter().map(|it| (it.prefix.as_str(), &it.image, &*it.source)).collect();
    let made =
        packs::build(&images, store, &Caps::default(), &mut |progress| watch.tell(progress))?;
    let lock = store.lock()?;
    let mut entries = Vec::new();
    for wanted in all {
        let entry = entry(wanted, &made, &store.entries()?);
        lock.put(&entry)?;
        entries.push(entry);
    }
    if json {
        return Ok((pretty(&entries)?, 0));
    }
    let names: Vec<String> =
        entries.iter().map(|it| format!("{}:{}", it.image.name, it.image.tags.join(","))).collect();
    let was = if made.is_old { "was there already" } else { "was made" };
    let short = |digest: Digest| digest.hex().get(..12).unwrap_or_default().to_owned();
    let mut text = format!(
        "{}: the pack {} ({}) {was}\n",
        names.join(", "),
        short(made.digest),
        show_bytes(made.bytes)
    );
    if let (Some(basis), false) = (made.based_on, made.is_old) {
        let kept = show_bytes(basis.to.saturating_sub(basis.from));
        text.push_str(&format!("  it continues {}, of which {kept} stay\n", short(basis.pack)));
    }
    if made.saved_bytes > 0 {
        let saved = show_bytes(made.saved_bytes);
        text.push_str(&format!("  {saved} of files were in it already, or twice\n"));
    }
    let bad = all.iter().filter(|it| it.is_form_bad && it.description.playground.is_none());
    let bad: String = bad
        .map(|it| format!("  {} has no form: `pe image lint` tells why\n", it.name.name))
        .collect();
    Ok((text + &notes(&made) + &bad, 0))
}

/// What was left out on the way, if anything.
fn notes(made: &PackFile) -> String {
    let mut text = String::new();
    if made.notes.devices > 0 {
        text.push_str(&format!("  {} device files were left out\n", made.notes.devices));
    }
    if made.notes.xattrs > 0 {
        text.push_str(&format!("  {} attributes of files were left out\n", made.notes.xattrs));
    }
    if made.notes.no_landlock {
        text.push_str("  layers were unpacked without Landlock, which this kernel does not have\n");
    }
    if !made.keeps_owners {
        text.push_str("  all files belong to root: this user cannot give files other owners\n");
    }
    text
}

/// The image as the catalogue has it: with the same name's platforms for other architectures, if
/// it is there already.
fn entry(wanted: &Wanted, made: &PackFile, there: &[Entry]) -> Entry {
    let Wanted { name, origin, image, description, tags, .. } = wanted;
    let description = description.clone();
    let mut tags = [std::slice::from_ref(&name.tag), tags].concat();
    tags.dedup();
    let is_same = |it: &&Entry| it.image.name == name.name && it.image.tags.contains(&name.tag);
    let mut platforms: Vec<Platform> =
        there.iter().find(is_same).map(|it| it.image.platforms.clone()).unwrap_or_default();
    platforms.retain(|platform| platform.arch != image.arch);
    platforms.push(Platform {
        arch: image.arch,
        digest: image.manifest,
        pack: Pack {
            digest: made.digest,
            bytes: made.bytes,
            prefix: wanted.prefix.clone(),
            based_on: made.based_on,
        },
        config: image.config.clone(),
    });
    platforms.sort_by_key(|platform| platform.arch);
    Entry {
        stamp: wanted.stamp.clone(),
        origin: wanted.stamp.is_none().then(|| origin.clone()),
        checked_unix_s: unix_s(),
        image: Image {
            name: name.name.clone(),
            tags,
            title: description.title.unwrap_or_else(|| name.name.clone()),
            description: description.description.unwrap_or_default(),
            platforms,
            playground: description.playground,
        },
    }
}
