use super::*;
use sha2::Sha256;

#[test]
fn a_file_has_the_digest_of_all_its_bytes() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("file");
    let bytes = vec![7; PIECE + 1];
    std::fs::write(&path, &bytes).expect("write");
    let file = File::open(&path).expect("open");
    let expected = pe_proto::Digest(Sha256::digest(&bytes).into()).hex();
    assert_eq!(sha256(&file, &AtomicBool::new(false)).expect("sum"), expected);
    // As often as one likes: nothing moves the file's offset.
    assert_eq!(sha256(&file, &AtomicBool::new(false)).expect("sum"), expected);
    let stopped = sha256(&file, &AtomicBool::new(true)).expect_err("stopped");
    assert_eq!(stopped.kind(), io::ErrorKind::Interrupted);
}

#[test]
fn a_pack_that_was_changed_is_damaged_and_one_that_is_gone_is_left_out() {
    let dir = crate::images::tests::two();
    let look = || look(dir.path(), Arch::X86_64, false, &AtomicBool::new(false));
    let ImageFacts::Read { left_out, damaged, hashed_all, .. } = look() else {
        panic!("a catalogue");
    };
    assert!(hashed_all && left_out.is_empty(), "{left_out:?}");
    assert_eq!(damaged.len(), 2);
    std::fs::remove_dir_all(dir.path().join("packs")).expect("remove");
    let ImageFacts::Read { images: 0, left_out, .. } = look() else { panic!("a catalogue") };
    assert!(left_out.iter().all(|it| it.contains("cannot open it")), "{left_out:?}");
    std::fs::write(dir.path().join("catalogue.json"), "{").expect("write");
    assert!(matches!(look(), ImageFacts::None { .. }));
}
