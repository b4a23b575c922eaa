//! Every bound of the formats, with its reason. All sizes are bytes unless the name says else.

/// JSON config at the head of a binary run request, and any bincode message on the worker link.
/// Arguments and environment are text that people type; 256 KiB is far beyond any of it.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;

/// One argument or one environment value. Linux refuses single strings over 128 KiB
/// (`MAX_ARG_STRLEN`), so a longer one could not be executed anyway.
pub const ARG_BYTES_MAX: usize = 128 * 1024 - 1;

/// Arguments of a job; also the number of environment variables.
pub const ARGS_MAX: usize = 4096;

/// Patterns in `outputs`.
pub const OUTPUT_PATTERNS_MAX: usize = 64;

/// Input archive, everything in it included.
pub const INPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Entries of any archive, input or result.
pub const ARCHIVE_ENTRIES_MAX: u32 = 10_000;

/// Length of a path in an archive (Linux `PATH_MAX` less its NUL).
pub const PATH_BYTES_MAX: usize = 4095;

/// Length of one component of a path (Linux `NAME_MAX`).
pub const NAME_BYTES_MAX: usize = 255;

/// Depth of a path; keeps the walk of a tree bounded.
pub const PATH_DEPTH_MAX: usize = 64;

/// Files returned by a job: the default and the most that may be asked for.
pub const OUTPUT_BYTES_DEFAULT: u64 = 2 * 1024 * 1024;
/// See [`OUTPUT_BYTES_DEFAULT`].
pub const OUTPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// stdout, and apart from it stderr: the default and the most that may be asked for.
pub const STREAM_BYTES_DEFAULT: u64 = 1024 * 1024;
/// See [`STREAM_BYTES_DEFAULT`].
pub const STREAM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Wall clock of a job, in milliseconds: the product's default.
pub const WALL_MS_DEFAULT: u64 = 10_000;
/// The most wall clock any deployment may grant, in milliseconds; each LB sets its own below it.
pub const WALL_MS_MAX: u64 = 10 * 60 * 1000;

/// Result metadata in the io file and on the worker link.
pub const RESULT_META_BYTES_MAX: usize = 64 * 1024;

/// Notes in a result, and the length of each.
pub const NOTES_MAX: usize = 32;
/// See [`NOTES_MAX`].
pub const NOTE_BYTES_MAX: usize = 512;

/// Per-entry overhead granted to a result archive beyond the bytes of its files.
pub const RESULT_OVERHEAD_BYTES: u64 = 4 * 1024 * 1024;

/// A whole result archive: files, both streams, names.
pub const RESULT_BYTES_MAX: u64 = OUTPUT_BYTES_MAX + 2 * STREAM_BYTES_MAX + RESULT_OVERHEAD_BYTES;

/// pmem wants multiples of this (`protocol.md 4.1`).
pub const PMEM_ALIGN: u64 = 2 * 1024 * 1024;

/// Size of every io file. Sparse: only pages that were written cost memory.
pub const IO_FILE_BYTES: u64 = 96 * 1024 * 1024;

/// Image digests a worker may offer in one message.
pub const OFFERED_IMAGES_MAX: usize = 4096;

/// Images in a list of those that are wanted or on their way.
pub const WANTED_IMAGES_MAX: usize = 64;

/// Names, labels and other short identifying text on the link.
pub const LABEL_BYTES_MAX: usize = 256;

/// A playground as JSON: the label of an image, with its examples. A page that lists a hundred
/// images fetches all of them.
pub const PLAYGROUND_BYTES_MAX: usize = 256 * 1024;

/// Fields of a form; examples; files of one example; media types. What a person can still look over.
pub const PLAYGROUND_ITEMS_MAX: usize = 64;

/// Options of a choice; conflicts. The versions of a tool, or its warnings, can be many.
pub const PLAYGROUND_OPTIONS_MAX: usize = 256;

/// Words of a template, and of a field's or an option's `args`.
pub const PLAYGROUND_WORDS_MAX: usize = 64;

/// One such word, and the value of a text field: a small script.
pub const PLAYGROUND_WORD_BYTES_MAX: usize = 16 * 1024;

/// Descriptions, help, and the reason of a conflict. Titles have [`LABEL_BYTES_MAX`].
pub const PLAYGROUND_TEXT_BYTES_MAX: usize = 2048;

/// The largest number, on either side of zero, that JavaScript has exactly: 2^53 - 1.
pub const PLAYGROUND_NUMBER_MAX: u64 = (1 << 53) - 1;

/// Flaws that are told of one playground.
pub const PLAYGROUND_FLAWS_MAX: usize = 100;

// The io file must hold the largest job and the largest result at the same time: the journal of
// both streams (kept until the end so that a killed VM loses nothing) and the packed result.
const _: () = assert!(
    IO_FILE_BYTES
        >= PMEM_ALIGN
            + CONFIG_BYTES_MAX as u64
            + INPUT_BYTES_MAX
            + PMEM_ALIGN
            + 2 * STREAM_BYTES_MAX
            + RESULT_META_BYTES_MAX as u64
            + RESULT_BYTES_MAX
            + PMEM_ALIGN
);
const _: () = assert!(IO_FILE_BYTES % PMEM_ALIGN == 0);
// Whatever one field gives is within what a job may have, as long as it has few holes.
const _: () = assert!(2 * PLAYGROUND_WORD_BYTES_MAX <= ARG_BYTES_MAX);
const _: () = assert!(PLAYGROUND_WORDS_MAX <= ARGS_MAX);
const _: () = assert!(WALL_MS_DEFAULT <= WALL_MS_MAX);
const _: () = assert!(OUTPUT_BYTES_DEFAULT <= OUTPUT_BYTES_MAX);
const _: () = assert!(STREAM_BYTES_DEFAULT <= STREAM_BYTES_MAX);
