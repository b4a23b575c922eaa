//! Archives that a hostile client or guest could write (threat cases 2 and 3).

use pe_proto::archive::{BadArchive, Bounds, Decoder, Event, Kind, MAGIC, Role};
use pe_proto::path::BadPath;

use crate::samples;
use crate::strategies::entries;

/// An archive written without any check: kind byte, path, stated length, data.
struct Forger(Vec<u8>, u32);

impl Forger {
    fn new() -> Self {
        Self(MAGIC.to_vec(), 0)
    }

    fn entry(self, kind: u8, path: impl AsRef<[u8]>, data: &[u8]) -> Self {
        let stated = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.lying_entry(kind, path, stated, data)
    }

    fn lying_entry(mut self, kind: u8, path: impl AsRef<[u8]>, stated: u32, data: &[u8]) -> Self {
        let path = path.as_ref();
        self.0.push(kind);
        self.0.extend_from_slice(&u16::try_from(path.len()).unwrap_or(u16::MAX).to_le_bytes());
        self.0.extend_from_slice(&stated.to_le_bytes());
        self.0.extend_from_slice(path);
        self.0.extend_from_slice(data);
        self.1 += 1;
        self
    }

    fn end(self) -> Vec<u8> {
        let stated = self.1;
        self.lying_end(stated)
    }

    fn lying_end(mut self, stated: u32) -> Vec<u8> {
        self.0.push(0xff);
        self.0.extend_from_slice(&stated.to_le_bytes());
        self.0
    }
}

fn refusal(role: Role, bytes: &[u8]) -> BadArchive {
    let at_once = entries(role, bytes).expect_err("a forged archive");
    let mut decoder = Decoder::new(Bounds::of(role));
    let streamed = bytes.iter().try_for_each(|&byte| decoder.check(&[byte]));
    assert_eq!(streamed.and_then(|()| decoder.finish()), Err(at_once.clone()));
    at_once
}

#[test]
fn entry_paths_that_leave_the_tree_are_refused() {
    let cases: [(&[u8], BadPath); 8] = [
        (b"../x", BadPath::DotName),
        (b"input/../../x", BadPath::DotName),
        (b"/etc/x", BadPath::Absolute),
        (b"input//b", BadPath::EmptyName),
        (b"input/", BadPath::EmptyName),
        (b"input/a\0b", BadPath::Nul),
        (b"input/\xff\xfe", BadPath::NotUtf8),
        (b"", BadPath::Empty),
    ];
    for (path, bad) in cases {
        let bytes = Forger::new().entry(0, path, b"x").end();
        assert_eq!(refusal(Role::Job, &bytes), BadArchive::Path(bad));
    }
}

#[test]
fn entry_names_of_4_kb_are_refused() {
    let name = format!("input/{}", "n".repeat(256));
    let bytes = Forger::new().entry(0, name, b"").end();
    assert_eq!(refusal(Role::Job, &bytes), BadArchive::Path(BadPath::NameTooLong));
    let path = "d/".repeat(2048);
    let bytes = Forger::new().entry(0, path, b"").end();
    assert_eq!(refusal(Role::Job, &bytes), BadArchive::Path(BadPath::TooLong));
}

#[test]
fn device_names_and_case_collisions_are_kept_exactly() {
    let bytes = Forger::new().entry(0, "input/CON", b"1").entry(0, "input/con", b"2").end();
    let found = entries(Role::Job, &bytes).unwrap();
    let expected = [
        (Kind::File, "input/CON".to_owned(), b"1".to_vec()),
        (Kind::File, "input/con".to_owned(), b"2".to_vec()),
    ];
    assert_eq!(found, expected);
}

#[test]
fn duplicate_and_unsorted_entries_are_refused() {
    let twice = Forger::new().entry(0, "input/a", b"1").entry(0, "input/a", b"2").end();
    assert_eq!(refusal(Role::Job, &twice), BadArchive::Order("input/a".to_owned()));
    let unsorted = Forger::new().entry(0, "input/a-b", b"").entry(0, "input/a/b", b"").end();
    assert_eq!(refusal(Role::Job, &unsorted), BadArchive::Order("input/a/b".to_owned()));
}

#[test]
fn nothing_lies_below_a_file_a_link_or_a_listed_directory() {
    for kind in [0, 1, 2, 3] {
        let bytes = Forger::new().entry(kind, "output/a", b"").entry(0, "output/a/b", b"").end();
        assert_eq!(refusal(Role::Result, &bytes), BadArchive::BelowLeaf("output/a/b".to_owned()));
    }
}

#[test]
fn entries_without_a_place_are_refused() {
    let no_place = |path: &str| BadArchive::NoPlace(path.to_owned());
    let job = ["input", "inputs/a", "output/a", "stdout", "stderr", "a", "stdin/a"];
    for path in job {
        let bytes = Forger::new().entry(0, path, b"").end();
        assert_eq!(refusal(Role::Job, &bytes), no_place(path));
    }
    for path in ["output", "input/a", "stdin", "stdout/a", "a"] {
        let bytes = Forger::new().entry(0, path, b"").end();
        assert_eq!(refusal(Role::Result, &bytes), no_place(path));
    }
    // Right path, wrong kind.
    for (role, kind, path) in [
        (Role::Job, 3, "input/link"),
        (Role::Job, 1, "stdin"),
        (Role::Job, 2, "stdin"),
        (Role::Result, 3, "stdout"),
        (Role::Result, 1, "stderr"),
    ] {
        let bytes = Forger::new().entry(kind, path, b"").end();
        assert_eq!(refusal(role, &bytes), no_place(path));
    }
}

