//! Reading what was listed and building the archive, in the one order an archive has.

use std::fs::File;
use std::path::Path;

use pe_proto::archive::{ENTRY_HEAD_BYTES, Encoder, EntryRefused, INPUT_PREFIX, Kind, STDIN};
use pe_proto::limits::INPUT_BYTES_MAX;
use pe_proto::path;

use super::walk::{Listed, Listing};
use super::{BadInput, read_bounded};

/// Kind byte and count at the end of every archive.
const END_BYTES: u64 = 5;

/// Packs everything. Empty standard input is no entry: it is the same job as none.
///
/// # Errors
/// Two files for one place, a file that cannot be read, or more than fits.
pub fn pack(listing: Listing, stdin: &[u8]) -> Result<Vec<u8>, BadInput> {
    let mut encoder = Encoder::new();
    for entry in in_order(listing.entries)? {
        let data = match entry.kind {
            Kind::Directory => Vec::new(),
            Kind::File | Kind::Executable | Kind::Symlink => {
                let left = bytes_left(&encoder, &entry.remote);
                let unreadable = |error| BadInput::Unreadable { path: entry.local.clone(), error };
                let file = File::open(&entry.local).map_err(unreadable)?;
                read_bounded(file, &entry.local, left)?
            }
        };
        push(&mut encoder, entry.kind, &entry.remote, &data, &entry.local)?;
    }
    if !stdin.is_empty() {
        let len = u64::try_from(stdin.len()).unwrap_or(u64::MAX);
        if len > bytes_left(&encoder, STDIN) {
            return Err(BadInput::TooLarge { path: "standard input".into(), len });
        }
        push(&mut encoder, Kind::File, STDIN, stdin, Path::new("standard input"))?;
    }
    Ok(encoder.finish())
}

/// Sorts, refuses duplicates, and leaves out empty directories that another argument fills.
fn in_order(mut entries: Vec<Listed>) -> Result<Vec<Listed>, BadInput> {
    entries.sort_by(|a, b| path::compare(&a.remote, &b.remote));
    let mut ordered: Vec<Listed> = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(last) = ordered.last() else {
            ordered.push(entry);
            continue;
        };
        let filled = last.kind == Kind::Directory && path::is_below(&entry.remote, &last.remote);
        let same = last.remote == entry.remote;
        if same && (last.kind != Kind::Directory || entry.kind != Kind::Directory) {
            return Err(BadInput::Twice {
                remote: shown(&entry.remote),
                first: last.local.clone(),
                second: entry.local,
            });
        }
        if last.kind != Kind::Directory && path::is_below(&entry.remote, &last.remote) {
            return Err(BadInput::BelowFile(shown(&last.remote)));
        }
        if filled || same {
            ordered.pop();
        }
        ordered.push(entry);
    }
    Ok(ordered)
}

fn push(
    encoder: &mut Encoder,
    kind: Kind,
    remote: &str,
    data: &[u8],
    local: &Path,
) -> Result<(), BadInput> {
    encoder.push(kind, remote, data).map_err(|refused| match refused {
        EntryRefused::Path(_, problem) => {
            BadInput::Remote { local: local.to_owned(), remote: shown(remote), problem }
        }
        EntryRefused::Order(_) => BadInput::Twice {
            remote: shown(remote),
            first: local.to_owned(),
            second: local.to_owned(),
        },
        EntryRefused::DirectoryData(_) | EntryRefused::BelowLeaf(_) => {
            BadInput::BelowFile(shown(remote))
        }
        EntryRefused::TooLarge(_) => {
            BadInput::TooLarge { path: local.to_owned(), len: data.len() as u64 }
        }
        EntryRefused::TooMany => BadInput::TooMany,
    })
}

/// How long the next entry's data may be.
fn bytes_left(encoder: &Encoder, remote: &str) -> u64 {
    let used = encoder.len() + ENTRY_HEAD_BYTES + remote.len();
    INPUT_BYTES_MAX
        .saturating_sub(u64::try_from(used).unwrap_or(u64::MAX))
        .saturating_sub(END_BYTES)
}

fn shown(remote: &str) -> String {
    remote.strip_prefix(INPUT_PREFIX).unwrap_or(remote).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(remote: &str, kind: Kind) -> Listed {
        Listed { remote: format!("input/{remote}"), local: remote.into(), kind }
    }

    #[test]
    fn an_empty_directory_that_another_argument_fills_is_left_out() {
        let entries = vec![
            listed("a/b", Kind::Directory),
            listed("a", Kind::Directory),
            listed("a", Kind::Directory),
            listed("a-b", Kind::File),
        ];
        let names: Vec<String> =
            in_order(entries).expect("fits").into_iter().map(|each| each.remote).collect();
        assert_eq!(names, ["input/a/b", "input/a-b"]);
    }

    #[test]
    fn two_things_for_one_place_are_refused_by_name() {
        let check = |first: (&str, Kind), second: (&str, Kind), message: &str| {
            let entries = vec![listed(first.0, first.1), listed(second.0, second.1)];
            let bad = in_order(entries).expect_err("must be refused").to_string();
            assert!(bad.contains(message), "{bad}");
        };
        check(("a", Kind::File), ("a", Kind::Executable), "both `a` and `a` would be /input/a");
        check(("a", Kind::File), ("a", Kind::Directory), "both `a` and `a` would be /input/a");
        check(("a", Kind::File), ("a/b/c", Kind::File), "/input/a is a file");
    }

    #[test]
    fn standard_input_comes_last_and_not_at_all_if_empty() {
        let packed = |stdin: &[u8]| pack(Listing::default(), stdin).expect("fits");
        assert_eq!(packed(b""), Encoder::new().finish());
        let mut encoder = Encoder::new();
        encoder.push(Kind::File, STDIN, b"\0\xff").expect("fits");
        assert_eq!(packed(b"\0\xff"), encoder.finish());
    }

    #[test]
    fn the_largest_archive_is_exactly_the_limit() {
        let most = usize::try_from(bytes_left(&Encoder::new(), STDIN)).expect("small");
        let bytes = pack(Listing::default(), &vec![7; most]).expect("fits");
        assert_eq!(bytes.len() as u64, INPUT_BYTES_MAX);
        let bad = pack(Listing::default(), &vec![7; most + 1]).expect_err("one too many");
        assert!(bad.to_string().contains("all input of a job together may be 16.0 MiB"), "{bad}");
    }
}
