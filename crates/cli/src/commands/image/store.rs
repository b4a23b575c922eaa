//! `pe image list` and `pe image rm`: what is in a store.

use pe_image::Store;
use serde_json::json;

use crate::arguments::image::{ListArgs, RmArgs};
use crate::table;
use crate::units::show_bytes;
use crate::words::printable;

use super::{ImageFailure, pretty};

pub(super) fn list(args: &ListArgs) -> Result<(String, u8), ImageFailure> {
    let store = Store::open(&args.store.into)?;
    let entries = store.entries()?;
    let usage = store.usage()?;
    if args.json {
        let usage = json!({"packs_bytes": usage.packs, "unused_packs_bytes": usage.packs_unused});
        return Ok((pretty(&json!({"images": entries, "usage": usage}))?, 0));
    }
    if entries.is_empty() {
        let dir = args.store.into.display().to_string();
        let text =
            format!("There are no images in {}; `pe image import` makes some.\n", printable(&dir));
        return Ok((text, 0));
    }
    let mut rows = vec![["IMAGE", "ARCH", "PACK", "SIZE", "FROM"].map(str::to_owned).to_vec()];
    for entry in &entries {
        for platform in &entry.image.platforms {
            rows.push(vec![
                printable(&format!("{}:{}", entry.image.name, entry.image.tags.join(","))),
                platform.arch.as_str().to_owned(),
                platform.pack.digest.hex().get(..12).unwrap_or_default().to_owned(),
                show_bytes(platform.pack.bytes),
                printable(entry.origin.as_deref().unwrap_or("a recipe of images/")),
            ]);
        }
    }
    let mut text = table::table(&rows);
    if usage.packs_unused > 0 {
        text.push_str(&format!(
            "\nPacks of {} are needed by no image; `pe image rm --unused-packs` removes them.\n",
            show_bytes(usage.packs_unused)
        ));
    }
    Ok((text, 0))
}

pub(super) fn remove(args: &RmArgs) -> Result<(String, u8), ImageFailure> {
    let store = Store::open(&args.store.into)?;
    let lock = store.lock()?;
    let mut removed = Vec::new();
    for reference in &args.images {
        removed.extend(lock.remove(reference)?);
    }
    let packs = if args.unused_packs { lock.remove_unused()? } else { Vec::new() };
    if args.json {
        let packs: Vec<_> =
            packs.iter().map(|(digest, bytes)| json!({"digest": digest, "bytes": bytes})).collect();
        return Ok((pretty(&json!({"images": removed, "packs": packs}))?, 0));
    }
    let mut text = String::new();
    for reference in &args.images {
        text.push_str(&format!("{} is no longer in the catalogue\n", printable(reference)));
    }
    let bytes = packs.iter().map(|(_, bytes)| bytes).sum();
    if args.unused_packs {
        text.push_str(&format!("{} packs were removed ({})\n", packs.len(), show_bytes(bytes)));
    }
    Ok((text, 0))
}
