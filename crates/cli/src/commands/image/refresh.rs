//! `pe image refresh`: tags of registries that may name other images by now.

use std::time::{SystemTime, UNIX_EPOCH};

use pe_image::fresh::{self, Due, Verdict};
use pe_image::store::Entry;
use pe_image::{SourceName, Store};

use crate::arguments::image::RefreshArgs;
use crate::exit_status::FAILED;
use crate::words::printable;

use super::import::again;
use super::watch::Watch;
use super::{ImageFailure, settings};

pub(super) fn refresh(args: &RefreshArgs) -> Result<(String, u8), ImageFailure> {
    let store = Store::open(&args.store.into)?;
    let settings = settings::settings(&args.registry)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut text = String::new();
    let mut status = 0;
    for entry in store.entries()? {
        if fresh::due(&entry, now, args.max_age) != Due::Now {
            continue;
        }
        // What is wrong with one is no reason to leave the others as they are.
        let (said, is_bad) = one(&entry, &store, &settings, now, args).unwrap_or_else(|why| {
            (format!("stays as it is: {}", printable(&why.to_string())), true)
        });
        let tags = entry.image.tags.join(",");
        text.push_str(&format!("{}:{}: {said}\n", printable(&entry.image.name), printable(&tags)));
        if is_bad {
            status = FAILED;
        }
    }
    Ok((if text.is_empty() { "Nothing is due.\n".to_owned() } else { text }, status))
}

/// What is to be said of one entry, and whether its owner must do something.
fn one(
    entry: &Entry,
    store: &Store,
    settings: &pe_image::source::registry::Settings,
    now: u64,
    args: &RefreshArgs,
) -> Result<(String, bool), ImageFailure> {
    let origin = entry.origin.clone().unwrap_or_default();
    let source: SourceName = origin.parse()?;
    let open = pe_image::source::open(&source, settings)?;
    let mut moved = false;
    for platform in &entry.image.platforms {
        let found = open.image(platform.arch);
        match fresh::judge(entry, found.as_ref().ok().map(|image| image.manifest), now) {
            Verdict::Same => {}
            Verdict::Moved => {
                moved = true;
                let mut watch = Watch::new(args.quiet, 1);
                again(entry, &origin, &source, platform.arch, settings, store, &mut watch)?;
            }
            Verdict::Stale { age, is_too_old } => {
                let why = found.err().map(|why| why.to_string()).unwrap_or_default();
                let days = age.as_secs() / (24 * 3600);
                let since = if entry.checked_unix_s.is_some() {
                    format!("{days} days ago")
                } else {
                    "never".to_owned()
                };
                let said = format!("stays as it is, last checked {since}: {}", printable(&why));
                return Ok((said, is_too_old));
            }
        }
    }
    let lock = store.lock()?;
    // What an import just wrote, or else what was there.
    let is_same = |it: &&Entry| it.image.name == entry.image.name && it.origin == entry.origin;
    if let Some(current) = store.entries()?.iter().find(is_same) {
        lock.put(&Entry { checked_unix_s: Some(now), ..current.clone() })?;
    }
    Ok((if moved { "was imported again" } else { "is current" }.to_owned(), false))
}
