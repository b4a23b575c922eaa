//! A guest's words are cut to their bounds, never refused and never let through.

use pe_proto::limits::{LABEL_BYTES_MAX, NOTE_BYTES_MAX, NOTES_MAX, RESULT_META_BYTES_MAX};
use pe_proto::outcome::Truncated;
use pe_proto::{Fault, Outcome, ResultMeta, codec};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use crate::strategies;

#[test]
fn long_texts_and_lists_are_cut_at_a_character() {
    let reason = "ö".repeat(NOTE_BYTES_MAX);
    let mut meta = ResultMeta::without_run(Outcome::Lost { fault: Fault::Us, reason });
    meta.notes = vec![format!("x{}", "ö".repeat(NOTE_BYTES_MAX)); NOTES_MAX + 1];
    meta.kernel = "k".repeat(LABEL_BYTES_MAX + 1);
    meta.truncated = [Truncated::Stderr, Truncated::Stdout, Truncated::Files].repeat(100);
    let meta = meta.bounded();
    assert_eq!(meta.notes.len(), NOTES_MAX);
    assert!(meta.notes.iter().all(|note| note.len() == NOTE_BYTES_MAX - 1));
    assert_eq!(meta.kernel.len(), LABEL_BYTES_MAX);
    assert_eq!(meta.truncated, [Truncated::Stdout, Truncated::Stderr, Truncated::Files]);
    let reason = "ö".repeat(NOTE_BYTES_MAX / 2);
    assert_eq!(meta.outcome, Outcome::Lost { fault: Fault::Us, reason });
    assert!(codec::to_vec(&meta).unwrap().len() <= RESULT_META_BYTES_MAX);
}

proptest! {
    #[test]
    fn bounding_changes_nothing_that_is_within_bounds(meta in strategies::meta()) {
        let bounded = meta.clone().bounded();
        prop_assert_eq!(&bounded.outcome, &meta.outcome);
        prop_assert_eq!(&bounded.notes, &meta.notes);
        prop_assert!(meta.truncated.iter().all(|part| bounded.truncated.contains(part)));
        prop_assert_eq!(bounded.clone().bounded(), bounded);
    }

    #[test]
    fn only_ends_of_the_program_itself_are_repeatable(outcome in strategies::outcome()) {
        let by_itself = matches!(outcome.kind(), "exited" | "signaled");
        prop_assert_eq!(outcome.is_repeatable(), by_itself);
        let json = serde_json::to_value(&outcome).unwrap();
        prop_assert_eq!(&json["kind"], outcome.kind());
    }
}
