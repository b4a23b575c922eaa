//! Replays the fuzz corpus with the bodies of the fuzz targets, so that an ordinary test run
//! exercises every target and every input that ever found a defect.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "the file is the library of the fuzz crate too")]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|bad| panic!("{}: {bad}", folder.display()));
    entries
        .map(|entry| entry.expect("a folder can be listed").file_name())
        .map(|name| name.into_string().expect("names are ASCII"))
        .collect()
}

#[test]
fn every_input_of_the_corpus_keeps_the_promises_of_its_target() {
    for (target, accepts) in targets::TARGETS {
        let folder = corpus().join(target);
        let names = names_in(&folder);
        assert!(!names.is_empty(), "no corpus for {target}: run `cargo xtask seeds`");
        for name in names {
            accepts(&fs::read(folder.join(name)).unwrap());
        }
    }
}

#[test]
fn corpus_and_fuzz_crate_know_the_same_targets() {
    let expected: BTreeSet<String> =
        targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in(&corpus()), expected);
    let sources = names_in(&corpus().with_file_name("fuzz_targets"));
    let sources = sources.into_iter().map(|name| name.trim_end_matches(".rs").to_owned());
    assert_eq!(sources.collect::<BTreeSet<_>>(), expected);
}

/// `cargo xtask seeds` writes each golden vector into the corpus of its target.
#[test]
fn every_golden_vector_is_a_seed() {
    let vectors = corpus().with_file_name("../vectors");
    for name in names_in(&vectors) {
        let Some((target, _)) = name.split_once('-') else { panic!("{name} names no message") };
        if targets::TARGETS.iter().any(|(known, _)| *known == target) {
            let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
            let seed = corpus().join(target).join(stem);
            assert!(seed.exists(), "{name} is no seed yet: run `cargo xtask seeds`");
        }
    }
}
