//! The writer in this process, where a file can change and a hash can be another's.

use std::fs;

use super::contents::Contents;
use super::*;

fn output(dir: &Path, contents: Contents) -> Output {
    let path = dir.join("pack");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    Output::new(file.expect("open"), 1, contents, 1 << 30).expect("output")
}

fn source(dir: &Path, bytes: &[u8]) -> File {
    fs::write(dir.join("source"), bytes).expect("write");
    File::open(dir.join("source")).expect("open")
}

#[test]
fn a_file_of_another_length_than_was_said_is_not_taken() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut output = output(dir.path(), Contents::default());
    for length in [1_usize, 4096, 300_000] {
        let file = source(dir.path(), &vec![7; length]);
        let said = u64::try_from(length).expect("length");
        for other in [said - 1, said + 1] {
            assert_eq!(output.content(&file, other), Ok(None), "{length}");
        }
        assert!(output.content(&file, said).expect("it is written").is_some());
    }
}

#[test]
fn only_what_is_the_same_byte_by_byte_is_stored_once() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut first = output(dir.path(), Contents::default());
    let one = source(dir.path(), &[b"same".as_slice(), &[7; 9000]].concat());
    assert_eq!(first.content(&one, 9004), Ok(Some(1)));
    assert_eq!(first.content(&one, 9004), Ok(Some(1)));
    assert_eq!((first.end_section(), first.saved_bytes()), (Ok(4), 9004));
    // As if another content, or one of which it is the beginning, had the hash of that one.
    let (hash, block) = first.into_contents().iter().next().expect("one");
    let own = |bytes: &[u8]| {
        let mut output = output(dir.path(), Contents::default());
        output
            .content(&source(dir.path(), bytes), u64::try_from(bytes.len()).expect("length"))
            .expect("it is written");
        output.into_contents().iter().next().expect("one").0
    };
    assert_eq!(own(&[b"same".as_slice(), &[7; 9000]].concat()), hash);
    for bytes in [b"same".to_vec(), [b"same".as_slice(), &[7; 8999]].concat(), vec![9; 9004]] {
        fs::remove_file(dir.path().join("pack")).expect("remove");
        let mut before = output(dir.path(), Contents::default());
        let one = source(dir.path(), &[b"same".as_slice(), &[7; 9000]].concat());
        assert_eq!(before.content(&one, 9004), Ok(Some(1)));
        let mut lies = Contents::default();
        lies.note(own_hash(&bytes), block);
        let file = OpenOptions::new().read(true).write(true).open(dir.path().join("pack"));
        let mut output = Output::new(file.expect("open"), 4, lies, 1 << 30).expect("output");
        let file = source(dir.path(), &bytes);
        let length = u64::try_from(bytes.len()).expect("length");
        assert_eq!(output.content(&file, length), Ok(Some(4)), "{length}");
        assert_eq!(output.saved_bytes(), 0);
    }
}

fn own_hash(bytes: &[u8]) -> u64 {
    let digest = pe_proto::Digest::of(bytes);
    u64::from_le_bytes(*digest.0.first_chunk().expect("8 bytes"))
}

#[test]
fn a_device_or_a_taken_prefix_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("tempdir");
    fs::create_dir_all(dir.path().join("root/a")).expect("mkdir");
    let order =
        Order { prefix: Some("x/y".to_owned()), uuid: [7; 16], time: 1, caps: Caps::default() };
    let status = || File::open("/proc/self/status").expect("status");
    let report = append(dir.path(), &order, status()).expect("append");
    assert_eq!(report.end % BLOCK_BYTES, 0);
    let again = append(dir.path(), &order, status());
    assert_eq!(again, Err(AppendError::Prefix("x/y".to_owned())));
    let small = Caps { unpacked_bytes: 1000, ..Caps::default() };
    let order = Order { prefix: Some("x/z".to_owned()), caps: small, ..order };
    let refused = append(dir.path(), &order, status());
    assert!(matches!(refused, Err(AppendError::Cap { cap: Cap::PackBytes, .. })), "{refused:?}");
    let alone = Order { prefix: None, caps: Caps::default(), ..order };
    assert!(matches!(append(dir.path(), &alone, status()), Err(AppendError::Index(_))));
}
