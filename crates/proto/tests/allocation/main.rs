//! No length that a peer states makes a decoder allocate for it (threat case 3).
//!
//! Every vector gets hostile lengths at every place, and the bytes allocated meanwhile are counted.

mod sys;

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use pe_proto::archive::{Bounds, Decoder, Role};
use pe_proto::codec::{self, LIMIT, Message};
use pe_proto::guest_config::GuestConfig;
use pe_proto::io_file::{InHeader, JournalHeader, ResultHeader};
use pe_proto::link::{DoneHead, Hello, LeaseHead, Ready, State, Welcome};
use pe_proto::{JobLimits, ResultMeta, io_file};

#[global_allocator]
static COUNTING: sys::Counting = sys::Counting;

/// What a decoder may allocate beside what the message really holds.
const SLACK: usize = 64 * 1024;

fn vectors(message: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the vectors are in the repository") {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&format!("{message}-")) {
            found.push(from_hex(&fs::read_to_string(path).expect("a vector is text")));
        }
    }
    assert!(!found.is_empty(), "no vector of {message}");
    found
}

fn from_hex(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: Vec<u32> =
        lines.flat_map(str::chars).filter_map(|char| char.to_digit(16)).collect();
    let pairs = digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |high, low| high * 16 + low));
    pairs.filter_map(|byte| u8::try_from(byte).ok()).collect()
}

/// Every vector of a message with every hostile length at every place.
fn with_hostile_lengths(message: &str) -> Vec<Vec<u8>> {
    let lengths = [u64::MAX, u64::MAX / 2, u64::from(u32::MAX), 1 << 40, 1 << 20, (1 << 20) / 24];
    let short = [u32::MAX, 0x7fff_ffff, 1 << 28];
    let mut found = Vec::new();
    for vector in vectors(message) {
        let mut put = |at: usize, bytes: &[u8]| {
            let mut hostile = vector.clone();
            if let Some(place) = hostile.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
                found.push(hostile);
            }
        };
        for at in 0..vector.len() {
            lengths.iter().for_each(|length| put(at, &length.to_le_bytes()));
            short.iter().for_each(|length| put(at, &length.to_le_bytes()));
        }
    }
    found
}

fn allocated_by(read: impl FnOnce()) -> usize {
    let before = sys::Counting::allocated();
    read();
    sys::Counting::allocated() - before
}

fn frames_stay_within<M: Message + Debug>(message: &str, most: usize) {
    for bytes in with_hostile_lengths(message) {
        let allocated = allocated_by(|| drop(codec::decode::<M>(&bytes)));
        assert!(allocated <= most, "{message}: {allocated} bytes for {bytes:02x?}");
    }
}

#[test]
fn the_counter_counts() {
    assert!(allocated_by(|| drop(vec![0_u8; 12_345])) >= 12_345);
    assert_eq!(allocated_by(|| {}), 0);
}

#[test]
fn hostile_lengths_in_frames_allocate_no_more_than_the_codec_allows() {
    frames_stay_within::<GuestConfig>("guest_config", LIMIT + SLACK);
    frames_stay_within::<ResultMeta>("result_meta", LIMIT + SLACK);
    frames_stay_within::<Hello>("hello", LIMIT + SLACK);
    frames_stay_within::<LeaseHead>("lease_head", LIMIT + SLACK);
    frames_stay_within::<DoneHead>("done_head", LIMIT + SLACK);
    frames_stay_within::<State>("state", LIMIT + SLACK);
    frames_stay_within::<Welcome>("welcome", LIMIT + SLACK);
    // This holds no list and no text: nothing to allocate at all.
    frames_stay_within::<Ready>("ready", 0);
}

#[test]
fn hostile_lengths_in_archives_allocate_no_more_than_two_paths() {
    for role in [Role::Job, Role::Result] {
        for bytes in with_hostile_lengths("archive") {
            let allocated = allocated_by(|| {
                let mut decoder = Decoder::new(Bounds::of(role));
                let _ = decoder.check(&bytes).and_then(|()| decoder.finish());
            });
            assert!(allocated <= 32 * 1024, "{allocated} bytes for {bytes:02x?}");
        }
    }
}

#[test]
fn headers_allocate_nothing_whatever_they_state() {
    let nonce = *b"nonce of one job";
    let plan = io_file::Plan::new(300, 5000, &JobLimits::default()).unwrap();
    let none = |message: &str, read: &dyn Fn(&[u8])| {
        for bytes in with_hostile_lengths(message) {
            assert_eq!(allocated_by(|| read(&bytes)), 0, "{message}: {bytes:02x?}");
        }
    };
    none("in_header", &|bytes| {
        let _ = InHeader::decode(bytes);
    });
    none("result_header", &|bytes| {
        let _ = ResultHeader::decode(bytes, &nonce, &plan);
    });
    none("journal_header", &|bytes| {
        let _ = JournalHeader::decode(bytes, &nonce, &plan);
    });
}

#[test]
fn a_large_archive_streams_through_a_small_decoder() {
    let mut encoder = pe_proto::archive::Encoder::new();
    let data = vec![0xff; 8 * 1024 * 1024];
    encoder.push(pe_proto::archive::Kind::File, "output/a", &data).unwrap();
    encoder.push(pe_proto::archive::Kind::File, "output/b", &data).unwrap();
    let bytes = encoder.finish();
    let allocated = allocated_by(|| {
        let mut decoder = Decoder::new(Bounds::of(Role::Result));
        bytes.chunks(1000).try_for_each(|piece| decoder.check(piece)).unwrap();
        decoder.finish().unwrap();
    });
    assert!(allocated <= 1024, "{allocated} bytes");
}
