//! `pe images`: the catalogue as a table, or as it is.

use std::time::Duration;

use http::StatusCode;
use pe_proto::api::IMAGES_PATH;
use pe_proto::catalogue::Catalogue;

use crate::arguments::ImagesArgs;
use crate::client::{Client, Patience};
use crate::limits::CATALOGUE_BYTES_MAX;
use crate::table;
use crate::units::show_bytes;
use crate::words::printable;

use super::{Failure, print};

pub(super) async fn images(args: ImagesArgs) -> Result<u8, Failure> {
    let client = Client::new(args.server.server, Patience::for_wall(Duration::ZERO))
        .trusting(args.server.ca);
    let catalogue = catalogue(&client).await?;
    if args.json {
        let text = serde_json::to_string_pretty(&catalogue).map_err(Failure::Catalogue)?;
        print(format!("{text}\n").into_bytes()).await?;
    } else {
        print(table(&catalogue).into_bytes()).await?;
    }
    Ok(0)
}

/// What the server has.
pub(super) async fn catalogue(client: &Client) -> Result<Catalogue, Failure> {
    let reply = client.get(IMAGES_PATH, CATALOGUE_BYTES_MAX).await?;
    if reply.status != StatusCode::OK || reply.content_type != "application/json" {
        return Err(client.refusal(&reply).into());
    }
    serde_json::from_slice(&reply.body).map_err(Failure::Catalogue)
}

/// One row per name, its tags and architectures together.
fn table(catalogue: &Catalogue) -> String {
    if catalogue.images.is_empty() {
        return "The server has no images.\n".to_owned();
    }
    let mut rows =
        vec![["IMAGE", "TAGS", "ARCH", "SIZE", "WHAT IT IS"].map(str::to_owned).to_vec()];
    for image in &catalogue.images {
        let archs: Vec<&str> = image.platforms.iter().map(|each| each.arch.as_str()).collect();
        let largest = image.platforms.iter().map(|each| each.pack.bytes).max();
        rows.push(vec![
            printable(&image.name),
            printable(&image.tags.join(", ")),
            archs.join(", "),
            largest.map(show_bytes).unwrap_or_default(),
            printable(&image.title),
        ]);
    }
    table::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_a_table() {
        let platform = |arch: &str, bytes: u64| {
            serde_json::json!({
                "arch": arch, "digest": format!("sha256:{}", "ab".repeat(32)),
                "pack": {"digest": format!("sha256:{}", "cd".repeat(32)), "bytes": bytes, "prefix": ""},
                "config": {"entrypoint": [], "cmd": ["sh"], "env": [], "workdir": "", "user": ""},
            })
        };
        let catalogue: Catalogue = serde_json::from_value(serde_json::json!({
            "version": 2,
            "images": [
                {"name": "busybox", "tags": ["1.35", "1"], "title": "BusyBox",
                 "description": "", "platforms": [platform("x86_64", 1_572_864)]},
                {"name": "gcc", "tags": ["12"], "title": "GNU \u{1b}[1mC", "description": "",
                 "platforms": [platform("x86_64", 167_772_160), platform("riscv64", 1)]},
            ],
        }))
        .expect("a catalogue");
        let expected = "\
IMAGE    TAGS     ARCH             SIZE       WHAT IT IS
busybox  1.35, 1  x86_64           1.5 MiB    BusyBox
gcc      12       x86_64, riscv64  160.0 MiB  GNU \\u{1b}[1mC
";
        assert_eq!(table(&catalogue), expected);
        let empty = Catalogue { version: 2, images: Vec::new() };
        assert_eq!(table(&empty), "The server has no images.\n");
    }
}
