//! Archives: any tree survives, in pieces of any size, and has one encoding only.

use pe_proto::archive::{Bounds, Decoder, Encoder, EntryRefused, Event, Kind, Role};
use pe_proto::path::BadPath;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};

use crate::strategies::{Entry, archive_of, entries, job_tree, result_tree};

/// Feeds a decoder the input cut at the given places; each piece is its own slice.
fn read_in_pieces(role: Role, bytes: &[u8], cuts: &[usize]) -> Vec<Entry> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut decoder = Decoder::new(Bounds::of(role));
    let mut found: Vec<Entry> = Vec::new();
    for pair in cuts.windows(2) {
        let piece = bytes.get(pair[0]..pair[1]).unwrap().to_vec();
        let mut input = piece.as_slice();
        while let Some(event) = decoder.next(&mut input).unwrap() {
            match event {
                Event::Entry { kind, path, .. } => found.push((kind, path.to_owned(), Vec::new())),
                Event::Data(data) => found.last_mut().unwrap().2.extend_from_slice(data),
                Event::End { entries } => assert_eq!(usize::try_from(entries), Ok(found.len())),
            }
        }
    }
    assert_eq!(decoder.finish(), Ok(()));
    found
}

proptest! {
    #[test]
    fn any_job_survives_its_archive(tree in job_tree(), cuts in vec(any::<usize>(), 0..20)) {
        let bytes = archive_of(&tree);
        prop_assert_eq!(&entries(Role::Job, &bytes).unwrap(), &tree);
        prop_assert_eq!(&read_in_pieces(Role::Job, &bytes, &cuts), &tree);
    }

    #[test]
    fn any_result_survives_its_archive(tree in result_tree(), cuts in vec(any::<usize>(), 0..20)) {
        let bytes = archive_of(&tree);
        prop_assert_eq!(&entries(Role::Result, &bytes).unwrap(), &tree);
        prop_assert_eq!(&read_in_pieces(Role::Result, &bytes, &cuts), &tree);
    }

    #[test]
    fn one_tree_has_one_encoding(a in job_tree(), b in job_tree(), swap in any::<[usize; 2]>()) {
        prop_assert_eq!(archive_of(&a) == archive_of(&b), a == b);
        // No other order of the same entries is an archive.
        let mut other = a.clone();
        let [one, two] = swap.map(|index| index.checked_rem(a.len()).unwrap_or(0));
        if one != two {
            other.swap(one, two);
            prop_assert_eq!(try_archive_of(&other), None);
        }
    }

    #[test]
    fn a_directory_is_listed_only_if_nothing_is_below_it(tree in job_tree(), pick in any::<usize>()) {
        // Adding the parent of any entry names the same tree, so it must not be an archive.
        let index = pick.checked_rem(tree.len()).unwrap_or(0);
        let parent = tree.get(index).and_then(|(_, path, _)| path.rsplit_once('/'));
        if let Some((parent, _)) = parent.filter(|(parent, _)| parent.contains('/')) {
            let mut other = tree.clone();
            other.push((Kind::Directory, parent.to_owned(), Vec::new()));
            other.sort_by(|(_, a, _), (_, b, _)| pe_proto::path::compare(a, b));
            prop_assert_eq!(try_archive_of(&other), None);
        }
    }
}

fn try_archive_of(entries: &[Entry]) -> Option<Vec<u8>> {
    let mut encoder = Encoder::new();
    for (kind, path, data) in entries {
        encoder.push(*kind, path, data).ok()?;
    }
    Some(encoder.finish())
}

#[test]
fn the_writer_refuses_what_every_reader_would() {
    let mut encoder = Encoder::new();
    assert!(encoder.is_empty());
    let mut push = |kind, path: &str, data: &[u8]| encoder.push(kind, path, data);
    let path = |text: &str| text.to_owned();
    let refused = EntryRefused::Path(path("a//b"), BadPath::EmptyName);
    assert_eq!(push(Kind::File, "a//b", b""), Err(refused));
    assert_eq!(push(Kind::File, "input/b", b"x"), Ok(()));
    let cases: [(Kind, &str, &[u8], EntryRefused); 4] = [
        (Kind::File, "input/b", b"", EntryRefused::Order(path("input/b"))),
        (Kind::File, "input/a", b"", EntryRefused::Order(path("input/a"))),
        (Kind::File, "input/b/c", b"", EntryRefused::BelowLeaf(path("input/b/c"))),
        (Kind::Directory, "input/d", b"x", EntryRefused::DirectoryData(path("input/d"))),
    ];
    for (kind, path, data, refused) in cases {
        assert_eq!(push(kind, path, data), Err(refused));
    }
    // A refusal leaves the archive as it was.
    assert_eq!(push(Kind::File, "input/c", b""), Ok(()));
    let bytes = encoder.finish();
    assert_eq!(entries(Role::Job, &bytes).unwrap().len(), 2);
}

#[test]
fn the_writer_counts_its_entries() {
    let mut encoder = Encoder::new();
    for index in 0..10_000 {
        encoder.push(Kind::File, &format!("input/{index:05}"), b"").unwrap();
    }
    assert_eq!(encoder.push(Kind::File, "input/a", b""), Err(EntryRefused::TooMany));
    assert_eq!(entries(Role::Job, &encoder.finish()).unwrap().len(), 10_000);
}
