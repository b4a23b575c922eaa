//! A reader of directories as simple as it can be, and what is written for it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// All blocks, and each by itself.
fn encoded(names: &BTreeMap<Vec<u8>, u64>) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    let entries = names.iter().map(|(name, &nid)| Entry { name, nid, kind: Kind::Fifo });
    let infallible: Result<(), ()> = encode(entries, &mut |block| {
        blocks.push(block.to_vec());
        Ok(())
    });
    infallible.expect("memory takes all");
    blocks
}

/// Reads one block.
fn read(block: &[u8], into: &mut Vec<(Vec<u8>, u64)>) {
    let start = |at: usize| {
        let dirent = &block[at * DIRENT_BYTES..(at + 1) * DIRENT_BYTES];
        usize::from(u16::from_le_bytes([dirent[8], dirent[9]]))
    };
    let count = start(0) / DIRENT_BYTES;
    for at in 0..count {
        let nid = u64::from_le_bytes(block[at * 12..at * 12 + 8].try_into().expect("8"));
        let rest = &block[start(at)..];
        let end = if at + 1 < count {
            start(at + 1) - start(at)
        } else {
            rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len())
        };
        into.push((rest[..end].to_vec(), nid));
    }
}

fn check(names: &BTreeMap<Vec<u8>, u64>) {
    let blocks = encoded(names);
    let mut read_back = Vec::new();
    for block in &blocks {
        assert!(block.len() <= BLOCK);
        read(block, &mut read_back);
    }
    let expected: Vec<_> = names.iter().map(|(name, &nid)| (name.clone(), nid)).collect();
    assert_eq!(read_back, expected);
    let (last, full) = blocks.split_last().expect("one at least");
    assert!(full.iter().all(|block| block.len() == BLOCK));
    let shape = Shape::of(names.keys().map(Vec::len));
    assert_eq!((shape.full as usize, shape.last), (full.len(), last.len()));
    assert_eq!(shape.bytes(), u64::try_from(blocks.concat().len()).expect("length"));
}

#[test]
fn an_empty_directory_has_itself_and_what_is_above() {
    let names = BTreeMap::from([(b".".to_vec(), 128), (b"..".to_vec(), 130)]);
    let blocks = encoded(&names);
    let expected = [
        &b"\x80\0\0\0\0\0\0\0\x18\x00\x05\0"[..],
        &b"\x82\0\0\0\0\0\0\0\x19\x00\x05\0"[..],
        b"...",
    ]
    .concat();
    assert_eq!(blocks, [expected]);
}

#[test]
fn names_that_fill_a_block_to_the_last_byte_leave_none_over() {
    // 15 of 255 bytes and one of 79: 15 * 267 + 91 = 4096.
    let mut names: BTreeMap<Vec<u8>, u64> = (0..15_u8).map(|at| (vec![at + 1; 255], 1)).collect();
    names.insert(vec![99; 79], 2);
    assert_eq!(encoded(&names).len(), 1);
    check(&names);
    names.insert(vec![100], 3);
    assert_eq!(encoded(&names).len(), 2);
    check(&names);
}

#[test]
fn ten_thousand_names_are_found_again() {
    let names = (0..10_000_u64).map(|at| (format!("name-{at}").into_bytes(), at * 7919)).collect();
    check(&names);
}

proptest! {
    #[test]
    fn whatever_the_names_are_they_are_read_as_they_were(
        names in prop::collection::btree_map(
            prop::collection::vec(1_u8..=255, 1..=NAME_BYTES_MAX), any::<u64>(), 1..200),
    ) {
        check(&names);
    }
}