#[test]
fn unknown_kinds_and_directories_with_data_are_refused() {
    for kind in 4..0xff {
        let bytes = Forger::new().entry(kind, "output/a", b"").end();
        assert_eq!(refusal(Role::Result, &bytes), BadArchive::Kind(kind));
    }
    let bytes = Forger::new().entry(2, "output/a", b"x").end();
    assert_eq!(refusal(Role::Result, &bytes), BadArchive::DirectoryData("output/a".to_owned()));
}

#[test]
fn stated_lengths_beyond_the_bound_are_refused_at_the_head() {
    let bounds = Bounds::of(Role::Result);
    for stated in [u32::MAX, u32::MAX - 7, 0x8000_0000] {
        let bytes = Forger::new().lying_entry(0, "output/a", stated, b"x").end();
        assert_eq!(refusal(Role::Result, &bytes), BadArchive::TooLarge(bounds.bytes_max));
    }
    // Two that are each allowed, but not together.
    let half = u32::try_from(bounds.bytes_max / 2 + 1).unwrap();
    let data = vec![0; usize::try_from(half).unwrap()];
    let bytes = Forger::new().entry(0, "output/a", &data).entry(0, "output/b", &data).end();
    assert_eq!(entries(Role::Result, &bytes), Err(BadArchive::TooLarge(bounds.bytes_max)));
}

#[test]
fn an_entry_that_cannot_fit_is_refused_alike_however_it_arrives() {
    // Its data would fit, and its path, but not both.
    let bounds = Bounds::of(Role::Job);
    let stated = u32::try_from(bounds.bytes_max).unwrap() - 20;
    let mut bytes = Forger::new().lying_entry(0, "input/a-path", stated, b"").0;
    bytes.truncate(bytes.len() - 1);
    let too_large = BadArchive::TooLarge(bounds.bytes_max);
    assert_eq!(refusal(Role::Job, &bytes), too_large);
}

#[test]
fn stated_lengths_beyond_the_bytes_there_are_cut_off() {
    let bytes = Forger::new().lying_entry(0, "output/a", 1000, b"x").end();
    assert_eq!(refusal(Role::Result, &bytes), BadArchive::Truncated);
    let mut bytes = Forger::new().0;
    bytes.extend_from_slice(&[0, 200, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(b"output/short");
    assert_eq!(refusal(Role::Result, &bytes), BadArchive::Truncated);
}

#[test]
fn an_end_that_states_another_count_is_refused() {
    for stated in [0, 2, u32::MAX] {
        let bytes = Forger::new().entry(0, "output/a", b"x").lying_end(stated);
        assert_eq!(refusal(Role::Result, &bytes), BadArchive::Count { stated, found: 1 });
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    for more in [&b"\0"[..], b"\xff\0\0\0\0", &samples::result_archive()] {
        let mut bytes = samples::result_archive();
        bytes.extend_from_slice(more);
        assert_eq!(refusal(Role::Result, &bytes), BadArchive::Trailing);
    }
}

#[test]
fn another_version_is_refused() {
    let mut bytes = samples::job_archive();
    bytes[7] = 2;
    assert_eq!(refusal(Role::Job, &bytes), BadArchive::Magic);
}

#[test]
fn one_entry_more_than_allowed_is_refused() {
    let full = (0..10_000)
        .fold(Forger::new(), |forger, index| forger.entry(0, format!("input/{index:05}"), b""));
    let bytes = full.entry(0, "input/a", b"").end();
    assert_eq!(refusal(Role::Job, &bytes), BadArchive::TooMany(10_000));
}

#[test]
fn an_archive_may_be_as_large_as_its_bound_and_no_larger() {
    let bytes = samples::job_archive();
    let bytes_max = u64::try_from(bytes.len()).unwrap();
    let check = |bytes_max| {
        let mut decoder = Decoder::new(Bounds { bytes_max, ..Bounds::of(Role::Job) });
        decoder.check(&bytes).and_then(|()| decoder.finish())
    };
    assert_eq!(check(bytes_max), Ok(()));
    assert_eq!(check(bytes_max - 1), Err(BadArchive::TooLarge(bytes_max - 1)));
}

#[test]
fn a_refused_archive_stays_refused() {
    let mut decoder = Decoder::new(Bounds::of(Role::Job));
    assert_eq!(decoder.check(b"PEARCH\0\x02"), Err(BadArchive::Magic));
    assert_eq!(decoder.check(&samples::job_archive()), Err(BadArchive::Failed));
    assert_eq!(decoder.check(b""), Err(BadArchive::Failed));
    assert_eq!(decoder.finish(), Err(BadArchive::Failed));
}

#[test]
fn data_of_any_bytes_is_never_taken_for_structure() {
    let inner = samples::result_archive();
    let bytes = Forger::new().entry(0, "output/inner", &inner).end();
    let mut decoder = Decoder::new(Bounds::of(Role::Result));
    let mut input = bytes.as_slice();
    assert!(matches!(decoder.next(&mut input), Ok(Some(Event::Entry { .. }))));
    assert_eq!(decoder.next(&mut input), Ok(Some(Event::Data(&inner))));
    assert_eq!(decoder.next(&mut input), Ok(Some(Event::End { entries: 1 })));
}
