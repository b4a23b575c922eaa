use super::*;
use crate::images::tests::two;

#[test]
fn a_pack_that_was_changed_is_damaged_and_one_that_is_gone_is_left_out() {
    let dir = two();
    let look = || look(dir.path(), Arch::X86_64, false, false, &AtomicBool::new(false));
    let ImageFacts::Read { left_out, damaged, hashed_all, .. } = look() else {
        panic!("a catalogue");
    };
    assert!(hashed_all && left_out.is_empty(), "{left_out:?}");
    assert_eq!(damaged.len(), 2);
    let stopped = super::look(dir.path(), Arch::X86_64, false, false, &AtomicBool::new(true));
    assert!(matches!(stopped, ImageFacts::Read { hashed_all: false, .. }), "{stopped:?}");
    std::fs::remove_dir_all(dir.path().join("packs")).expect("remove");
    let ImageFacts::Read { images: 0, left_out, .. } = look() else { panic!("a catalogue") };
    assert!(left_out.iter().all(|it| it.contains("cannot open it")), "{left_out:?}");
    std::fs::write(dir.path().join("catalogue.json"), "{").expect("write");
    assert!(matches!(look(), ImageFacts::None { .. }));
}
