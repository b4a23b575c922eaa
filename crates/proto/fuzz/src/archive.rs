//! The archive decoder, fed in pieces of several sizes.

use pe_proto::archive::{BadArchive, Bounds, Decoder, Encoder, Event, Kind, Role, for_each_entry};

type Entry = (Kind, String, Vec<u8>);

/// Reads `data` as an archive of either role.
pub fn archive(data: &[u8]) -> bool {
    let as_job = archive_of(Role::Job, data);
    let as_result = archive_of(Role::Result, data);
    as_job || as_result
}

fn archive_of(role: Role, data: &[u8]) -> bool {
    stays_within_small_bounds(role, data);
    let bounds = Bounds::of(role);
    let whole = entries(bounds, data, data.len().max(1));
    for piece in [1, 2, 7, 64] {
        assert_eq!(whole, entries(bounds, data, piece), "in pieces of {piece}");
    }
    let mut at_once = Vec::new();
    let read = for_each_entry(data, bounds, |kind, path, data| {
        at_once.push((kind, path.to_owned(), data.to_vec()));
    });
    assert_eq!(whole.is_ok(), read.is_ok(), "{whole:?} in pieces, {read:?} at once");
    let Ok(entries) = whole else { return false };
    assert_eq!(entries, at_once);
    assert!(entries.iter().all(|(kind, path, _)| role.admits(*kind, path)));
    assert_eq!(encoded(&entries), data, "one tree has one encoding");
    true
}

fn entries(bounds: Bounds, data: &[u8], piece: usize) -> Result<Vec<Entry>, BadArchive> {
    let mut decoder = Decoder::new(bounds);
    let mut found: Vec<Entry> = Vec::new();
    let mut count = 0;
    for mut input in data.chunks(piece) {
        while let Some(event) = decoder.next(&mut input)? {
            match event {
                Event::Entry { kind, path, len } => {
                    count += 1;
                    assert!(u64::from(len) <= bounds.bytes_max);
                    found.push((kind, path.to_owned(), Vec::new()));
                }
                Event::Data(data) => {
                    let (_, _, so_far) = found.last_mut().expect("data belongs to an entry");
                    so_far.extend_from_slice(data);
                }
                Event::End { entries } => assert_eq!(entries, count),
            }
        }
        assert!(input.is_empty(), "a decoder that wants more has taken everything");
    }
    decoder.finish()?;
    assert!(decoder.is_complete());
    Ok(found)
}

fn encoded(entries: &[Entry]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (kind, path, data) in entries {
        encoder.push(*kind, path, data).expect("what was read can be written");
    }
    encoder.finish()
}

fn stays_within_small_bounds(role: Role, data: &[u8]) {
    let bounds = Bounds { role, bytes_max: 64, entries_max: 2 };
    let mut decoder = Decoder::new(bounds);
    if decoder.check(data).is_err() {
        assert_eq!(decoder.check(data), Err(BadArchive::Failed));
        assert_eq!(decoder.finish(), Err(BadArchive::Failed));
    } else if decoder.is_complete() {
        assert!(data.len() <= 64);
    }
}
