//! docs/protocol.md says what the code does: its worked example and its numbers.

use pe_proto::api::ProblemKind;
use pe_proto::limits;

use crate::vectors;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_worked_example_equals_its_vector() {
    let page = page();
    for name in ["job_digest-v1-example_input.hex", "job_digest-v1-example.hex"] {
        let hex = vectors::to_hex(&vectors::load(name).unwrap());
        // The page breaks lines by field; only the digits count.
        let digits = |text: &str| text.split_whitespace().collect::<String>();
        let blocks = page.split("```").filter(|block| block.starts_with("hex"));
        let found = blocks.into_iter().any(|block| {
            let digits_of_block: String = block
                .lines()
                .skip(1)
                .filter_map(|line| line.split('#').next())
                .map(digits)
                .collect();
            digits_of_block == digits(&hex)
        });
        assert!(found, "docs/protocol.md 3.2 lacks the bytes of {name}:\n{hex}");
    }
}

#[test]
fn every_limit_is_stated_with_its_number() {
    let page = page();
    let rows: [(&str, u64); 31] = [
        ("CONFIG_BYTES_MAX", limits::CONFIG_BYTES_MAX as u64),
        ("ARG_BYTES_MAX", limits::ARG_BYTES_MAX as u64),
        ("ARGS_MAX", limits::ARGS_MAX as u64),
        ("OUTPUT_PATTERNS_MAX", limits::OUTPUT_PATTERNS_MAX as u64),
        ("INPUT_BYTES_MAX", limits::INPUT_BYTES_MAX),
        ("ARCHIVE_ENTRIES_MAX", u64::from(limits::ARCHIVE_ENTRIES_MAX)),
        ("PATH_BYTES_MAX", limits::PATH_BYTES_MAX as u64),
        ("NAME_BYTES_MAX", limits::NAME_BYTES_MAX as u64),
        ("PATH_DEPTH_MAX", limits::PATH_DEPTH_MAX as u64),
        ("OUTPUT_BYTES_DEFAULT", limits::OUTPUT_BYTES_DEFAULT),
        ("OUTPUT_BYTES_MAX", limits::OUTPUT_BYTES_MAX),
        ("STREAM_BYTES_DEFAULT", limits::STREAM_BYTES_DEFAULT),
        ("STREAM_BYTES_MAX", limits::STREAM_BYTES_MAX),
        ("WALL_MS_DEFAULT", limits::WALL_MS_DEFAULT),
        ("WALL_MS_MAX", limits::WALL_MS_MAX),
        ("RESULT_META_BYTES_MAX", limits::RESULT_META_BYTES_MAX as u64),
        ("NOTES_MAX", limits::NOTES_MAX as u64),
        ("NOTE_BYTES_MAX", limits::NOTE_BYTES_MAX as u64),
        ("RESULT_BYTES_MAX", limits::RESULT_BYTES_MAX),
        ("IO_FILE_BYTES", limits::IO_FILE_BYTES),
        ("OFFERED_IMAGES_MAX", limits::OFFERED_IMAGES_MAX as u64),
        ("WANTED_IMAGES_MAX", limits::WANTED_IMAGES_MAX as u64),
        ("LABEL_BYTES_MAX", limits::LABEL_BYTES_MAX as u64),
        ("PLAYGROUND_BYTES_MAX", limits::PLAYGROUND_BYTES_MAX as u64),
        ("PLAYGROUND_ITEMS_MAX", limits::PLAYGROUND_ITEMS_MAX as u64),
        ("PLAYGROUND_OPTIONS_MAX", limits::PLAYGROUND_OPTIONS_MAX as u64),
        ("PLAYGROUND_WORDS_MAX", limits::PLAYGROUND_WORDS_MAX as u64),
        ("PLAYGROUND_WORD_BYTES_MAX", limits::PLAYGROUND_WORD_BYTES_MAX as u64),
        ("PLAYGROUND_TEXT_BYTES_MAX", limits::PLAYGROUND_TEXT_BYTES_MAX as u64),
        ("PLAYGROUND_NUMBER_MAX", limits::PLAYGROUND_NUMBER_MAX),
        ("PLAYGROUND_FLAWS_MAX", limits::PLAYGROUND_FLAWS_MAX as u64),
    ];
    for (name, number) in rows {
        let row = format!("| `{name}` | {number} |");
        assert!(page.contains(&row), "docs/protocol.md 1.3 needs a row that begins: {row}");
    }
}

#[test]
fn every_problem_is_listed_with_its_fault() {
    let page = page();
    for kind in ProblemKind::ALL {
        let name = format!("| `{}` |", kind.as_str());
        let row = page.lines().find(|line| line.starts_with(&name));
        let row = row.unwrap_or_else(|| panic!("docs/protocol.md 8.4 needs a row {name}"));
        assert!(row.contains(&format!("| {} |", kind.fault().as_str())), "{row}");
    }
}
